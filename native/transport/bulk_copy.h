// SPDX-License-Identifier: Apache-2.0
//
// Copies between a program's memory and memory that it shares with a worker.
//
// memcpy() is made for bytes that the same core uses next; here another process wrote them, or
// reads them next. Two things follow, both measured with 64 MiB on two cores of an AMD EPYC.
//
// A transfer of more than the caches hold finds nothing of its target in them. Writing through them
// fetches every line before it is overwritten, and throws out the part of the shared memory that
// the other side is about to use. So such a transfer goes past the caches: a copy out of shared
// memory takes half the time, one into it half to all of it. Smaller ones stay in the caches, as
// the program is likely to use them at once.
//
// Shared memory begins with a page, and large memory of malloc() 16 bytes behind a page's
// beginning. For such a pair the string instruction that the C library takes for some kilobytes up
// to half a megabyte moves 3 GB/s on some processors, where a plain loop moves 30. So the loop is
// here.
#pragma once

#include <cstddef>

namespace tessera {

// Bytes of a whole transfer from which on it goes past the caches.
inline constexpr std::size_t kPastCaches = 32 * 1024 * 1024;

// Copies `size` bytes between memory that does not overlap. With `past_caches` the target is not
// kept in the caches. Who learns of the copy afterwards finds all of it, as with memcpy().
void copy_bulk(std::byte* to, const std::byte* from, std::size_t size, bool past_caches);

}  // namespace tessera

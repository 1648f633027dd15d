// SPDX-License-Identifier: Apache-2.0
//
// Copies between a program's memory and the memory that it shares with a worker.
//
// memcpy() is made for bytes that the same core uses next; here another process wrote them, or
// reads them next. Two things follow.
//
// A transfer of more than the caches hold finds nothing of its target in them. Writing through them
// fetches each line before it is overwritten, and drives out the pieces that the other side is
// about to take over. So such a transfer goes past the caches. The C library does the same, but
// looks at one call, which here is one piece, and from a size on that a virtual machine may know
// wrongly. Smaller transfers stay in the caches: the program is likely to use them at once.
//
// Shared memory begins with a page, large memory of malloc() 16 bytes behind the beginning of one.
// From the first to the second the string instruction that the C library takes for some kilobytes
// up to half a megabyte is ten times slower than a plain loop on some processors (seen on Zen 3
// with glibc 2.36, where it hits targets less than 32 bytes behind the source modulo a page). So
// here is a plain loop.
#pragma once

#include <cstddef>

namespace tessera {

// Bytes of a whole transfer from which on it goes past the caches.
inline constexpr std::size_t kPastCaches = 32 * 1024 * 1024;

// Copies `size` bytes between memory that does not overlap. With `past_caches` the target is not
// kept in the caches. Who learns of the copy afterwards finds all of it, as with memcpy().
void copy_bulk(std::byte* to, const std::byte* from, std::size_t size, bool past_caches);

}  // namespace tessera

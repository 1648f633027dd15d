// SPDX-License-Identifier: Apache-2.0
//
// Shared virtual memory.
//
// An allocation has one address for kernels and program: the one that the worker's driver gave it.
// Where the device computes on this machine's processors and shared memory carries the session, the
// pages at that address are the same in both processes (fine grain). Elsewhere the program's side
// are pages of its own, and the bytes of the two sides are brought together when the program maps
// and unmaps, which is when the standard lets it look (coarse grain).
#pragma once

#include <cstddef>

#include "opencl/client/context.h"

namespace tessera::client {

bool some_device_has_svm(const Context& context);

// [pointer, pointer + size) lies in one allocation that clSVMAlloc made for the context.
bool is_svm(const Context& context, const void* pointer, std::size_t size);

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
//
// Allocations that the worker's driver makes, at an address that it chooses.
//
// The address has to be free in this process too: the program may look at the memory, and an
// address decides whether a copy reads the program's memory or an allocation. So one that lies
// where something else of the process is, is given back when the search is over, and the driver
// asked again.
#pragma once

#include <functional>
#include <span>

#include "opencl/allocation_kind.h"
#include "opencl/client/context.h"
#include "opencl/client/session.h"

namespace tessera::client {

// What the program asked for.
struct WantedAllocation {
  AllocationKind kind = AllocationKind::svm;
  std::size_t size = 0;
  Device* device = nullptr;  // that it belongs to, if any
  cl_mem_alloc_flags_intel flags = 0;
  std::span<Device* const> charged;  // devices of the lease
};

// `ask` calls the worker. Throws ApiError.
void* allocate(Context& context, const WantedAllocation& wanted, const std::function<Reply()>& ask);

void post_free(Session& session, wire::Id context, std::uintptr_t base);

}  // namespace tessera::client

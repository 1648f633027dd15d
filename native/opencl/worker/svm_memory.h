// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CL/cl.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "opencl/worker/memory_account.h"
#include "transport/channel.h"

namespace tessera::worker {

struct SvmMemory {
  std::shared_ptr<void> memory;  // null: the driver has no room
  bool shared = false;           // the client has the same pages
};

// How a driver gives memory that kernels know by its address, and takes it back.
struct DriverMemory {
  std::function<void*(std::uint64_t size)> allocate;
  cl_int(CL_API_CALL* free)(cl_context context, void* memory);
};

// Whether the pages are the client's as well: passed to it under the tag of their address.
enum class Sharing { none, where_possible, always };

// Whether memory of this device can be the client's as well: the device computes on processors of
// this machine, and the channel reaches a client on it.
bool shares_pages(const Channel& channel, cl_device_id device);

// Memory for an allocation, charged as long as it lives. What must be shared and cannot be gives no
// memory.
SvmMemory allocate_svm(cl_context context, const DriverMemory& driver, std::uint64_t size,
                       std::unique_ptr<Charge> charge, Channel& channel, Sharing sharing);

}  // namespace tessera::worker

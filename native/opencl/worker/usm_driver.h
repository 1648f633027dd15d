// SPDX-License-Identifier: Apache-2.0
//
// A driver's functions for unified shared memory, which no dispatch table has.
#pragma once

#include <CL/cl.h>
#include <CL/cl_ext.h>

#include "opencl/allocation_kind.h"

namespace tessera::worker {

struct UsmDriver {
  // All null where the platform does not have every one of them.
  static UsmDriver of(cl_platform_id platform);
  // Whether the device has allocations of this kind.
  bool serves(cl_device_id device, AllocationKind kind) const;
  explicit operator bool() const { return free != nullptr; }

  clHostMemAllocINTEL_fn host_alloc = nullptr;
  clDeviceMemAllocINTEL_fn device_alloc = nullptr;
  clSharedMemAllocINTEL_fn shared_alloc = nullptr;
  clMemFreeINTEL_fn free = nullptr;
  clSetKernelArgMemPointerINTEL_fn set_argument = nullptr;
  clEnqueueMemFillINTEL_fn fill = nullptr;
  clEnqueueMemcpyINTEL_fn copy = nullptr;
};

}  // namespace tessera::worker

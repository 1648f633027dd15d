// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tests/conformance/world.h"

namespace tessera::conformance {

// The functions of cl_intel_unified_shared_memory, as the platform gives them out.
struct UsmFunctions {
  clHostMemAllocINTEL_fn host_alloc;
  clDeviceMemAllocINTEL_fn device_alloc;
  clSharedMemAllocINTEL_fn shared_alloc;
  clMemFreeINTEL_fn free;
  clMemBlockingFreeINTEL_fn blocking_free;
  clGetMemAllocInfoINTEL_fn info;
  clSetKernelArgMemPointerINTEL_fn set_arg;
  clEnqueueMemFillINTEL_fn fill;
  clEnqueueMemcpyINTEL_fn copy;
  clEnqueueMigrateMemINTEL_fn migrate;
  clEnqueueMemAdviseINTEL_fn advise;
};

// Throws Skip where the device does not announce the extension.
const UsmFunctions& usm(const World& w);

// One allocation of each kind that the device has; freed at the end.
class Unified {
 public:
  enum class Kind { host, device, shared };
  // Throws Skip where the device has none of this kind.
  Unified(const World& w, Kind kind, std::size_t bytes);
  Unified(const Unified&) = delete;
  ~Unified();
  unsigned char* bytes() const { return static_cast<unsigned char*>(at_); }
  cl_int* ints() const { return static_cast<cl_int*>(at_); }

 private:
  const World& w_;
  void* at_;
};

}  // namespace tessera::conformance

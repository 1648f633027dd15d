// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/usm_driver.h"

#include <initializer_list>

namespace tessera::worker {
namespace {

template <class Function>
bool find(cl_platform_id platform, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(clGetExtensionFunctionAddressForPlatform(platform, name));
  return *function != nullptr;
}

bool has_any(cl_device_id device, std::initializer_list<cl_device_info> queries) {
  for (const cl_device_info query : queries) {
    cl_device_unified_shared_memory_capabilities_intel can = 0;
    if (clGetDeviceInfo(device, query, sizeof can, &can, nullptr) == CL_SUCCESS && can != 0) {
      return true;
    }
  }
  return false;
}

}  // namespace

UsmDriver UsmDriver::of(cl_platform_id platform) {
  UsmDriver found;
  const bool complete = find(platform, "clHostMemAllocINTEL", &found.host_alloc) &&
                        find(platform, "clDeviceMemAllocINTEL", &found.device_alloc) &&
                        find(platform, "clSharedMemAllocINTEL", &found.shared_alloc) &&
                        find(platform, "clMemFreeINTEL", &found.free) &&
                        find(platform, "clSetKernelArgMemPointerINTEL", &found.set_argument) &&
                        find(platform, "clEnqueueMemFillINTEL", &found.fill) &&
                        find(platform, "clEnqueueMemcpyINTEL", &found.copy);
  return complete ? found : UsmDriver();
}

bool UsmDriver::serves(cl_device_id device, AllocationKind kind) const {
  if (!*this) return false;
  switch (kind) {
    case AllocationKind::host:
      return has_any(device, {CL_DEVICE_HOST_MEM_CAPABILITIES_INTEL});
    case AllocationKind::device:
      return has_any(device, {CL_DEVICE_DEVICE_MEM_CAPABILITIES_INTEL});
    case AllocationKind::shared:
      return has_any(device, {CL_DEVICE_SINGLE_DEVICE_SHARED_MEM_CAPABILITIES_INTEL,
                              CL_DEVICE_CROSS_DEVICE_SHARED_MEM_CAPABILITIES_INTEL});
    case AllocationKind::svm:
      break;
  }
  return false;
}

}  // namespace tessera::worker

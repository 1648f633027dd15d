// SPDX-License-Identifier: Apache-2.0
//
// An OpenCL layer (OPENCL_LAYERS) that lets the bare device bear a lease's names, and changes
// nothing else.
//
// Some programs' own tests ask the platform for its vendor and take another path for each. What
// they do through a lease can then be compared with the bare device only where both bear the same
// name.
#include <CL/cl_layer.h>

#include <cstring>

namespace {

const cl_icd_dispatch* below = nullptr;
cl_icd_dispatch table;

cl_int platform_info(cl_platform_id platform, cl_platform_info what, size_t room, void* to,
                     size_t* size) {
  if (what != CL_PLATFORM_VENDOR && what != CL_PLATFORM_NAME) {
    return below->clGetPlatformInfo(platform, what, room, to, size);
  }
  static constexpr char kName[] = "Tessera";
  if (to != nullptr) {
    if (room < sizeof kName) return CL_INVALID_VALUE;
    std::memcpy(to, kName, sizeof kName);
  }
  if (size != nullptr) *size = sizeof kName;
  return CL_SUCCESS;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) cl_int clGetLayerInfo(cl_layer_info what, size_t room,
                                                             void* to, size_t* size) {
  constexpr cl_layer_api_version kVersion = CL_LAYER_API_VERSION_100;
  if (what != CL_LAYER_API_VERSION) return CL_INVALID_VALUE;
  if (to != nullptr) {
    if (room < sizeof kVersion) return CL_INVALID_VALUE;
    std::memcpy(to, &kVersion, sizeof kVersion);
  }
  if (size != nullptr) *size = sizeof kVersion;
  return CL_SUCCESS;
}

__attribute__((visibility("default"))) cl_int clInitLayer(cl_uint entries,
                                                          const cl_icd_dispatch* target,
                                                          cl_uint* entries_ret,
                                                          const cl_icd_dispatch** layer) {
  constexpr cl_uint kEntries = sizeof table / sizeof(void*);
  if (entries < kEntries) return CL_INVALID_VALUE;
  below = target;
  table = *target;
  table.clGetPlatformInfo = platform_info;
  *entries_ret = kEntries;
  *layer = &table;
  return CL_SUCCESS;
}

}  // extern "C"

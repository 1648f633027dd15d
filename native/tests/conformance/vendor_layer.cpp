// SPDX-License-Identifier: Apache-2.0
//
// An OpenCL layer (OPENCL_LAYERS) that lets the bare device bear a lease's names, and changes
// nothing else.
//
// Some programs' own tests ask the platform for its vendor and take another path for each. What
// they do through a lease can then be compared with the bare device only where both bear the same
// name.
#include <cstring>

#include "tests/conformance/layer.h"

namespace tessera::layer {
namespace {

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

void put_in_front(cl_icd_dispatch& table) {
  table.clGetPlatformInfo = platform_info;
}

}  // namespace tessera::layer

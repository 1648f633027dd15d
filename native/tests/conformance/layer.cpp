// SPDX-License-Identifier: Apache-2.0
#include "tests/conformance/layer.h"

#include <cstring>

namespace tessera::layer {

const cl_icd_dispatch* below = nullptr;

namespace {

cl_icd_dispatch table;

}  // namespace
}  // namespace tessera::layer

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
  using namespace tessera::layer;
  constexpr cl_uint kEntries = sizeof table / sizeof(void*);
  if (entries < kEntries) return CL_INVALID_VALUE;
  below = target;
  table = *target;
  put_in_front(table);
  *entries_ret = kEntries;
  *layer = &table;
  return CL_SUCCESS;
}

}  // extern "C"

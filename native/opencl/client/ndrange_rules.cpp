// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/ndrange_rules.h"

#include <algorithm>
#include <cstring>

namespace tessera::client {
namespace {

cl_int check_global(const NdRange& range, const NdRangeLimits& limits) {
  for (cl_uint i = 0; i < range.dimensions; ++i) {
    if (range.global[i] > limits.max_address) return CL_INVALID_GLOBAL_WORK_SIZE;
    if (range.offset != nullptr && range.offset[i] > limits.max_address - range.global[i]) {
      return CL_INVALID_GLOBAL_OFFSET;
    }
  }
  return CL_SUCCESS;
}

// The total is compared by division, so that no product can wrap.
bool holds(const std::size_t* local, cl_uint dimensions, std::size_t max_size) {
  std::size_t room = max_size;
  for (cl_uint i = 0; i < dimensions; ++i) {
    if (local[i] == 0 || local[i] > room) return false;
    room /= local[i];
  }
  return true;
}

bool divides(const std::size_t* local, const NdRange& range) {
  for (cl_uint i = 0; i < range.dimensions; ++i) {
    if (range.global[i] % local[i] != 0) return false;
  }
  return true;
}

cl_int check_required(const NdRange& range, const WorkGroupFacts& kernel, bool uniform) {
  for (cl_uint i = 0; i < 3; ++i) {
    const std::size_t given = i < range.dimensions ? range.local[i] : 1;
    if (given != kernel.required_size[i]) return CL_INVALID_WORK_GROUP_SIZE;
  }
  return !uniform || divides(range.local, range) ? CL_SUCCESS : CL_INVALID_WORK_GROUP_SIZE;
}

cl_int check_local(const NdRange& range, const WorkGroupFacts& kernel,
                   const NdRangeLimits& limits) {
  for (cl_uint i = 0; i < range.dimensions; ++i) {
    if (range.local[i] > limits.max_item_sizes[i]) return CL_INVALID_WORK_ITEM_SIZE;
  }
  if (!holds(range.local, range.dimensions, kernel.max_size)) return CL_INVALID_WORK_GROUP_SIZE;
  if (kernel.size_is_required()) return check_required(range, kernel, limits.uniform);
  return !limits.uniform || divides(range.local, range) ? CL_SUCCESS : CL_INVALID_WORK_GROUP_SIZE;
}

}  // namespace

NdRangeLimits limits_of(const Device& device) {
  NdRangeLimits limits;
  if (const auto* sizes = device.fact(CL_DEVICE_MAX_WORK_ITEM_SIZES); sizes != nullptr) {
    const std::size_t bytes = std::min(sizes->size(), sizeof limits.max_item_sizes);
    limits.max_dimensions = static_cast<cl_uint>(bytes / sizeof(std::size_t));
    std::memcpy(limits.max_item_sizes.data(), sizes->data(), bytes);
  }
  const bool wide = device.fact_or<cl_uint>(CL_DEVICE_ADDRESS_BITS, 64) >= 64;
  limits.max_address = wide ? UINT64_MAX : UINT32_MAX;
  limits.local_memory = device.fact_or<cl_ulong>(CL_DEVICE_LOCAL_MEM_SIZE, 0);
  limits.uniform = device.fact_or<cl_bool>(CL_DEVICE_NON_UNIFORM_WORK_GROUP_SUPPORT, CL_TRUE) == 0;
  return limits;
}

cl_int check_nd_range(const NdRange& range, const WorkGroupFacts& kernel,
                      const NdRangeLimits& limits) {
  if (range.dimensions < 1 || range.dimensions > limits.max_dimensions) {
    return CL_INVALID_WORK_DIMENSION;
  }
  if (is_empty(range)) return CL_SUCCESS;
  if (const cl_int code = check_global(range, limits); code != CL_SUCCESS) return code;
  if (range.local != nullptr) return check_local(range, kernel, limits);
  return kernel.size_is_required() ? CL_INVALID_WORK_GROUP_SIZE : CL_SUCCESS;
}

bool is_empty(const NdRange& range) {
  if (range.global == nullptr) return true;
  for (cl_uint i = 0; i < range.dimensions; ++i) {
    if (range.global[i] == 0) return true;
  }
  return false;
}

}  // namespace tessera::client

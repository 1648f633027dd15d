// SPDX-License-Identifier: Apache-2.0
//
// The rules of the standard for the sizes of an enqueued kernel, as pure functions.
#pragma once

#include <CL/cl.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "opencl/client/device.h"
#include "opencl/client/kernel_facts.h"

namespace tessera::client {

// What the application passed; the pointers may be NULL.
struct NdRange {
  cl_uint dimensions;
  const std::size_t* offset;
  const std::size_t* global;
  const std::size_t* local;
};

// What a device allows, and `uniform`: every work-group has to be whole.
struct NdRangeLimits {
  cl_uint max_dimensions = 3;
  std::array<std::size_t, 3> max_item_sizes{};
  std::uint64_t max_address = 0;   // largest size_t of the device
  std::uint64_t local_memory = 0;  // bytes
  bool uniform = true;
};

NdRangeLimits limits_of(const Device& device);

// CL_SUCCESS or the error that the standard gives for this range on a device.
cl_int check_nd_range(const NdRange& range, const WorkGroupFacts& kernel,
                      const NdRangeLimits& limits);

// Such a range starts nothing and succeeds once its wait-list is done.
bool is_empty(const NdRange& range);

}  // namespace tessera::client

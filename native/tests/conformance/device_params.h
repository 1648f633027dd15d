// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "tests/conformance/opencl_api.h"

namespace tessera::conformance {

// `size`: bytes of the value, 0 where it varies.
struct DeviceParam {
  cl_device_info name;
  std::size_t size;
  const char* text;
};

// The device parameters of the OpenCL 3.0 core.
const std::vector<DeviceParam>& device_params();

}  // namespace tessera::conformance

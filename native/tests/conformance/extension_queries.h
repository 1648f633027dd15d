// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "tests/conformance/device_params.h"

namespace tessera::conformance {

struct ExtensionQueries {
  const char* name;
  std::vector<DeviceParam> asks{};  // by clGetDeviceInfo, in every revision of the extension
  std::vector<DeviceParam> also{};  // in later ones
};

// What extensions add to clGetDeviceInfo, by their specifications.
const std::vector<ExtensionQueries>& extension_queries();

// The names that the device announces.
std::vector<std::string> announced_extensions(cl_device_id device);

}  // namespace tessera::conformance

// SPDX-License-Identifier: Apache-2.0
#include "tests/conformance/facts.h"

#include <algorithm>
#include <cstdio>

#include "tests/conformance/device_params.h"
#include "tests/conformance/extension_queries.h"
#include "tests/conformance/world.h"

namespace tessera::conformance {

std::string json_text(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", c);
      out += escaped;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

namespace {

// Those of the standard, and those of the extensions that the device announces.
std::vector<DeviceParam> params_of(cl_device_id device) {
  std::vector<DeviceParam> params = device_params();
  const std::vector<std::string> names = announced_extensions(device);
  for (const ExtensionQueries& extension : extension_queries()) {
    if (std::find(names.begin(), names.end(), extension.name) == names.end()) continue;
    params.insert(params.end(), extension.asks.begin(), extension.asks.end());
    params.insert(params.end(), extension.also.begin(), extension.also.end());
  }
  return params;
}

// One part of the device, or nullptr where it has none.
cl_device_id part_of(cl_device_id device) {
  const cl_device_partition_property by_one[] = {CL_DEVICE_PARTITION_EQUALLY, 1, 0};
  cl_uint count = 0;
  if (clCreateSubDevices(device, by_one, 0, nullptr, &count) != CL_SUCCESS) return nullptr;
  std::vector<cl_device_id> parts(count);
  OK(clCreateSubDevices(device, by_one, count, parts.data(), nullptr));
  return parts[0];
}

std::string hex_fact(cl_device_id device, cl_device_info name) {
  std::size_t size = 0;
  std::string value;
  cl_int code = clGetDeviceInfo(device, name, 0, nullptr, &size);
  if (code == CL_SUCCESS) {
    std::vector<unsigned char> bytes(size);
    code = clGetDeviceInfo(device, name, size, size == 0 ? nullptr : bytes.data(), nullptr);
    for (const unsigned char byte : bytes) {
      char two[3];
      std::snprintf(two, sizeof two, "%02x", byte);
      value += two;
    }
  }
  return code == CL_SUCCESS ? value : "error " + code_name(code);
}

}  // namespace

void print_facts() {
  cl_platform_id platform = nullptr;
  cl_device_id device = nullptr;
  OK(clGetPlatformIDs(1, &platform, nullptr));
  OK(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, nullptr));
  const char* comma = "{";
  const auto print = [&](cl_device_id of, const std::string& prefix) {
    for (const DeviceParam& param : params_of(device)) {
      std::printf("%s\n%s:%s", comma, json_text(prefix + param.text).c_str(),
                  json_text(hex_fact(of, param.name)).c_str());
      comma = ",";
    }
  };
  print(device, "");
  if (const cl_device_id part = part_of(device); part != nullptr) print(part, "PART ");
  std::printf("\n}\n");
}

}  // namespace tessera::conformance

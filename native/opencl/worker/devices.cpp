// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/devices.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace tessera::worker {
namespace {

std::vector<cl_platform_id> platforms() {
  cl_uint count = 0;
  if (clGetPlatformIDs(0, nullptr, &count) != CL_SUCCESS) return {};
  std::vector<cl_platform_id> ids(count);
  if (count != 0) clGetPlatformIDs(count, ids.data(), nullptr);
  return ids;
}

std::vector<cl_device_id> devices(cl_platform_id platform) {
  cl_uint count = 0;
  if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &count) != CL_SUCCESS) return {};
  std::vector<cl_device_id> ids(count);
  if (count != 0) clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, count, ids.data(), nullptr);
  return ids;
}

}  // namespace

std::vector<Device> open_devices(const std::vector<GpuOption>& gpus) {
  std::vector<Device> found;
  const auto all = platforms();
  for (const auto& gpu : gpus) {
    const auto of_platform =
        gpu.platform < all.size() ? devices(all[gpu.platform]) : std::vector<cl_device_id>();
    if (gpu.device >= of_platform.size()) {
      throw std::runtime_error("the device " + std::to_string(gpu.platform) + ":" +
                               std::to_string(gpu.device) +
                               " is gone: look at `tessera doctor`, then stop the lease");
    }
    found.push_back({all[gpu.platform], of_platform[gpu.device]});
  }
  return found;
}

bool any_on_host_cores(const std::vector<Device>& devices) {
  return std::ranges::any_of(devices, on_host_cores);
}

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "opencl/worker/options.h"
#include "opencl/worker/session.h"

namespace tessera::worker {

// The driver's devices for the lease's, in the same order. Throws std::runtime_error for one that
// is not there.
std::vector<Device> open_devices(const std::vector<GpuOption>& gpus);

// Whether the device computes on the cores of this host; whether one of them does.
inline bool on_host_cores(const Device& device) {
  cl_device_type type = 0;
  return clGetDeviceInfo(device.id, CL_DEVICE_TYPE, sizeof type, &type, nullptr) == CL_SUCCESS &&
         (type & CL_DEVICE_TYPE_CPU) != 0;
}
bool any_on_host_cores(const std::vector<Device>& devices);

}  // namespace tessera::worker

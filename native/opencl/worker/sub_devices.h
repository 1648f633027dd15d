// SPDX-License-Identifier: Apache-2.0
//
// The driver's sub-devices.
//
// Some drivers free a sub-device at its last release, though a queue on it still has commands under
// way. So they are held until the driver has destroyed every context that was made with them, not
// only until the client released those.
#pragma once

#include <CL/cl.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace tessera::worker {

// One partition of a device.
class SubDevices {
 public:
  // `live` counts those of a session, until they are given back.
  SubDevices(std::shared_ptr<std::atomic<std::size_t>> live, std::vector<cl_device_id> handles);
  SubDevices(const SubDevices&) = delete;
  SubDevices& operator=(const SubDevices&) = delete;
  ~SubDevices();

  const std::vector<cl_device_id>& handles() const { return handles_; }

 private:
  const std::shared_ptr<std::atomic<std::size_t>> live_;
  const std::vector<cl_device_id> handles_;
};

// How a device is to be partitioned: CL_DEVICE_PARTITION_* and what follows it, without the closing
// zeros.
struct Scheme {
  std::uint64_t name;
  std::span<const std::uint64_t> values;
};

// How many sub-devices it makes of `device`. What a driver might take without a look is refused
// before it is asked.
cl_int count_sub_devices(cl_device_id device, const Scheme& scheme, cl_uint& count);
// As many as were counted, each with one reference.
cl_int make_sub_devices(cl_device_id device, const Scheme& scheme,
                        std::vector<cl_device_id>& handles);
std::uint32_t compute_units(cl_device_id device);

// The driver's context, just made, keeps them.
void hold_until_destroyed(cl_context context,
                          const std::vector<std::shared_ptr<const SubDevices>>& partitions);

}  // namespace tessera::worker

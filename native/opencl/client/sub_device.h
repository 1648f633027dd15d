// SPDX-License-Identifier: Apache-2.0
//
// Sub-devices. A sub-device is a Device, which holds its partition; the partition is what the
// worker knows of, and it hears of its release when the last sub-device is gone: released by the
// program, and in no context any more.
//
// Making them is a round trip, because only the driver knows what it makes of a scheme; their facts
// come with it, so that no query costs another.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "opencl/client/device.h"
#include "opencl/client/object.h"

namespace tessera::client {

// The sub-devices of one call.
class Partition final : public Typed<Partition> {
 public:
  // `type`: the properties as the program gave them, with the closing 0; `most`: sub-devices.
  Partition(Session& session, Device& parent, std::vector<std::byte> type, std::uint32_t most)
      : Typed(&session), parent_(parent), type_(std::move(type)), facts_(most) {}

  Device& parent() const { return *parent_; }
  const std::vector<std::byte>& type() const { return type_; }
  // What the worker tells of the sub-device at this place, before it answers.
  void tell(std::uint32_t place, DeviceFacts facts) {
    const std::lock_guard lock(mutex_);
    if (place < facts_.size()) facts_[place] = std::move(facts);
  }
  DeviceFacts facts(std::uint32_t place) {
    const std::lock_guard lock(mutex_);
    return facts_.at(place);
  }

 private:
  Ref<Device> parent_;
  std::vector<std::byte> type_;
  std::mutex mutex_;  // a hostile worker may tell at any time
  std::vector<DeviceFacts> facts_;
};

// What clCreateSubDevices makes, as objects of this session; `room`: at most so many. Throws
// ApiError.
std::vector<Ref<Device>> make_sub_devices(Session& session, Device& device,
                                          const cl_device_partition_property* properties,
                                          cl_uint room);

}  // namespace tessera::client

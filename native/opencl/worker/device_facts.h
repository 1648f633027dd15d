// SPDX-License-Identifier: Apache-2.0
//
// What a client was told of its device and counts on for the rest of its life: a session may only
// be resumed where it still holds.
#pragma once

#include <CL/cl.h>

#include <cstdint>
#include <string>

#include "wire/codec.h"

namespace tessera::worker {

struct DeviceFacts {
  std::string name;
  std::string extensions;  // separated by spaces
  std::uint64_t type = 0;
  std::uint64_t images = 0;  // 0 or 1
  std::uint64_t address_bits = 0;
  std::uint64_t largest_object = 0;  // bytes
  std::uint64_t work_group = 0;      // work-items
  std::uint64_t local_memory = 0;    // bytes
  std::uint64_t single_float = 0;    // cl_device_fp_config
  std::uint64_t double_float = 0;    // the same

  static DeviceFacts of(cl_device_id device);
};

void encode(wire::Encoder& out, const DeviceFacts& facts);
bool decode(wire::Decoder& in, DeviceFacts& facts);

// What `now` lacks of what a client was told, in words; empty when it has all of it.
std::string missing(const DeviceFacts& told, const DeviceFacts& now);

}  // namespace tessera::worker

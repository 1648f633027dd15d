// SPDX-License-Identifier: Apache-2.0
//
// Sub-devices on the wire. A message names a device by a number. The lease's devices have the low
// ones, by their place in the lease; the client gives each sub-device one of its own, above them,
// for as long as the session lasts. So whatever takes a device takes a sub-device, too.
//
// The sub-devices of one clCreateSubDevices are one object on the wire, a partition, which goes
// with the last of them: a record of it is one message, and a driver need not be asked twice for
// the same partition and may not answer twice with the same parts.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tessera {

inline constexpr std::uint32_t kFirstSubDevice = 1u << 16;
inline constexpr std::size_t kMaxSubDevices = 4096;  // live, of one session

}  // namespace tessera

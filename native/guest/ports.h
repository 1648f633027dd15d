// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/unique_fd.h"

namespace tessera::guest {

// What each virtio-serial port is for, by its number. src/tessera/hypervisor/base.py says the same.
inline constexpr unsigned kControlPort = 1;
inline constexpr unsigned kStdinPort = 2;
inline constexpr unsigned kStdoutPort = 3;
inline constexpr unsigned kStderrPort = 4;
inline constexpr unsigned kFirstGpuPort = 5;
inline constexpr unsigned kMaxPort = 30;  // of one virtio-serial device

// Every port of the machine from number 1 on, open, not blocking, and joined to the host.
// Throws std::runtime_error where the first one does not come.
std::vector<UniqueFd> open_ports();

}  // namespace tessera::guest

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "base/unique_fd.h"

namespace tessera::worker {

// Dies with the gatekeeper, cannot be looked into by other processes of the user, and carries
// nothing of Tessera's own environment into the driver.
void harden_process();

// The 32 bytes behind `fd`, which is closed; empty for no descriptor. Throws std::runtime_error.
std::vector<std::byte> read_token(int fd);

// Makes this process's standard output a pipe and returns the end to read from. Throws
// std::system_error.
UniqueFd capture_standard_output();

}  // namespace tessera::worker

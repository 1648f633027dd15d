// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace tessera::guest {

// From here on this process may use the descriptors that it has, take descriptors that it is sent,
// and have memory; any other system call ends it (SIGSYS). Throws std::system_error.
void confine();

}  // namespace tessera::guest

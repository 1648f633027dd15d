// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "gatekeeper/control.h"
#include "lease/quota.h"

namespace tessera::gatekeeper {

// What the daemon can tell the gatekeeper of a lease. `quota` must outlive the commands.
//
//   resize GPU BYTES [GPU BYTES ...]   changes limits, all of them or none
//     error no-such-gpu, error below-use
std::vector<Command> lease_commands(Quota& quota);

}  // namespace tessera::gatekeeper

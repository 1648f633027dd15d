// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "guest/window.h"

namespace tessera::guest {

// The memory that this machine shares with its host; an empty one where it has no such device.
// Throws std::system_error.
Window find_shared_memory();

}  // namespace tessera::guest

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace tessera {

// Offset and size of each field of the board in bytes, as JSON: {"magic": [0, 8], ...}.
std::string board_layout_json();

}  // namespace tessera

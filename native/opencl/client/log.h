// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace tessera::client {

// In the order of TESSERA_LOG=none|error|warn|info|debug; warn where it is not set.
enum class LogLevel : int { error, warn, info, debug };

// One line on stderr, in one write, so that lines of several threads do not mix.
void log(LogLevel level, std::string_view text) noexcept;

}  // namespace tessera::client

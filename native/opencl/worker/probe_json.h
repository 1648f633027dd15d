// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace tessera::probe {

// `text` as a JSON string with its quotes. Drivers name themselves in whatever bytes they like:
// what is not valid UTF-8 becomes U+FFFD, and the text ends at its first NUL.
std::string json_string(std::string_view text);

}  // namespace tessera::probe

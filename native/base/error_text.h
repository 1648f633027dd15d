// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string.h>

#include <string>

namespace tessera {

// The system's words for an errno value.
inline std::string error_text(int number) {
  char buffer[128] = {};
  return ::strerror_r(number, buffer, sizeof buffer);
}

}  // namespace tessera

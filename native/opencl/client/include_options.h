// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "opencl/client/include_scan.h"

namespace tessera::client {

// What build options say about included files.
struct IncludeOptions {
  std::vector<std::string> folders;          // of -I, in order, as they are written
  std::vector<MacroDefinition> definitions;  // of -D
};

IncludeOptions include_options(std::string_view options);

}  // namespace tessera::client

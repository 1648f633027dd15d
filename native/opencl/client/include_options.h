// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace tessera::client {

// The options with each relative path of `-I` made absolute in `folder`, the rest byte by byte as
// it was: the compiler runs in another process, which has its own current folder.
std::string with_absolute_includes(std::string_view options, std::string_view folder);

// The current folder of this process; empty where it has none any more.
std::string current_folder();

}  // namespace tessera::client

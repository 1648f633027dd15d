// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace tessera::client {

// What the build options decide about enqueues: true when every work-group has to be whole, because
// the language version (the newest of `-cl-std=`; 1.2 without one) or an option says so.
bool options_ask_for_uniform_work_groups(std::string_view options);

}  // namespace tessera::client

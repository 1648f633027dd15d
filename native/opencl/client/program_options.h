// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace tessera::client {

// What the build options decide about enqueues: true when every work-group has to be whole, because
// the language version (the newest of `-cl-std=`; 1.2 without one) or an option says so.
bool options_ask_for_uniform_work_groups(std::string_view options);

// Whether a program built or linked with these options, which may be null, tells what the arguments
// of its kernels are. By the standard it does where the option asks for it. The worker's driver is
// always asked for it (it is needed to judge arguments); the embedded device answers programs
// without any options too, and a lease does what it does.
bool options_keep_arg_info(const char* options);

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
//
// Whether a program may keep values on the device that are in none of its buffers: variables at
// program scope, and static ones of functions, which OpenCL C has since 2.0.
//
// No driver can be asked for their values, so a suspend would lose them, and not every driver says
// that they are there (CL_PROGRAM_BUILD_GLOBAL_VARIABLE_TOTAL_SIZE). So the source is looked at as
// well, without preprocessing it: what a macro hides is not seen.
#pragma once

#include <string_view>

namespace tessera::worker {

// False where the options name no version of the language that has them.
bool options_allow_variables(std::string_view options);

bool declares_variables(std::string_view source);

}  // namespace tessera::worker

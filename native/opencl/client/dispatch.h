// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CL/cl_icd.h>

namespace tessera::client {

// The loader finds it in the first word of every handle.
extern const cl_icd_dispatch kDispatch;

// An entry point by its name, or nullptr.
void* entry_point(const char* name);
// The same for what the table has no place for.
void* function_of_extension(const char* name);

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CL/cl.h>

namespace tessera::client {

// The loader's question, and clGetPlatformIDs. Connects; says on stderr why it cannot.
cl_int CL_API_CALL get_platform_ids(cl_uint num_entries, cl_platform_id* platforms,
                                    cl_uint* num_platforms);

}  // namespace tessera::client

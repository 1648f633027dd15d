// SPDX-License-Identifier: Apache-2.0
//
// What every OpenCL layer (OPENCL_LAYERS) of the tests shares: layer.cpp talks to the loader, and
// each layer says which functions it puts in front of the driver's.
#pragma once

#include <CL/cl_layer.h>

namespace tessera::layer {

// The driver's functions, or those of the next layer.
extern const cl_icd_dispatch* below;

// Called once, before any other function; `table` begins as a copy of `below`.
void put_in_front(cl_icd_dispatch& table);

}  // namespace tessera::layer

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CL/cl.h>

#include "generated/messages_image.h"
#include "opencl/worker/validate.h"

namespace tessera::worker {

// Bytes of one pixel; 0 for a pair of channel order and type that the standard does not allow.
std::uint64_t pixel_bytes(cl_channel_order order, cl_channel_type type);

// The shape of the image that a message asks for; its `size` is that of tightly packed pixels.
// CL_INVALID_IMAGE_DESCRIPTOR or CL_INVALID_IMAGE_FORMAT_DESCRIPTOR where there is no such image.
cl_int shape_of(const wire::CreateImage& m, MemShape& shape);

// The description for the driver. `buffer` is the object that the image lies over, or null.
cl_image_desc description_of(const wire::CreateImage& m, cl_mem buffer);

}  // namespace tessera::worker

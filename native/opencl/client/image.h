// SPDX-License-Identifier: Apache-2.0
//
// Images beyond what they share with buffers (mem.h).
#pragma once

#include <CL/cl.h>

#include <array>

#include "opencl/client/image_layout.h"
#include "opencl/client/mem.h"

namespace tessera::client {

inline bool is_image_type(cl_mem_object_type type) {
  return type >= CL_MEM_OBJECT_IMAGE2D && type <= CL_MEM_OBJECT_IMAGE1D_BUFFER;
}

ImageShape shape_of(const Mem& image);
// The device takes images of this shape at all.
bool image_fits(const ImageShape& shape, const Device& device);

// Four channels, as clEnqueueFillImage takes them.
using FillColor = std::array<std::byte, 16>;
FillColor color_of(const Mem& image, const void* from);

// An image that the program asks for, checked and completed.
struct ImagePlan {
  cl_mem_flags flags = 0;
  ImageFacts facts;
  ImageShape shape;
  std::size_t bytes = 0;  // tightly packed
  HostSteps host;         // of the program's memory, or of the shadow
  std::size_t shadow_bytes = 0;
  Mem* parent = nullptr;  // the buffer or image that it lies over
};

// The errors of clCreateImage in the order of the standard, up to the room for it. Throws ApiError.
ImagePlan plan_image(Context& context, cl_mem_flags flags, const cl_image_format* format,
                     const cl_image_desc* desc, const void* host_ptr);

}  // namespace tessera::client

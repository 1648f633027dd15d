// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/image_shape.h"

namespace tessera::worker {
namespace {

std::uint64_t channel_count(cl_channel_order order) {
  switch (order) {
    case CL_R:
    case CL_A:
    case CL_Rx:
    case CL_INTENSITY:
    case CL_LUMINANCE:
    case CL_DEPTH:
      return 1;
    case CL_RG:
    case CL_RA:
    case CL_RGx:
      return 2;
    case CL_RGB:
    case CL_sRGB:
    case CL_RGBx:
      return 3;
    case CL_sRGBx:
    case CL_RGBA:
    case CL_BGRA:
    case CL_ARGB:
    case CL_ABGR:
    case CL_sRGBA:
    case CL_sBGRA:
      return 4;
    default:
      return 0;
  }
}

std::uint64_t channel_bytes(cl_channel_type type) {
  switch (type) {
    case CL_SNORM_INT8:
    case CL_UNORM_INT8:
    case CL_SIGNED_INT8:
    case CL_UNSIGNED_INT8:
      return 1;
    case CL_SNORM_INT16:
    case CL_UNORM_INT16:
    case CL_SIGNED_INT16:
    case CL_UNSIGNED_INT16:
    case CL_HALF_FLOAT:
      return 2;
    case CL_SIGNED_INT32:
    case CL_UNSIGNED_INT32:
    case CL_FLOAT:
      return 4;
    default:
      return 0;
  }
}

// Addressable pixels, the array's index as the last dimension. Zeros for no type of image.
std::array<std::uint64_t, 3> addressable(const wire::CreateImage& m) {
  switch (m.image_type) {
    case CL_MEM_OBJECT_IMAGE1D:
    case CL_MEM_OBJECT_IMAGE1D_BUFFER:
      return {m.extent[0], 1, 1};
    case CL_MEM_OBJECT_IMAGE1D_ARRAY:
      return {m.extent[0], m.array_size, 1};
    case CL_MEM_OBJECT_IMAGE2D:
      return {m.extent[0], m.extent[1], 1};
    case CL_MEM_OBJECT_IMAGE2D_ARRAY:
      return {m.extent[0], m.extent[1], m.array_size};
    case CL_MEM_OBJECT_IMAGE3D:
      return {m.extent[0], m.extent[1], m.extent[2]};
    default:
      return {};
  }
}

}  // namespace

std::uint64_t pixel_bytes(cl_channel_order order, cl_channel_type type) {
  switch (type) {
    case CL_UNORM_SHORT_565:
    case CL_UNORM_SHORT_555:
      return 2;
    case CL_UNORM_INT_101010:
    case CL_UNORM_INT_101010_2:
      return 4;
    default:
      return channel_count(order) * channel_bytes(type);
  }
}

cl_int shape_of(const wire::CreateImage& m, MemShape& shape) {
  shape.type = m.image_type;
  shape.flags = m.flags;
  shape.pixels = addressable(m);
  shape.element = pixel_bytes(m.channel_order, m.channel_type);
  if (shape.element == 0) return CL_INVALID_IMAGE_FORMAT_DESCRIPTOR;
  shape.size = packed_size(shape.pixels, shape.element);
  return shape.size == 0 ? CL_INVALID_IMAGE_DESCRIPTOR : CL_SUCCESS;
}

cl_image_desc description_of(const wire::CreateImage& m, cl_mem buffer) {
  cl_image_desc desc{};
  desc.image_type = m.image_type;
  desc.image_width = m.extent[0];
  desc.image_height = m.extent[1];
  desc.image_depth = m.extent[2];
  desc.image_array_size = m.array_size;
  // Only an image over a buffer has a say in its layout.
  desc.image_row_pitch = buffer != nullptr ? m.row_pitch : 0;
  desc.mem_object = buffer;
  return desc;
}

}  // namespace tessera::worker

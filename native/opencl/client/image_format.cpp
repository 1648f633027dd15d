// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/image_format.h"

#include <CL/cl_ext.h>

namespace tessera::client {
namespace {

// Bytes of one channel; 0 for types that pack a whole pixel and for unknown ones.
std::size_t channel_size(cl_channel_type type) {
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

bool is_normalized_or_float(cl_channel_type type) {
  switch (type) {
    case CL_SNORM_INT8:
    case CL_UNORM_INT8:
    case CL_SNORM_INT16:
    case CL_UNORM_INT16:
    case CL_HALF_FLOAT:
    case CL_FLOAT:
      return true;
    default:
      return false;
  }
}

std::size_t packed_rgb_size(cl_channel_type type) {
  switch (type) {
    case CL_UNORM_SHORT_565:
    case CL_UNORM_SHORT_555:
      return 2;
    case CL_UNORM_INT_101010:
      return 4;
    default:
      return 0;
  }
}

}  // namespace

std::size_t pixel_size(const cl_image_format& format) {
  const cl_channel_type type = format.image_channel_data_type;
  const std::size_t channel = channel_size(type);
  switch (format.image_channel_order) {
    case CL_R:
    case CL_A:
    case CL_Rx:
      return channel;
    case CL_RG:
    case CL_RA:
    case CL_RGx:
      return 2 * channel;
    case CL_RGBA:
      return type == CL_UNORM_INT_101010_2 ? 4 : 4 * channel;
    case CL_RGB:
    case CL_RGBx:
      return packed_rgb_size(type);
    case CL_ARGB:
    case CL_BGRA:
    case CL_ABGR:
      return channel == 1 ? 4 : 0;
    case CL_INTENSITY:
    case CL_LUMINANCE:
      return is_normalized_or_float(type) ? channel : 0;
    case CL_DEPTH:
      return type == CL_UNORM_INT16 || type == CL_FLOAT ? channel : 0;
    case CL_DEPTH_STENCIL:
      if (type == CL_UNORM_INT24) return 4;
      return type == CL_FLOAT ? 8 : 0;
    case CL_sRGB:
      return type == CL_UNORM_INT8 ? 3 : 0;
    case CL_sRGBx:
    case CL_sRGBA:
    case CL_sBGRA:
      return type == CL_UNORM_INT8 ? 4 : 0;
    default:
      return 0;
  }
}

}  // namespace tessera::client

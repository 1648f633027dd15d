// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CL/cl.h>

#include <cstddef>

namespace tessera::client {

// Bytes of one pixel; 0 = not a pair of channel order and type that the standard allows.
std::size_t pixel_size(const cl_image_format& format);

inline bool same_format(const cl_image_format& a, const cl_image_format& b) {
  return a.image_channel_order == b.image_channel_order &&
         a.image_channel_data_type == b.image_channel_data_type;
}

}  // namespace tessera::client

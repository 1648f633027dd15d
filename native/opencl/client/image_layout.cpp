// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/image_layout.h"

#include <algorithm>

namespace tessera::client {
namespace {

bool has_slices(const ImageShape& shape) {
  return shape.type == CL_MEM_OBJECT_IMAGE3D || shape.type == CL_MEM_OBJECT_IMAGE2D_ARRAY;
}

}  // namespace

wire::Id3 ImageShape::limits() const {
  switch (type) {
    case CL_MEM_OBJECT_IMAGE1D_ARRAY:
      return {width, array_size, 1};
    case CL_MEM_OBJECT_IMAGE2D:
      return {width, height, 1};
    case CL_MEM_OBJECT_IMAGE2D_ARRAY:
      return {width, height, array_size};
    case CL_MEM_OBJECT_IMAGE3D:
      return {width, height, depth};
    default:
      return {width, 1, 1};
  }
}

std::optional<HostSteps> host_steps(const ImageShape& shape, const wire::Id3& region,
                                    std::size_t row_pitch, std::size_t slice_pitch) {
  const std::size_t tight = region[0] * shape.pixel;
  const std::size_t row = row_pitch == 0 ? tight : row_pitch;
  if (row < tight) return std::nullopt;
  if (shape.type == CL_MEM_OBJECT_IMAGE1D_ARRAY) {
    const std::size_t element = slice_pitch == 0 ? row : slice_pitch;
    if (element < row) return std::nullopt;
    return HostSteps{element, 0};
  }
  const std::size_t tight_slice = row * region[1];
  if (!has_slices(shape)) {
    if (slice_pitch != 0) return std::nullopt;
    return HostSteps{row, tight_slice};
  }
  const std::size_t slice = slice_pitch == 0 ? tight_slice : slice_pitch;
  if (slice < tight_slice) return std::nullopt;
  return HostSteps{row, slice};
}

bool region_is_formed(const ImageShape& shape, const wire::Id3& origin, const wire::Id3& region) {
  if (std::find(region.begin(), region.end(), 0) != region.end()) return false;
  const bool flat = !has_slices(shape);
  if (flat && (origin[2] != 0 || region[2] != 1)) return false;
  const bool line =
      shape.type == CL_MEM_OBJECT_IMAGE1D || shape.type == CL_MEM_OBJECT_IMAGE1D_BUFFER;
  return !line || (origin[1] == 0 && region[1] == 1);
}

bool region_is_inside(const ImageShape& shape, const wire::Id3& origin, const wire::Id3& region) {
  const wire::Id3 limits = shape.limits();
  for (std::size_t i = 0; i < 3; ++i) {
    if (origin[i] > limits[i] || region[i] > limits[i] - origin[i]) return false;
  }
  return true;
}

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstring>

#include "opencl/null/objects.h"

namespace tessera::null {

using Size3 = std::array<std::size_t, 3>;

// A box of bytes: `width` bytes a row, `rows`, `slices`; from row to row and slice to slice.
struct Pitch {
  std::size_t row, slice;
};

inline Size3 size3(const std::size_t* from) {
  return {from[0], from[1], from[2]};
}

// Copies a box between two places whose bounds have been checked; they may overlap only if equal.
inline void copy_box(std::byte* to, Pitch to_pitch, const std::byte* from, Pitch from_pitch,
                     const Size3& box) {
  for (std::size_t z = 0; z < box[2]; ++z) {
    for (std::size_t y = 0; y < box[1]; ++y) {
      std::memmove(to + z * to_pitch.slice + y * to_pitch.row,
                   from + z * from_pitch.slice + y * from_pitch.row, box[0]);
    }
  }
}

// `mem` may be used by `queue`: CL_SUCCESS or the API's error.
inline cl_int check_memory(cl_command_queue queue, cl_mem mem, bool image) {
  if (!valid(queue)) return CL_INVALID_COMMAND_QUEUE;
  if (!valid(mem)) return CL_INVALID_MEM_OBJECT;
  if (mem->context.get() != queue->context.get()) return CL_INVALID_CONTEXT;
  return (mem->type != CL_MEM_OBJECT_BUFFER) == image ? CL_SUCCESS : CL_INVALID_MEM_OBJECT;
}

// [offset, offset + size) lies within `mem`.
inline bool inside(cl_mem mem, std::size_t offset, std::size_t size) {
  return offset <= mem->size && size <= mem->size - offset;
}

// The box lies within the image; `box` counts pixels.
inline bool inside_image(cl_mem image, const Size3& origin, const Size3& box) {
  for (std::size_t i = 0; i < 3; ++i) {
    if (box[i] == 0 || origin[i] > image->extent[i] || box[i] > image->extent[i] - origin[i]) {
      return false;
    }
  }
  return true;
}

}  // namespace tessera::null

// SPDX-License-Identifier: Apache-2.0
//
// Where the pixels of an image lie: in its own coordinates, in the application's memory with its
// pitches, and in a message, where they are always tightly packed.
//
// A coordinate has three parts that mean column, row and slice for a 3D image, but column and
// element for a 1D array. Everything else speaks of coordinates 0, 1 and 2 and of the bytes from
// one to the next, so that only `host_steps` has to know which pitch belongs to which.
#pragma once

#include <CL/cl.h>

#include <cstddef>
#include <optional>

#include "wire/codec.h"

namespace tessera::client {

struct ImageShape {
  cl_mem_object_type type = 0;
  std::size_t pixel = 0;  // bytes
  std::size_t width = 0, height = 0, depth = 0,
              array_size = 0;  // pixels; those without meaning are 0

  // The exclusive limits of a coordinate.
  wire::Id3 limits() const;
};

// Bytes from one row, and from one slice, to the next in the application's memory.
struct HostSteps {
  std::size_t row = 0;
  std::size_t slice = 0;

  std::size_t offset(const wire::Id3& at, std::size_t pixel) const {
    return at[0] * pixel + at[1] * row + at[2] * slice;
  }
};

// The steps that the API's pitches mean (0 = tightly packed), or nothing for pitches that are too
// small for `region`, and for a slice pitch of an image without slices.
std::optional<HostSteps> host_steps(const ImageShape& shape, const wire::Id3& region,
                                    std::size_t row_pitch, std::size_t slice_pitch);

// Whether origin and region follow the rules of the image's type, and lie inside it.
bool region_is_formed(const ImageShape& shape, const wire::Id3& origin, const wire::Id3& region);
bool region_is_inside(const ImageShape& shape, const wire::Id3& origin, const wire::Id3& region);

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
//
// What a command may touch, decided before the driver sees it.
//
// Drivers check part of their arguments, and which part differs: an offset that one refuses,
// another dereferences. A client that writes its own messages must not find that difference, so
// every size, offset and region is judged here first, by pure functions over numbers. They return
// CL_SUCCESS or the error that the standard names for the case; none of them computes a sum or a
// product that could wrap.
#pragma once

#include <CL/cl.h>

#include <array>
#include <cstdint>
#include <span>

#include "generated/messages_buffer.h"
#include "generated/messages_image.h"

namespace tessera::worker {

// The extents of a memory object. A buffer has only `size`.
struct MemShape {
  cl_mem_object_type type = CL_MEM_OBJECT_BUFFER;
  std::uint64_t size = 0;  // bytes
  // Images: addressable pixels (the array index counts as the last dimension), and bytes of a
  // pixel.
  std::array<std::uint64_t, 3> pixels{};
  std::uint64_t element = 0;
  cl_mem_flags flags = 0;

  bool image() const { return type != CL_MEM_OBJECT_BUFFER; }
};

// `true` when offset..offset+size lies within `limit`.
bool within(std::uint64_t offset, std::uint64_t size, std::uint64_t limit);

// A rectangle of a buffer: CL_INVALID_VALUE unless every byte of it lies in `buffer`. Pitches of 0
// take the tight value.
cl_int check_rect(const MemShape& buffer, const wire::Id3& origin, const wire::Id3& region,
                  std::uint64_t row_pitch, std::uint64_t slice_pitch);
// A box of an image, with the standard's rules for the unused dimensions.
cl_int check_box(const MemShape& image, const wire::Id3& origin, const wire::Id3& region);

// Bytes of a tightly packed region (first factor in bytes, or pixels times `element`); 0 when it is
// empty or does not fit 64 bits.
std::uint64_t packed_size(const wire::Id3& region, std::uint64_t element = 1);

// One for each generated command.
cl_int validate(const wire::FillBuffer& m, const MemShape& buffer);
cl_int validate(const wire::CopyBuffer& m, const MemShape& source, const MemShape& destination);
cl_int validate(const wire::CopyBufferRect& m, const MemShape& source, const MemShape& destination);
cl_int validate(const wire::MigrateMemObjects& m);
cl_int validate(const wire::FillImage& m, const MemShape& image);
cl_int validate(const wire::CopyImage& m, const MemShape& source, const MemShape& destination);
cl_int validate(const wire::CopyImageToBuffer& m, const MemShape& source,
                const MemShape& destination);
cl_int validate(const wire::CopyBufferToImage& m, const MemShape& source,
                const MemShape& destination);

// Flags of clCreateBuffer as they may come from the wire: no *_HOST_PTR, no contradictions.
cl_int check_mem_flags(cl_mem_flags flags);

}  // namespace tessera::worker

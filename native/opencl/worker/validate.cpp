// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/validate.h"

#include <bit>
#include <optional>

namespace tessera::worker {
namespace {

using std::uint64_t;
using Wide = unsigned __int128;

// Sums and products that stay within 64 bits, or nothing.
std::optional<uint64_t> narrow(Wide value) {
  if (value > UINT64_MAX) return std::nullopt;
  return static_cast<uint64_t>(value);
}

std::optional<uint64_t> product(uint64_t a, uint64_t b) {
  return narrow(Wide{a} * b);
}

// a * b + c * d + e, of which none may wrap: each product of 64-bit numbers leaves room in 128 bits
// for itself only, so they are narrowed first.
std::optional<uint64_t> offset_of(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
  const auto first = product(a, b);
  const auto second = product(c, d);
  if (!first || !second) return std::nullopt;
  return narrow(Wide{*first} + *second + e);
}

bool empty(const wire::Id3& region) {
  return region[0] == 0 || region[1] == 0 || region[2] == 0;
}

bool overlap(uint64_t a, uint64_t b, uint64_t size) {
  return a < b ? b - a < size : a - b < size;
}

// Bytes between a buffer's offset and the pixels of a box.
cl_int check_pixels(const MemShape& image, const wire::Id3& origin, const wire::Id3& region,
                    const MemShape& buffer, uint64_t offset) {
  if (!image.image() || buffer.image()) return CL_INVALID_MEM_OBJECT;
  if (const cl_int status = check_box(image, origin, region); status != CL_SUCCESS) return status;
  const uint64_t bytes = packed_size(region, image.element);
  return bytes != 0 && within(offset, bytes, buffer.size) ? CL_SUCCESS : CL_INVALID_VALUE;
}

}  // namespace

bool within(uint64_t offset, uint64_t size, uint64_t limit) {
  return size <= limit && offset <= limit - size;
}

uint64_t packed_size(const wire::Id3& region, uint64_t element) {
  auto size = product(region[0], element);
  if (size) size = product(*size, region[1]);
  if (size) size = product(*size, region[2]);
  return size.value_or(0);
}

cl_int check_rect(const MemShape& buffer, const wire::Id3& origin, const wire::Id3& region,
                  uint64_t row_pitch, uint64_t slice_pitch) {
  if (buffer.image()) return CL_INVALID_MEM_OBJECT;
  if (empty(region)) return CL_INVALID_VALUE;
  if (row_pitch == 0) row_pitch = region[0];
  if (row_pitch < region[0]) return CL_INVALID_VALUE;
  const auto slice = product(region[1], row_pitch);
  if (!slice) return CL_INVALID_VALUE;
  if (slice_pitch == 0) slice_pitch = *slice;
  if (slice_pitch < *slice) return CL_INVALID_VALUE;
  const auto first = offset_of(origin[2], slice_pitch, origin[1], row_pitch, origin[0]);
  const auto length = offset_of(region[2] - 1, slice_pitch, region[1] - 1, row_pitch, region[0]);
  if (!first || !length) return CL_INVALID_VALUE;
  return within(*first, *length, buffer.size) ? CL_SUCCESS : CL_INVALID_VALUE;
}

cl_int check_box(const MemShape& image, const wire::Id3& origin, const wire::Id3& region) {
  if (!image.image()) return CL_INVALID_MEM_OBJECT;
  if (empty(region)) return CL_INVALID_VALUE;
  for (std::size_t i = 0; i < 3; ++i) {
    if (!within(origin[i], region[i], image.pixels[i])) return CL_INVALID_VALUE;
  }
  return CL_SUCCESS;
}

cl_int validate(const wire::FillBuffer& m, const MemShape& buffer) {
  const uint64_t size = m.pattern.size();
  if (buffer.image()) return CL_INVALID_MEM_OBJECT;
  if (size == 0 || size > 128 || !std::has_single_bit(size)) return CL_INVALID_VALUE;
  if (m.offset % size != 0 || m.cb % size != 0) return CL_INVALID_VALUE;
  return within(m.offset, m.cb, buffer.size) ? CL_SUCCESS : CL_INVALID_VALUE;
}

cl_int validate(const wire::CopyBuffer& m, const MemShape& source, const MemShape& destination) {
  if (source.image() || destination.image()) return CL_INVALID_MEM_OBJECT;
  if (!within(m.src_offset, m.cb, source.size) || !within(m.dst_offset, m.cb, destination.size)) {
    return CL_INVALID_VALUE;
  }
  const bool same = m.src_buffer == m.dst_buffer;
  return same && overlap(m.src_offset, m.dst_offset, m.cb) ? CL_MEM_COPY_OVERLAP : CL_SUCCESS;
}

cl_int validate(const wire::CopyBufferRect& m, const MemShape& source,
                const MemShape& destination) {
  const cl_int status =
      check_rect(source, m.src_origin, m.region, m.src_row_pitch, m.src_slice_pitch);
  if (status != CL_SUCCESS) return status;
  return check_rect(destination, m.dst_origin, m.region, m.dst_row_pitch, m.dst_slice_pitch);
}

cl_int validate(const wire::MigrateMemObjects& m) {
  constexpr cl_mem_migration_flags kKnown =
      CL_MIGRATE_MEM_OBJECT_HOST | CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED;
  return m.mem_objects.empty() || (m.flags & ~kKnown) != 0 ? CL_INVALID_VALUE : CL_SUCCESS;
}

cl_int validate(const wire::FillImage& m, const MemShape& image) {
  return check_box(image, m.origin, m.region);
}

cl_int validate(const wire::CopyImage& m, const MemShape& source, const MemShape& destination) {
  if (const cl_int status = check_box(source, m.src_origin, m.region); status != CL_SUCCESS) {
    return status;
  }
  if (source.element != destination.element) return CL_IMAGE_FORMAT_MISMATCH;
  return check_box(destination, m.dst_origin, m.region);
}

cl_int validate(const wire::CopyImageToBuffer& m, const MemShape& source,
                const MemShape& destination) {
  return check_pixels(source, m.src_origin, m.region, destination, m.dst_offset);
}

cl_int validate(const wire::CopyBufferToImage& m, const MemShape& source,
                const MemShape& destination) {
  return check_pixels(destination, m.dst_origin, m.region, source, m.src_offset);
}

cl_int check_mem_flags(cl_mem_flags flags) {
  constexpr cl_mem_flags kKernel = CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY;
  constexpr cl_mem_flags kHost =
      CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS;
  constexpr cl_mem_flags kKnown = kKernel | kHost | CL_MEM_KERNEL_READ_AND_WRITE;
  const bool one_each = std::popcount(flags & kKernel) <= 1 && std::popcount(flags & kHost) <= 1;
  return (flags & ~kKnown) == 0 && one_each ? CL_SUCCESS : CL_INVALID_VALUE;
}

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>

#include "opencl/client/checks.h"

namespace tessera::client::check {
namespace {

constexpr size_t kMaxPattern = 128;  // bytes, a long16

// Where the buffer's memory begins, to tell whether two handles share it.
const Mem& root_of(const Mem& mem) {
  return mem.parent() != nullptr ? *mem.parent() : mem;
}

bool nonzero(const size_t* region) {
  return region[0] != 0 && region[1] != 0 && region[2] != 0;
}

// a * b + c in bytes, or more than any buffer has.
size_t multiply_add(size_t a, size_t b, size_t c) {
  size_t product;
  size_t sum;
  if (__builtin_mul_overflow(a, b, &product) || __builtin_add_overflow(product, c, &sum)) {
    return SIZE_MAX;
  }
  return sum;
}

std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

// Two boxes of the same region and pitches, `distance` bytes apart. They overlap where a step of
// (x, y, z), each smaller than the region's side, leads from one to the other; a step along the
// last axes is less than one along the axis before, so that only two candidates are left for each.
bool boxes_overlap(std::int64_t distance, const size_t* region, size_t row_pitch,
                   size_t slice_pitch) {
  const auto smaller = [](std::int64_t step, size_t side) {
    return static_cast<size_t>(std::abs(step)) < side;
  };
  const auto slice = static_cast<std::int64_t>(slice_pitch);
  const auto row = static_cast<std::int64_t>(row_pitch);
  for (std::int64_t dz = floor_divide(distance, slice), z_end = dz + 1; dz <= z_end; ++dz) {
    if (!smaller(dz, region[2])) continue;
    const std::int64_t in_slice = distance - dz * slice;
    for (std::int64_t dy = floor_divide(in_slice, row), y_end = dy + 1; dy <= y_end; ++dy) {
      if (smaller(dy, region[1]) && smaller(in_slice - dy * row, region[0])) return true;
    }
  }
  return false;
}

}  // namespace

void buffer(const Command& command, const Mem& mem) {
  ensure(mem.is_buffer(), CL_INVALID_MEM_OBJECT);
  if (mem.parent() == nullptr) return;
  const size_t alignment = std::max<size_t>(command.queue().device().address_align_bits() / 8, 1);
  ensure(mem.offset() % alignment == 0, CL_MISALIGNED_SUB_BUFFER_OFFSET);
}

void range(const Mem& buffer, size_t offset, size_t size) {
  ensure(offset <= buffer.size() && size <= buffer.size() - offset, CL_INVALID_VALUE);
}

void box_pitches(const size_t* region, size_t& row_pitch, size_t& slice_pitch) {
  ensure(nonzero(region), CL_INVALID_VALUE);
  if (row_pitch == 0) row_pitch = region[0];
  ensure(row_pitch >= region[0], CL_INVALID_VALUE);
  const size_t rows = multiply_add(region[1], row_pitch, 0);
  ensure(rows != SIZE_MAX, CL_INVALID_VALUE);
  if (slice_pitch == 0) slice_pitch = rows;
  ensure(slice_pitch >= rows && slice_pitch % row_pitch == 0, CL_INVALID_VALUE);
}

void box_range(const size_t* origin, const size_t* region, size_t row_pitch, size_t slice_pitch,
               size_t size) {
  for (int i = 0; i < 3; ++i) ensure(origin[i] < SIZE_MAX - region[i], CL_INVALID_VALUE);
  const size_t end =
      multiply_add(origin[2] + region[2] - 1, slice_pitch,
                   multiply_add(origin[1] + region[1] - 1, row_pitch, origin[0] + region[0]));
  ensure(end <= size, CL_INVALID_VALUE);
}

void map_flags(const Mem& mem, cl_map_flags flags) {
  constexpr cl_map_flags kReadWrite = CL_MAP_READ | CL_MAP_WRITE;
  ensure((flags & ~(kReadWrite | CL_MAP_WRITE_INVALIDATE_REGION)) == 0, CL_INVALID_VALUE);
  ensure((flags & CL_MAP_WRITE_INVALIDATE_REGION) == 0 || (flags & kReadWrite) == 0,
         CL_INVALID_VALUE);
  if ((flags & CL_MAP_READ) != 0) host_may_read(mem);
  if ((flags & (CL_MAP_WRITE | CL_MAP_WRITE_INVALIDATE_REGION)) != 0) host_may_write(mem);
}

void host_may_read(const Mem& mem) {
  ensure((mem.flags() & (CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_NO_ACCESS)) == 0,
         CL_INVALID_OPERATION);
}

void host_may_write(const Mem& mem) {
  ensure((mem.flags() & (CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS)) == 0,
         CL_INVALID_OPERATION);
}

void copy_buffer(Command& command, Mem& source, Mem& destination, size_t source_offset,
                 size_t destination_offset, size_t size) {
  buffer(command, source);
  buffer(command, destination);
  range(source, source_offset, size);
  range(destination, destination_offset, size);
  if (&root_of(source) != &root_of(destination)) return;
  const size_t from = source.offset() + source_offset;
  const size_t to = destination.offset() + destination_offset;
  ensure(from + size <= to || to + size <= from, CL_MEM_COPY_OVERLAP);
}

void copy_buffer_rect(Command& command, Mem& source, Mem& destination, const size_t* source_origin,
                      const size_t* destination_origin, const size_t* region,
                      size_t& source_row_pitch, size_t& source_slice_pitch,
                      size_t& destination_row_pitch, size_t& destination_slice_pitch) {
  buffer(command, source);
  buffer(command, destination);
  ensure(source_origin != nullptr && destination_origin != nullptr && region != nullptr,
         CL_INVALID_VALUE);
  box_pitches(region, source_row_pitch, source_slice_pitch);
  box_pitches(region, destination_row_pitch, destination_slice_pitch);
  box_range(source_origin, region, source_row_pitch, source_slice_pitch, source.size());
  box_range(destination_origin, region, destination_row_pitch, destination_slice_pitch,
            destination.size());
  if (&root_of(source) != &root_of(destination)) return;
  const bool same_pitches =
      source_row_pitch == destination_row_pitch && source_slice_pitch == destination_slice_pitch;
  ensure(same_pitches || &source != &destination, CL_INVALID_VALUE);
  const auto place = [](const Mem& mem, const size_t* origin, size_t row, size_t slice) {
    return static_cast<std::int64_t>(mem.offset() + origin[2] * slice + origin[1] * row +
                                     origin[0]);
  };
  const std::int64_t from = place(source, source_origin, source_row_pitch, source_slice_pitch);
  const std::int64_t to =
      place(destination, destination_origin, destination_row_pitch, destination_slice_pitch);
  if (same_pitches) {
    ensure(!boxes_overlap(to - from, region, source_row_pitch, source_slice_pitch),
           CL_MEM_COPY_OVERLAP);
  }
}

void fill_buffer(Command& command, Mem& mem, const void* pattern, size_t pattern_size,
                 size_t offset, size_t size) {
  buffer(command, mem);
  ensure(pattern != nullptr && pattern_size <= kMaxPattern && std::has_single_bit(pattern_size),
         CL_INVALID_VALUE);
  ensure(offset % pattern_size == 0 && size % pattern_size == 0, CL_INVALID_VALUE);
  range(mem, offset, size);
}

void migrate_mem_objects(Command&, cl_uint, const cl_mem*, cl_mem_migration_flags flags) {
  constexpr cl_mem_migration_flags kKnown =
      CL_MIGRATE_MEM_OBJECT_HOST | CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED;
  ensure((flags & ~kKnown) == 0, CL_INVALID_VALUE);
}

// What Command checks is all that the standard lists for these.
void marker_with_wait_list(Command&) {}
void barrier_with_wait_list(Command&) {}

}  // namespace tessera::client::check

// SPDX-License-Identifier: Apache-2.0
//
// Rectangles of buffers, compared with a plain loop over rows and slices.
#include <array>
#include <cstring>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

using Three = std::array<std::size_t, 3>;

// A side of a rectangle transfer: where it starts and its pitches in bytes.
struct Side {
  Three origin;
  std::size_t row, slice;
  std::size_t at(std::size_t y, std::size_t z) const {
    return origin[0] + (origin[1] + y) * row + (origin[2] + z) * slice;
  }
};

constexpr Three kRegion = {10, 3, 2};
constexpr Side kBuffer = {{5, 2, 1}, 32, 32 * 8};
constexpr Side kHost = {{1, 1, 0}, 20, 20 * 6};
constexpr Three kZero = {0, 0, 0};

std::vector<unsigned char> moved(const std::vector<unsigned char>& from, const Side& a,
                                 std::vector<unsigned char> to, const Side& b) {
  for (std::size_t z = 0; z < kRegion[2]; ++z) {
    for (std::size_t y = 0; y < kRegion[1]; ++y) {
      std::memcpy(to.data() + b.at(y, z), from.data() + a.at(y, z), kRegion[0]);
    }
  }
  return to;
}

unsigned char* host() {
  alignas(128) static std::array<unsigned char, kBytes> bytes{};
  return bytes.data();
}

cl_int read_rect(const World& w, const Three& at, const Three& region, std::size_t row = 0,
                 std::size_t slice = 0, std::size_t host_row = 0, std::size_t host_slice = 0) {
  return clEnqueueReadBufferRect(w.queue, w.buf, CL_TRUE, at.data(), kZero.data(), region.data(),
                                 row, slice, host_row, host_slice, host(), 0, nullptr, nullptr);
}
cl_int write_rect(const World& w, const Three& at, const Three& region, std::size_t row = 0) {
  return clEnqueueWriteBufferRect(w.queue, w.buf, CL_TRUE, at.data(), kZero.data(), region.data(),
                                  row, 0, 0, 0, host(), 0, nullptr, nullptr);
}
cl_int copy_rect(const World& w, cl_mem from, cl_mem to, const Three& a, const Three& b,
                 const Three& region, std::size_t row = 0, std::size_t to_row = 0) {
  return clEnqueueCopyBufferRect(w.queue, from, to, a.data(), b.data(), region.data(), row, 0,
                                 to_row, 0, 0, nullptr, nullptr);
}

USE(clEnqueueReadBufferRect, with_pitches) {
  const auto bytes = pattern(kBytes);
  write_all(w, w.dst, bytes);
  std::vector<unsigned char> seen(512, 0xAB);
  const auto want = moved(bytes, kBuffer, seen, kHost);
  OK(clEnqueueReadBufferRect(w.queue, w.dst, CL_TRUE, kBuffer.origin.data(), kHost.origin.data(),
                             kRegion.data(), kBuffer.row, kBuffer.slice, kHost.row, kHost.slice,
                             seen.data(), 0, nullptr, nullptr));
  THAT(seen == want);
}
USE(clEnqueueReadBufferRect, without_pitches_is_packed) {
  const auto bytes = pattern(kBytes, 2);
  write_all(w, w.dst, bytes);
  std::vector<unsigned char> seen(60);
  OK(clEnqueueReadBufferRect(w.queue, w.dst, CL_FALSE, kZero.data(), kZero.data(), kRegion.data(),
                             0, 0, 0, 0, seen.data(), 0, nullptr, nullptr));
  OK(clFinish(w.queue));
  SAME(std::memcmp(seen.data(), bytes.data(), 60), 0);
}
TABLE_FAULT(clEnqueueReadBufferRect, null_buffer, CL_INVALID_MEM_OBJECT,
            (w.queue, nullptr, CL_TRUE, kZero.data(), kZero.data(), kRegion.data(), 0, 0, 0, 0,
             host(), 0, nullptr, nullptr))
FAULT(clEnqueueReadBufferRect, null_pointer, CL_INVALID_VALUE,
      (w.queue, w.buf, CL_TRUE, kZero.data(), kZero.data(), kRegion.data(), 0, 0, 0, 0, nullptr, 0,
       nullptr, nullptr))
FAULT(clEnqueueReadBufferRect, null_origin, CL_INVALID_VALUE,
      (w.queue, w.buf, CL_TRUE, nullptr, kZero.data(), kRegion.data(), 0, 0, 0, 0, host(), 0,
       nullptr, nullptr))
FAULT(clEnqueueReadBufferRect, null_region, CL_INVALID_VALUE,
      (w.queue, w.buf, CL_TRUE, kZero.data(), kZero.data(), nullptr, 0, 0, 0, 0, host(), 0, nullptr,
       nullptr))
FAULT_BODY(clEnqueueReadBufferRect, empty_region) {
  CODE(read_rect(w, kZero, {4, 0, 1}), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueReadBufferRect, past_the_end) {
  CODE(read_rect(w, {0, 0, 0}, {64, 65, 1}, 64), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueReadBufferRect, origin_that_wraps_around) {
  CODE(read_rect(w, {0, ~std::size_t{0} / 64, 0}, {4, 4, 1}, 64), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueReadBufferRect, row_pitch_too_small) {
  CODE(read_rect(w, kZero, {8, 2, 1}, 4), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueReadBufferRect, slice_pitch_too_small) {
  CODE(read_rect(w, kZero, {8, 4, 2}, 8, 16), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueReadBufferRect, host_row_pitch_too_small) {
  CODE(read_rect(w, kZero, {8, 2, 1}, 0, 0, 4), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueReadBufferRect, where_the_host_may_not_read) {
  Mem made = new_buffer(w, CL_MEM_HOST_WRITE_ONLY, kBytes);
  CODE(clEnqueueReadBufferRect(w.queue, made, CL_TRUE, kZero.data(), kZero.data(), kRegion.data(),
                               0, 0, 0, 0, host(), 0, nullptr, nullptr),
       CL_INVALID_OPERATION);
}
FAULT(clEnqueueReadBufferRect, of_another_context, CL_INVALID_CONTEXT,
      (w.queue, w.other_buf, CL_TRUE, kZero.data(), kZero.data(), kRegion.data(), 0, 0, 0, 0,
       host(), 0, nullptr, nullptr))

USE(clEnqueueWriteBufferRect, with_pitches) {
  const auto bytes = pattern(512, 3);
  const auto before = pattern(kBytes, 4);
  write_all(w, w.dst, before);
  OK(clEnqueueWriteBufferRect(w.queue, w.dst, CL_TRUE, kBuffer.origin.data(), kHost.origin.data(),
                              kRegion.data(), kBuffer.row, kBuffer.slice, kHost.row, kHost.slice,
                              bytes.data(), 0, nullptr, nullptr));
  THAT(read_all<unsigned char>(w, w.dst, kBytes) == moved(bytes, kHost, before, kBuffer));
}
TABLE_FAULT(clEnqueueWriteBufferRect, null_buffer, CL_INVALID_MEM_OBJECT,
            (w.queue, nullptr, CL_TRUE, kZero.data(), kZero.data(), kRegion.data(), 0, 0, 0, 0,
             host(), 0, nullptr, nullptr))
FAULT(clEnqueueWriteBufferRect, null_pointer, CL_INVALID_VALUE,
      (w.queue, w.buf, CL_TRUE, kZero.data(), kZero.data(), kRegion.data(), 0, 0, 0, 0, nullptr, 0,
       nullptr, nullptr))
FAULT_BODY(clEnqueueWriteBufferRect, empty_region) {
  CODE(write_rect(w, kZero, {0, 1, 1}), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueWriteBufferRect, past_the_end) {
  CODE(write_rect(w, {0, 1, 0}, {64, 64, 1}, 64), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueWriteBufferRect, row_pitch_too_small) {
  CODE(write_rect(w, kZero, {8, 2, 1}, 7), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueWriteBufferRect, where_the_host_may_not_write) {
  Mem made = new_buffer(w, CL_MEM_HOST_READ_ONLY, kBytes);
  CODE(clEnqueueWriteBufferRect(w.queue, made, CL_TRUE, kZero.data(), kZero.data(), kRegion.data(),
                                0, 0, 0, 0, host(), 0, nullptr, nullptr),
       CL_INVALID_OPERATION);
}

USE(clEnqueueCopyBufferRect, with_pitches) {
  const auto bytes = pattern(kBytes, 5);
  const auto before = pattern(kBytes, 6);
  write_all(w, w.buf, bytes);
  write_all(w, w.dst, before);
  OK(clEnqueueCopyBufferRect(w.queue, w.buf, w.dst, kHost.origin.data(), kBuffer.origin.data(),
                             kRegion.data(), kHost.row, kHost.slice, kBuffer.row, kBuffer.slice, 0,
                             nullptr, nullptr));
  THAT(read_all<unsigned char>(w, w.dst, kBytes) == moved(bytes, kHost, before, kBuffer));
}
USE(clEnqueueCopyBufferRect, within_one_buffer_side_by_side) {
  const auto bytes = pattern(kBytes, 7);
  write_all(w, w.dst, bytes);
  OK(copy_rect(w, w.dst, w.dst, {0, 0, 0}, {16, 0, 0}, {16, 8, 1}, 64, 64));
  const auto seen = read_all<unsigned char>(w, w.dst, kBytes);
  for (std::size_t y = 0; y < 8; ++y) {
    SAME(std::memcmp(seen.data() + y * 64 + 16, bytes.data() + y * 64, 16), 0);
    SAME(std::memcmp(seen.data() + y * 64 + 32, bytes.data() + y * 64 + 32, 32), 0);
  }
}
TABLE_FAULT(clEnqueueCopyBufferRect, null_source, CL_INVALID_MEM_OBJECT,
            (w.queue, nullptr, w.dst, kZero.data(), kZero.data(), kRegion.data(), 0, 0, 0, 0, 0,
             nullptr, nullptr))
FAULT_BODY(clEnqueueCopyBufferRect, empty_region) {
  CODE(copy_rect(w, w.buf, w.dst, kZero, kZero, {1, 1, 0}), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueCopyBufferRect, source_past_the_end) {
  CODE(copy_rect(w, w.buf, w.dst, {1, 0, 0}, kZero, {kBytes, 1, 1}), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueCopyBufferRect, destination_past_the_end) {
  CODE(copy_rect(w, w.buf, w.dst, kZero, {1, 0, 0}, {kBytes, 1, 1}), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueCopyBufferRect, row_pitch_too_small) {
  CODE(copy_rect(w, w.buf, w.dst, kZero, kZero, {8, 2, 1}, 4), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueCopyBufferRect, other_pitches_within_one_buffer) {
  CODE(copy_rect(w, w.buf, w.buf, kZero, {0, 20, 0}, {8, 2, 1}, 64, 128), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueCopyBufferRect, overlapping) {
  CODE(copy_rect(w, w.buf, w.buf, {0, 0, 0}, {8, 1, 0}, {16, 8, 1}, 64, 64), CL_MEM_COPY_OVERLAP);
}
FAULT_BODY(clEnqueueCopyBufferRect, of_another_context) {
  CODE(copy_rect(w, w.buf, w.other_buf, kZero, kZero, {8, 2, 1}), CL_INVALID_CONTEXT);
}

}  // namespace
}  // namespace tessera::conformance

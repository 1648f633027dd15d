// SPDX-License-Identifier: Apache-2.0
//
// Buffers: reads, writes, copies and fills, what they move and what they refuse.
#include <algorithm>
#include <array>
#include <cstring>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

constexpr std::size_t kLarge = 40u * 1024 * 1024 + 12345;  // past every bulk limit of a transport

unsigned char* host() {
  alignas(128) static std::array<unsigned char, kBytes> bytes{};
  return bytes.data();
}

cl_int read_with(const World& w, cl_mem_flags flags) {
  Mem made = new_buffer(w, flags, 64);
  return clEnqueueReadBuffer(w.queue, made, CL_TRUE, 0, 64, host(), 0, nullptr, nullptr);
}

cl_int write_with(const World& w, cl_mem_flags flags) {
  Mem made = new_buffer(w, flags, 64);
  return clEnqueueWriteBuffer(w.queue, made, CL_TRUE, 0, 64, host(), 0, nullptr, nullptr);
}

USE(clEnqueueReadBuffer, blocking_at_every_small_size) {
  const auto bytes = pattern(kBytes);
  write_all(w, w.dst, bytes);
  for (std::size_t size = 1; size < 70; ++size) {
    std::vector<unsigned char> seen(size + 1, 0xEE);
    OK(clEnqueueReadBuffer(w.queue, w.dst, CL_TRUE, size * 3, size, seen.data(), 0, nullptr,
                           nullptr));
    SAME(std::memcmp(seen.data(), bytes.data() + size * 3, size), 0);
    SAME(seen[size], 0xEE);
  }
}
USE(clEnqueueReadBuffer, larger_than_32_mib) {
  Mem made = new_buffer(w, CL_MEM_READ_WRITE, kLarge);
  const auto bytes = pattern(kLarge, 5);
  write_all(w, made, bytes);
  THAT(read_all<unsigned char>(w, made, kLarge) == bytes);
}
USE(clEnqueueReadBuffer, larger_than_32_mib_behind_an_event_that_is_set_later) {
  Mem made = new_buffer(w, CL_MEM_READ_WRITE, kLarge);
  const auto bytes = pattern(kLarge, 8);
  write_all(w, made, bytes);
  Event gate = new_user_event(w);
  std::vector<unsigned char> seen(kLarge);
  OK(clEnqueueReadBuffer(w.queue, made, CL_FALSE, 0, kLarge, seen.data(), 1, gate.at(), nullptr));
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(w.queue));
  THAT(seen == bytes);
}
USE(clEnqueueReadBuffer, several_that_do_not_wait) {
  const auto bytes = pattern(kBytes, 6);
  write_all(w, w.dst, bytes);
  std::vector<std::vector<unsigned char>> parts(16, std::vector<unsigned char>(256));
  std::array<Event, 16> events;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    OK(clEnqueueReadBuffer(w.unordered, w.dst, CL_FALSE, i * 256, 256, parts[i].data(), 0, nullptr,
                           events[i].out()));
  }
  for (std::size_t i = parts.size(); i-- > 0;) {
    OK(clWaitForEvents(1, events[i].at()));
    SAME(std::memcmp(parts[i].data(), bytes.data() + i * 256, 256), 0);
  }
}
USE(clEnqueueReadBuffer, large_that_does_not_wait_then_finish) {
  Mem made = new_buffer(w, CL_MEM_READ_WRITE, kLarge);
  const auto bytes = pattern(kLarge, 7);
  write_all(w, made, bytes);
  std::vector<unsigned char> seen(kLarge);
  OK(clEnqueueReadBuffer(w.queue, made, CL_FALSE, 0, kLarge, seen.data(), 0, nullptr, nullptr));
  OK(clFinish(w.queue));
  THAT(seen == bytes);
}
FAULT(clEnqueueReadBuffer, null_pointer, CL_INVALID_VALUE,
      (w.queue, w.buf, CL_TRUE, 0, 4, nullptr, 0, nullptr, nullptr))
TABLE_FAULT(clEnqueueReadBuffer, null_buffer, CL_INVALID_MEM_OBJECT,
            (w.queue, nullptr, CL_TRUE, 0, 4, host(), 0, nullptr, nullptr))
FAULT(clEnqueueReadBuffer, past_the_end, CL_INVALID_VALUE,
      (w.queue, w.buf, CL_TRUE, 1, kBytes, host(), 0, nullptr, nullptr))
FAULT(clEnqueueReadBuffer, offset_that_wraps_around, CL_INVALID_VALUE,
      (w.queue, w.buf, CL_TRUE, ~std::size_t{0}, 2, host(), 0, nullptr, nullptr))
FAULT(clEnqueueReadBuffer, of_an_image, CL_INVALID_MEM_OBJECT,
      (w.queue, w.image, CL_TRUE, 0, 4, host(), 0, nullptr, nullptr))
FAULT(clEnqueueReadBuffer, of_another_context, CL_INVALID_CONTEXT,
      (w.queue, w.other_buf, CL_TRUE, 0, 4, host(), 0, nullptr, nullptr))
FAULT_BODY(clEnqueueReadBuffer, where_the_host_may_not_read) {
  CODE(read_with(w, CL_MEM_HOST_WRITE_ONLY), CL_INVALID_OPERATION);
  CODE(read_with(w, CL_MEM_HOST_NO_ACCESS), CL_INVALID_OPERATION);
}
FAULT_BODY(clEnqueueReadBuffer, blocking_behind_a_failed_event) {
  Event gate = new_user_event(w);
  Queue queue = new_queue(w);
  OK(clSetUserEventStatus(gate, -3));
  CODE(clEnqueueReadBuffer(queue, w.buf, CL_TRUE, 0, 4, host(), 1, gate.at(), nullptr),
       CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
}

USE(clEnqueueWriteBuffer, the_bytes_at_the_time_of_a_blocking_call) {
  auto bytes = pattern(1000, 8);
  const auto kept = bytes;
  OK(clEnqueueWriteBuffer(w.queue, w.dst, CL_TRUE, 10, bytes.size(), bytes.data(), 0, nullptr,
                          nullptr));
  std::fill(bytes.begin(), bytes.end(), 0);
  const auto seen = read_all<unsigned char>(w, w.dst, 1010);
  SAME(std::memcmp(seen.data() + 10, kept.data(), kept.size()), 0);
}
USE(clEnqueueWriteBuffer, many_small_in_order) {
  zero(w, w.dst, kBytes);
  std::vector<cl_uint> values(kBytes / 4);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<cl_uint>(i * 31);
    OK(clEnqueueWriteBuffer(w.queue, w.dst, CL_FALSE, i * 4, 4, &values[i], 0, nullptr, nullptr));
  }
  OK(clFinish(w.queue));
  THAT(read_all<cl_uint>(w, w.dst, values.size()) == values);
}
USE(clEnqueueWriteBuffer, waits_for_its_gate_with_its_bytes) {
  // The bytes may be read as late as the command runs, and they stay the same until then.
  const auto bytes = pattern(kLarge, 9);
  Mem made = new_buffer(w, CL_MEM_READ_WRITE, kLarge);
  Event gate = new_user_event(w), event;
  OK(clEnqueueWriteBuffer(w.unordered, made, CL_FALSE, 0, kLarge, bytes.data(), 1, gate.at(),
                          event.out()));
  OK(clFlush(w.unordered));
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clWaitForEvents(1, event.at()));
  THAT(read_all<unsigned char>(w, made, kLarge) == bytes);
}
FAULT(clEnqueueWriteBuffer, null_pointer, CL_INVALID_VALUE,
      (w.queue, w.buf, CL_TRUE, 0, 4, nullptr, 0, nullptr, nullptr))
TABLE_FAULT(clEnqueueWriteBuffer, null_buffer, CL_INVALID_MEM_OBJECT,
            (w.queue, nullptr, CL_TRUE, 0, 4, host(), 0, nullptr, nullptr))
FAULT(clEnqueueWriteBuffer, past_the_end, CL_INVALID_VALUE,
      (w.queue, w.buf, CL_TRUE, kBytes, 1, host(), 0, nullptr, nullptr))
FAULT(clEnqueueWriteBuffer, of_another_context, CL_INVALID_CONTEXT,
      (w.queue, w.other_buf, CL_TRUE, 0, 4, host(), 0, nullptr, nullptr))
FAULT(clEnqueueWriteBuffer, of_an_image, CL_INVALID_MEM_OBJECT,
      (w.queue, w.image, CL_TRUE, 0, 4, host(), 0, nullptr, nullptr))
FAULT_BODY(clEnqueueWriteBuffer, where_the_host_may_not_write) {
  CODE(write_with(w, CL_MEM_HOST_READ_ONLY), CL_INVALID_OPERATION);
  CODE(write_with(w, CL_MEM_HOST_NO_ACCESS), CL_INVALID_OPERATION);
}

USE(clEnqueueCopyBuffer, between_and_within) {
  const auto bytes = pattern(kBytes, 10);
  write_all(w, w.buf, bytes);
  zero(w, w.dst, kBytes);
  OK(clEnqueueCopyBuffer(w.queue, w.buf, w.dst, 100, 7, 999, 0, nullptr, nullptr));
  auto seen = read_all<unsigned char>(w, w.dst, kBytes);
  SAME(std::memcmp(seen.data() + 7, bytes.data() + 100, 999), 0);
  SAME(seen[6], 0);
  SAME(seen[1006], 0);
  OK(clEnqueueCopyBuffer(w.queue, w.dst, w.dst, 0, 2048, 2048, 0, nullptr, nullptr));
  seen = read_all<unsigned char>(w, w.dst, kBytes);
  SAME(std::memcmp(seen.data(), seen.data() + 2048, 2048), 0);
}
TABLE_FAULT(clEnqueueCopyBuffer, null_source, CL_INVALID_MEM_OBJECT,
            (w.queue, nullptr, w.dst, 0, 0, 4, 0, nullptr, nullptr))
TABLE_FAULT(clEnqueueCopyBuffer, null_destination, CL_INVALID_MEM_OBJECT,
            (w.queue, w.buf, nullptr, 0, 0, 4, 0, nullptr, nullptr))
FAULT(clEnqueueCopyBuffer, source_past_the_end, CL_INVALID_VALUE,
      (w.queue, w.buf, w.dst, kBytes, 0, 1, 0, nullptr, nullptr))
FAULT(clEnqueueCopyBuffer, destination_past_the_end, CL_INVALID_VALUE,
      (w.queue, w.buf, w.dst, 0, kBytes - 1, 2, 0, nullptr, nullptr))
FAULT(clEnqueueCopyBuffer, overlapping, CL_MEM_COPY_OVERLAP,
      (w.queue, w.buf, w.buf, 0, 100, 101, 0, nullptr, nullptr))
FAULT(clEnqueueCopyBuffer, of_another_context, CL_INVALID_CONTEXT,
      (w.queue, w.buf, w.other_buf, 0, 0, 4, 0, nullptr, nullptr))
FAULT_BODY(clEnqueueCopyBuffer, overlapping_sub_buffers) {
  Mem parent = new_buffer(w, CL_MEM_READ_WRITE, 4096);
  const cl_buffer_region first = {0, 2048}, second = {1024, 2048};
  cl_int e = 1;
  Mem a(clCreateSubBuffer(parent, 0, CL_BUFFER_CREATE_TYPE_REGION, &first, &e));
  OK(e);
  Mem b(clCreateSubBuffer(parent, 0, CL_BUFFER_CREATE_TYPE_REGION, &second, &e));
  OK(e);
  CODE(clEnqueueCopyBuffer(w.queue, a, b, 0, 0, 2048, 0, nullptr, nullptr), CL_MEM_COPY_OVERLAP);
}

USE(clEnqueueFillBuffer, every_pattern_size) {
  for (const std::size_t size : {1u, 2u, 4u, 8u, 16u, 32u, 64u, 128u}) {
    zero(w, w.dst, kBytes);
    const auto bytes = pattern(size, static_cast<unsigned>(size));
    OK(clEnqueueFillBuffer(w.queue, w.dst, bytes.data(), size, 2 * size, 5 * size, 0, nullptr,
                           nullptr));
    const auto seen = read_all<unsigned char>(w, w.dst, 8 * size);
    for (std::size_t i = 0; i < seen.size(); ++i) {
      const bool inside = i >= 2 * size && i < 7 * size;
      SAME(seen[i], inside ? bytes[i % size] : 0);
    }
  }
}
USE(clEnqueueFillBuffer, pattern_is_taken_at_the_call) {
  zero(w, w.dst, kBytes);
  Event gate = new_user_event(w), event;
  cl_uint value = 11;
  OK(clEnqueueFillBuffer(w.unordered, w.dst, &value, 4, 0, kBytes, 1, gate.at(), event.out()));
  value = 12;
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clWaitForEvents(1, event.at()));
  SAME(read_all<cl_uint>(w, w.dst, 2)[1], 11u);
}
TABLE_FAULT(clEnqueueFillBuffer, null_buffer, CL_INVALID_MEM_OBJECT,
            (w.queue, nullptr, host(), 4, 0, 4, 0, nullptr, nullptr))
FAULT(clEnqueueFillBuffer, null_pattern, CL_INVALID_VALUE,
      (w.queue, w.dst, nullptr, 4, 0, 4, 0, nullptr, nullptr))
FAULT(clEnqueueFillBuffer, pattern_of_no_bytes, CL_INVALID_VALUE,
      (w.queue, w.dst, host(), 0, 0, 4, 0, nullptr, nullptr))
FAULT(clEnqueueFillBuffer, pattern_of_three_bytes, CL_INVALID_VALUE,
      (w.queue, w.dst, host(), 3, 0, 6, 0, nullptr, nullptr))
FAULT(clEnqueueFillBuffer, pattern_of_256_bytes, CL_INVALID_VALUE,
      (w.queue, w.dst, host(), 256, 0, 512, 0, nullptr, nullptr))
FAULT(clEnqueueFillBuffer, offset_between_patterns, CL_INVALID_VALUE,
      (w.queue, w.dst, host(), 4, 2, 8, 0, nullptr, nullptr))
FAULT(clEnqueueFillBuffer, size_between_patterns, CL_INVALID_VALUE,
      (w.queue, w.dst, host(), 4, 0, 10, 0, nullptr, nullptr))
FAULT(clEnqueueFillBuffer, past_the_end, CL_INVALID_VALUE,
      (w.queue, w.dst, host(), 4, 0, kBytes + 4, 0, nullptr, nullptr))
FAULT(clEnqueueFillBuffer, of_another_context, CL_INVALID_CONTEXT,
      (w.queue, w.other_buf, host(), 4, 0, 4, 0, nullptr, nullptr))

}  // namespace
}  // namespace tessera::conformance

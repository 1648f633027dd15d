// SPDX-License-Identifier: Apache-2.0
//
// Mapping, and memory that the host gave.
#include <algorithm>
#include <array>
#include <cstring>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

using Three = std::array<std::size_t, 3>;
constexpr Three kZero = {0, 0, 0};
constexpr Three kWhole = {kImageSide, kImageSide, 1};
constexpr cl_image_format kRgba8 = {CL_RGBA, CL_UNSIGNED_INT8};

unsigned char* map(const World& w, cl_mem buffer, cl_map_flags flags, std::size_t at,
                   std::size_t size, cl_bool blocking = CL_TRUE, cl_event* event = nullptr) {
  cl_int e = 1;
  void* made =
      clEnqueueMapBuffer(w.queue, buffer, blocking, flags, at, size, 0, nullptr, event, &e);
  OK(e);
  THAT(made != nullptr);
  return static_cast<unsigned char*>(made);
}
cl_int try_map(const World& w, cl_mem buffer, cl_map_flags flags, std::size_t at,
               std::size_t size) {
  cl_int e = 1;
  void* made =
      clEnqueueMapBuffer(w.queue, buffer, CL_TRUE, flags, at, size, 0, nullptr, nullptr, &e);
  return creation_code(made, e);
}
void unmap(const World& w, cl_mem buffer, void* at) {
  OK(clEnqueueUnmapMemObject(w.queue, buffer, at, 0, nullptr, nullptr));
}
cl_uint map_count(cl_mem object) {
  cl_uint count = 99;
  OK(clGetMemObjectInfo(object, CL_MEM_MAP_COUNT, sizeof count, &count, nullptr));
  return count;
}
void add_one(const World& w, cl_mem buffer, std::size_t items) {
  Kernel add = new_kernel(w.program, "add_one");
  OK(clSetKernelArg(add, 0, sizeof(cl_mem), &buffer));
  OK(clEnqueueNDRangeKernel(w.queue, add, 1, nullptr, &items, nullptr, 0, nullptr, nullptr));
}

USE(clEnqueueMapBuffer, reads_what_is_there) {
  const auto bytes = pattern(kBytes);
  write_all(w, w.dst, bytes);
  unsigned char* at = map(w, w.dst, CL_MAP_READ, 100, 1000);
  SAME(std::memcmp(at, bytes.data() + 100, 1000), 0);
  unmap(w, w.dst, at);
}
USE(clEnqueueMapBuffer, what_was_written_arrives) {
  const auto before = pattern(kBytes, 2), bytes = pattern(1000, 3);
  for (const cl_map_flags flags :
       {cl_map_flags{CL_MAP_WRITE}, cl_map_flags{CL_MAP_READ | CL_MAP_WRITE},
        cl_map_flags{CL_MAP_WRITE_INVALIDATE_REGION}}) {
    write_all(w, w.dst, before);
    unsigned char* at = map(w, w.dst, flags, 500, 1000);
    std::copy(bytes.begin(), bytes.end(), at);
    unmap(w, w.dst, at);
    const auto seen = read_all<unsigned char>(w, w.dst, kBytes);
    SAME(std::memcmp(seen.data() + 500, bytes.data(), 1000), 0);
    SAME(seen[499], before[499]);
    SAME(seen[1500], before[1500]);
  }
}
USE(clEnqueueMapBuffer, write_keeps_what_was_not_touched) {
  const auto before = pattern(kBytes, 4);
  write_all(w, w.dst, before);
  unsigned char* at = map(w, w.dst, CL_MAP_WRITE, 0, kBytes);
  at[7] = 1;
  unmap(w, w.dst, at);
  const auto seen = read_all<unsigned char>(w, w.dst, kBytes);
  SAME(seen[7], 1);
  SAME(std::memcmp(seen.data() + 8, before.data() + 8, kBytes - 8), 0);
}
USE(clEnqueueMapBuffer, without_waiting) {
  const auto bytes = pattern(kBytes, 5);
  write_all(w, w.dst, bytes);
  Event event;
  unsigned char* at = map(w, w.dst, CL_MAP_READ, 0, kBytes, CL_FALSE, event.out());
  OK(clWaitForEvents(1, event.at()));
  SAME(std::memcmp(at, bytes.data(), kBytes), 0);
  unmap(w, w.dst, at);
}
USE(clEnqueueMapBuffer, several_at_once_are_counted) {
  Mem made = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
  unsigned char* first = map(w, made, CL_MAP_WRITE, 0, 1024);
  unsigned char* second = map(w, made, CL_MAP_WRITE, 2048, 1024);
  SAME(map_count(made), 2u);
  first[0] = 1;
  second[0] = 2;
  unmap(w, made, first);
  unmap(w, made, second);
  OK(clFinish(w.queue));
  SAME(map_count(made), 0u);
  const auto seen = read_all<unsigned char>(w, made, kBytes);
  SAME(seen[0], 1);
  SAME(seen[2048], 2);
}
USE(clEnqueueMapBuffer, kernels_see_it_and_it_sees_kernels) {
  Mem made = new_buffer(w, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR, kBytes);
  auto* at = reinterpret_cast<cl_int*>(map(w, made, CL_MAP_WRITE_INVALIDATE_REGION, 0, kBytes));
  for (cl_int i = 0; i < static_cast<cl_int>(kBytes / 4); ++i) at[i] = i;
  unmap(w, made, at);
  add_one(w, made, kBytes / 4);
  at = reinterpret_cast<cl_int*>(map(w, made, CL_MAP_READ, 0, kBytes));
  SAME(at[0], 1);
  SAME(at[kBytes / 4 - 1], static_cast<cl_int>(kBytes / 4));
  unmap(w, made, at);
}
USE(clEnqueueMapBuffer, larger_than_32_mib) {
  const std::size_t size = 40u << 20;
  Mem made = new_buffer(w, CL_MEM_READ_WRITE, size);
  const auto bytes = pattern(size, 6);
  unsigned char* at = map(w, made, CL_MAP_WRITE_INVALIDATE_REGION, 0, size);
  std::copy(bytes.begin(), bytes.end(), at);
  unmap(w, made, at);
  at = map(w, made, CL_MAP_READ, 0, size);
  const bool same = std::equal(bytes.begin(), bytes.end(), at);
  unmap(w, made, at);
  THAT(same);
}
USE(clEnqueueMapBuffer, of_a_sub_buffer) {
  Mem parent = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
  zero(w, parent, kBytes);
  const cl_buffer_region region = {1024, 1024};
  cl_int e = 1;
  Mem part(clCreateSubBuffer(parent, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &e));
  OK(e);
  unsigned char* at = map(w, part, CL_MAP_WRITE, 4, 8);
  at[0] = 77;
  unmap(w, part, at);
  SAME(read_all<unsigned char>(w, parent, kBytes)[1028], 77);
}
TABLE_FAULT_NEW(clEnqueueMapBuffer, null_buffer, CL_INVALID_MEM_OBJECT,
                (w.queue, nullptr, CL_TRUE, CL_MAP_READ, 0, 4, 0, nullptr, nullptr, &e))
FAULT_BODY(clEnqueueMapBuffer, past_the_end) {
  CODE(try_map(w, w.buf, CL_MAP_READ, kBytes - 3, 4), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueMapBuffer, no_bytes) {
  CODE(try_map(w, w.buf, CL_MAP_READ, 0, 0), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueMapBuffer, unknown_flag) {
  CODE(try_map(w, w.buf, 1u << 12, 0, 4), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueMapBuffer, invalidate_and_read) {
  CODE(try_map(w, w.buf, CL_MAP_READ | CL_MAP_WRITE_INVALIDATE_REGION, 0, 4), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueMapBuffer, of_an_image) {
  CODE(try_map(w, w.image, CL_MAP_READ, 0, 4), CL_INVALID_MEM_OBJECT);
}
FAULT_BODY(clEnqueueMapBuffer, of_another_context) {
  CODE(try_map(w, w.other_buf, CL_MAP_READ, 0, 4), CL_INVALID_CONTEXT);
}
FAULT_BODY(clEnqueueMapBuffer, where_the_host_may_not) {
  Mem no_write = new_buffer(w, CL_MEM_HOST_READ_ONLY, 64),
      no_read = new_buffer(w, CL_MEM_HOST_WRITE_ONLY, 64);
  Mem nothing = new_buffer(w, CL_MEM_HOST_NO_ACCESS, 64);
  CODE(try_map(w, no_write, CL_MAP_WRITE, 0, 4), CL_INVALID_OPERATION);
  CODE(try_map(w, no_read, CL_MAP_READ, 0, 4), CL_INVALID_OPERATION);
  CODE(try_map(w, nothing, CL_MAP_READ, 0, 4), CL_INVALID_OPERATION);
}

USE(clCreateBuffer, host_memory_in_use_is_mapped_in_place) {
  alignas(4096) static unsigned char bytes[kBytes];
  const auto start = pattern(kBytes, 7);
  std::copy(start.begin(), start.end(), bytes);
  Mem made = new_buffer(w, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, kBytes, bytes);
  THAT(read_all<unsigned char>(w, made, kBytes) == start);
  add_one(w, made, kBytes / 4);
  unsigned char* at = map(w, made, CL_MAP_READ | CL_MAP_WRITE, 256, 1024);
  SAME(at, bytes + 256);
  cl_int before = 0, after = 0;
  std::memcpy(&before, start.data() + 256, 4);
  std::memcpy(&after, bytes + 256, 4);
  SAME(after, before + 1);
  at[0] = 42;
  unmap(w, made, at);
  SAME(read_all<unsigned char>(w, made, kBytes)[256], 42);
}
USE(clCreateBuffer, unaligned_host_memory_in_use) {
  alignas(64) static unsigned char room[kBytes + 64];
  unsigned char* bytes = room + 4;
  const auto start = pattern(kBytes, 8);
  std::copy(start.begin(), start.end(), bytes);
  Mem made = new_buffer(w, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, kBytes, bytes);
  unsigned char* at = map(w, made, CL_MAP_READ, 0, kBytes);
  SAME(at, bytes);
  SAME(std::memcmp(at, start.data(), kBytes), 0);
  unmap(w, made, at);
}
USE(clCreateBuffer, host_memory_in_use_by_a_sub_buffer) {
  alignas(4096) static unsigned char bytes[kBytes];
  Mem made = new_buffer(w, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, kBytes, bytes);
  const cl_buffer_region region = {2048, 1024};
  cl_int e = 1;
  Mem part(clCreateSubBuffer(made, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &e));
  OK(e);
  void* back = nullptr;
  OK(clGetMemObjectInfo(part, CL_MEM_HOST_PTR, sizeof back, &back, nullptr));
  SAME(back, static_cast<void*>(bytes + 2048));
  unsigned char* at = map(w, part, CL_MAP_WRITE, 0, 16);
  SAME(at, bytes + 2048);
  at[3] = 33;
  unmap(w, part, at);
  SAME(read_all<unsigned char>(w, made, kBytes)[2051], 33);
}

unsigned char* map_image(const World& w, cl_mem image, cl_map_flags flags, const Three& at,
                         const Three& region, std::size_t* row, std::size_t* slice = nullptr) {
  cl_int e = 1;
  void* made = clEnqueueMapImage(w.queue, image, CL_TRUE, flags, at.data(), region.data(), row,
                                 slice, 0, nullptr, nullptr, &e);
  OK(e);
  THAT(made != nullptr);
  return static_cast<unsigned char*>(made);
}
cl_int try_map_image(const World& w, cl_mem image, cl_map_flags flags, const Three& at,
                     const Three& region) {
  cl_int e = 1;
  std::size_t row = 0;
  void* made = clEnqueueMapImage(w.queue, image, CL_TRUE, flags, at.data(), region.data(), &row,
                                 nullptr, 0, nullptr, nullptr, &e);
  return creation_code(made, e);
}

USE(clEnqueueMapImage, part_is_read_and_written) {
  const auto bytes = pattern(kImageSide * kImageSide * 4, 9);
  OK(clEnqueueWriteImage(w.queue, w.dst_image, CL_TRUE, kZero.data(), kWhole.data(), 0, 0,
                         bytes.data(), 0, nullptr, nullptr));
  std::size_t row = 0;
  unsigned char* at =
      map_image(w, w.dst_image, CL_MAP_READ | CL_MAP_WRITE, {4, 5, 0}, {6, 3, 1}, &row);
  THAT(row >= 24);
  for (std::size_t y = 0; y < 3; ++y) {
    SAME(std::memcmp(at + y * row, &bytes[((5 + y) * kImageSide + 4) * 4], 24), 0);
  }
  at[row + 4] = 99;
  unmap(w, w.dst_image, at);
  std::vector<unsigned char> seen(bytes.size());
  OK(clEnqueueReadImage(w.queue, w.dst_image, CL_TRUE, kZero.data(), kWhole.data(), 0, 0,
                        seen.data(), 0, nullptr, nullptr));
  const std::size_t place = (6 * kImageSide + 5) * 4;
  SAME(seen[place], 99);
  auto want = bytes;
  want[place] = 99;
  THAT(seen == want);
}
USE(clEnqueueMapImage, of_a_volume_gives_a_slice_pitch) {
  cl_image_desc desc = image_2d(8, 4);
  desc.image_type = CL_MEM_OBJECT_IMAGE3D;
  desc.image_depth = 3;
  Mem volume = new_image(w, CL_MEM_READ_WRITE, kRgba8, desc);
  const Three all = {8, 4, 3};
  std::size_t row = 0, slice = 0;
  unsigned char* at =
      map_image(w, volume, CL_MAP_WRITE_INVALIDATE_REGION, kZero, all, &row, &slice);
  THAT(row >= 32);
  THAT(slice >= 4 * row);
  for (std::size_t z = 0; z < 3; ++z) {
    for (std::size_t y = 0; y < 4; ++y)
      std::memset(at + z * slice + y * row, static_cast<int>(z * 4 + y), 32);
  }
  unmap(w, volume, at);
  std::vector<unsigned char> seen(8 * 4 * 3 * 4);
  OK(clEnqueueReadImage(w.queue, volume, CL_TRUE, kZero.data(), all.data(), 0, 0, seen.data(), 0,
                        nullptr, nullptr));
  for (std::size_t i = 0; i < seen.size(); ++i) SAME(seen[i], i / 32);
}
USE(clEnqueueMapImage, host_memory_in_use) {
  alignas(4096) static unsigned char bytes[16 * 16 * 4];
  const auto start = pattern(sizeof bytes, 11);
  std::copy(start.begin(), start.end(), bytes);
  Mem image =
      new_image(w, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, kRgba8, image_2d(16, 16), bytes);
  std::size_t row = 0;
  unsigned char* at = map_image(w, image, CL_MAP_READ, kZero, kWhole, &row);
  SAME(row, std::size_t{64});
  SAME(std::memcmp(at, start.data(), sizeof bytes), 0);
  unmap(w, image, at);
}
TABLE_FAULT_NEW(clEnqueueMapImage, null_image, CL_INVALID_MEM_OBJECT,
                (w.queue, nullptr, CL_TRUE, CL_MAP_READ, kZero.data(), kWhole.data(),
                 std::vector<std::size_t>{0}.data(), nullptr, 0, nullptr, nullptr, &e))
FAULT_NEW(clEnqueueMapImage, null_row_pitch, CL_INVALID_VALUE,
          (w.queue, w.image, CL_TRUE, CL_MAP_READ, kZero.data(), kWhole.data(), nullptr, nullptr, 0,
           nullptr, nullptr, &e))
FAULT_BODY(clEnqueueMapImage, null_slice_pitch_of_a_volume) {
  cl_image_desc desc = image_2d(8, 4);
  desc.image_type = CL_MEM_OBJECT_IMAGE3D;
  desc.image_depth = 3;
  Mem volume = new_image(w, CL_MEM_READ_WRITE, kRgba8, desc);
  CODE(try_map_image(w, volume, CL_MAP_READ, kZero, {8, 4, 3}), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueMapImage, past_the_edge) {
  CODE(try_map_image(w, w.image, CL_MAP_READ, {1, 0, 0}, kWhole), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueMapImage, unknown_flag) {
  CODE(try_map_image(w, w.image, 1u << 12, kZero, kWhole), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueMapImage, of_a_buffer) {
  CODE(try_map_image(w, w.buf, CL_MAP_READ, kZero, kWhole), CL_INVALID_MEM_OBJECT);
}
FAULT_BODY(clEnqueueMapImage, of_another_context) {
  CODE(try_map_image(w, w.other_image, CL_MAP_READ, kZero, kWhole), CL_INVALID_CONTEXT);
}
FAULT_BODY(clEnqueueMapImage, where_the_host_may_not) {
  Mem image = new_image(w, CL_MEM_HOST_NO_ACCESS, kRgba8, image_2d(8, 8));
  CODE(try_map_image(w, image, CL_MAP_READ, kZero, {8, 8, 1}), CL_INVALID_OPERATION);
}

TABLE_FAULT(clEnqueueUnmapMemObject, null_object, CL_INVALID_MEM_OBJECT,
            (w.queue, nullptr, &w, 0, nullptr, nullptr))
FAULT(clEnqueueUnmapMemObject, pointer_that_was_not_mapped, CL_INVALID_VALUE,
      (w.queue, w.buf, &w, 0, nullptr, nullptr))
FAULT(clEnqueueUnmapMemObject, null_pointer, CL_INVALID_VALUE,
      (w.queue, w.buf, nullptr, 0, nullptr, nullptr))
FAULT_BODY(clEnqueueUnmapMemObject, of_another_context) {
  unsigned char* at = map(w, w.buf, CL_MAP_READ, 0, 64);
  const cl_int code = clEnqueueUnmapMemObject(w.other_queue, w.buf, at, 0, nullptr, nullptr);
  if (code != CL_SUCCESS) unmap(w, w.buf, at);
  CODE(code, CL_INVALID_CONTEXT);
}

}  // namespace
}  // namespace tessera::conformance

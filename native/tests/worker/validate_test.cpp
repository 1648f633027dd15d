// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/validate.h"

#include "check.h"

namespace tessera::worker {
namespace {

constexpr std::uint64_t kHuge = UINT64_MAX;

MemShape buffer(std::uint64_t size) {
  MemShape shape;
  shape.size = size;
  return shape;
}

MemShape image(std::array<std::uint64_t, 3> pixels, std::uint64_t element = 4) {
  MemShape shape;
  shape.type = CL_MEM_OBJECT_IMAGE2D;
  shape.pixels = pixels;
  shape.element = element;
  return shape;
}

void ranges() {
  CHECK(within(0, 0, 0));
  CHECK(within(3, 5, 8));
  CHECK(!within(4, 5, 8));
  CHECK(!within(9, 0, 8));
  CHECK(!within(kHuge, 2, 8));
  CHECK(!within(8, kHuge - 4, 8));
}

void packed_sizes() {
  CHECK(packed_size({2, 3, 4}) == 24);
  CHECK(packed_size({2, 3, 4}, 16) == 384);
  CHECK(packed_size({0, 3, 4}) == 0);
  CHECK(packed_size({kHuge, 2, 1}) == 0);
  CHECK(packed_size({1ull << 32, 1ull << 31, 2}) == 0);
}

void rectangles() {
  const MemShape shape = buffer(100);
  CHECK(check_rect(shape, {0, 0, 0}, {10, 10, 1}, 0, 0) == CL_SUCCESS);
  CHECK(check_rect(shape, {0, 0, 0}, {10, 10, 1}, 10, 100) == CL_SUCCESS);
  CHECK(check_rect(shape, {1, 0, 0}, {10, 10, 1}, 0, 0) == CL_INVALID_VALUE);
  CHECK(check_rect(shape, {5, 5, 0}, {5, 5, 1}, 10, 0) == CL_SUCCESS);
  CHECK(check_rect(shape, {6, 5, 0}, {5, 5, 1}, 10, 0) == CL_INVALID_VALUE);
  CHECK(check_rect(shape, {0, 0, 1}, {5, 5, 1}, 10, 60) == CL_INVALID_VALUE);
  CHECK(check_rect(shape, {0, 0, 1}, {5, 4, 1}, 10, 60) == CL_SUCCESS);
  CHECK(check_rect(shape, {0, 0, 0}, {10, 1, 1}, 9, 0) == CL_INVALID_VALUE);
  CHECK(check_rect(shape, {0, 0, 0}, {10, 2, 1}, 10, 19) == CL_INVALID_VALUE);
  CHECK(check_rect(shape, {0, 0, 0}, {0, 1, 1}, 0, 0) == CL_INVALID_VALUE);
  // Products and sums that wrap to something small.
  CHECK(check_rect(shape, {0, 0, 0}, {1, 1ull << 32, 1}, 1ull << 32, 0) == CL_INVALID_VALUE);
  CHECK(check_rect(shape, {0, 0, 1ull << 32}, {1, 1, 1}, 0, 1ull << 32) == CL_INVALID_VALUE);
  CHECK(check_rect(shape, {kHuge, 0, 0}, {2, 1, 1}, 0, 0) == CL_INVALID_VALUE);
  CHECK(check_rect(shape, {0, kHuge, kHuge}, {1, 1, 1}, kHuge, kHuge) == CL_INVALID_VALUE);
  CHECK(check_rect(shape, {0, 0, 0}, {1, 1, kHuge}, 1, 2) == CL_INVALID_VALUE);
  CHECK(check_rect(image({4, 4, 1}), {0, 0, 0}, {1, 1, 1}, 0, 0) == CL_INVALID_MEM_OBJECT);
}

void boxes() {
  const MemShape shape = image({8, 4, 1});
  CHECK(check_box(shape, {0, 0, 0}, {8, 4, 1}) == CL_SUCCESS);
  CHECK(check_box(shape, {7, 3, 0}, {1, 1, 1}) == CL_SUCCESS);
  CHECK(check_box(shape, {8, 3, 0}, {1, 1, 1}) == CL_INVALID_VALUE);
  CHECK(check_box(shape, {0, 0, 1}, {1, 1, 1}) == CL_INVALID_VALUE);
  CHECK(check_box(shape, {0, 0, 0}, {1, 1, 2}) == CL_INVALID_VALUE);
  CHECK(check_box(shape, {0, 0, 0}, {1, 0, 1}) == CL_INVALID_VALUE);
  CHECK(check_box(shape, {kHuge, 0, 0}, {2, 1, 1}) == CL_INVALID_VALUE);
  CHECK(check_box(buffer(100), {0, 0, 0}, {1, 1, 1}) == CL_INVALID_MEM_OBJECT);
}

void fills_and_copies() {
  const std::array<std::byte, 256> bytes{};
  wire::FillBuffer fill;
  fill.pattern = std::span(bytes).first(4);
  fill.offset = 8;
  fill.cb = 16;
  CHECK(validate(fill, buffer(24)) == CL_SUCCESS);
  CHECK(validate(fill, buffer(23)) == CL_INVALID_VALUE);
  fill.offset = 6;
  CHECK(validate(fill, buffer(24)) == CL_INVALID_VALUE);
  fill.offset = 0;
  for (const std::size_t size : {std::size_t{0}, std::size_t{3}, std::size_t{256}}) {
    fill.pattern = std::span(bytes).first(size);
    CHECK(validate(fill, buffer(1024)) == CL_INVALID_VALUE);
  }

  wire::CopyBuffer copy;
  copy.src_buffer = copy.dst_buffer = 1;
  copy.dst_offset = 8;
  copy.cb = 8;
  CHECK(validate(copy, buffer(16), buffer(16)) == CL_SUCCESS);
  copy.cb = 9;
  CHECK(validate(copy, buffer(32), buffer(32)) == CL_MEM_COPY_OVERLAP);
  copy.dst_buffer = 2;
  CHECK(validate(copy, buffer(32), buffer(32)) == CL_SUCCESS);
  CHECK(validate(copy, buffer(32), buffer(16)) == CL_INVALID_VALUE);
  copy.src_offset = kHuge;
  CHECK(validate(copy, buffer(32), buffer(32)) == CL_INVALID_VALUE);

  wire::MigrateMemObjects migrate;
  CHECK(validate(migrate) == CL_INVALID_VALUE);
  const std::array<wire::Id, 1> ids{1};
  migrate.mem_objects = ids;
  CHECK(validate(migrate) == CL_SUCCESS);
  migrate.flags = 1u << 7;
  CHECK(validate(migrate) == CL_INVALID_VALUE);
}

void images_and_buffers() {
  wire::CopyImageToBuffer out;
  out.region = {4, 4, 1};
  out.dst_offset = 36;
  CHECK(validate(out, image({4, 4, 1}), buffer(100)) == CL_SUCCESS);
  CHECK(validate(out, image({4, 4, 1}), buffer(99)) == CL_INVALID_VALUE);
  CHECK(validate(out, image({4, 4, 1}, 8), buffer(100)) == CL_INVALID_VALUE);
  CHECK(validate(out, buffer(100), buffer(100)) == CL_INVALID_MEM_OBJECT);
  wire::CopyBufferToImage in;
  in.region = {4, 4, 1};
  in.src_offset = kHuge;
  CHECK(validate(in, buffer(100), image({4, 4, 1})) == CL_INVALID_VALUE);
  in.src_offset = 0;
  CHECK(validate(in, buffer(64), image({4, 4, 1})) == CL_SUCCESS);
  CHECK(validate(in, image({4, 4, 1}), image({4, 4, 1})) == CL_INVALID_MEM_OBJECT);
  wire::CopyImage copy;
  copy.region = {2, 2, 1};
  CHECK(validate(copy, image({2, 2, 1}), image({2, 2, 1})) == CL_SUCCESS);
  CHECK(validate(copy, image({2, 2, 1}), image({2, 2, 1}, 8)) == CL_IMAGE_FORMAT_MISMATCH);
  copy.dst_origin = {1, 0, 0};
  CHECK(validate(copy, image({2, 2, 1}), image({2, 2, 1})) == CL_INVALID_VALUE);
}

void flags() {
  CHECK(check_mem_flags(0) == CL_SUCCESS);
  CHECK(check_mem_flags(CL_MEM_READ_ONLY | CL_MEM_HOST_NO_ACCESS) == CL_SUCCESS);
  CHECK(check_mem_flags(CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY) == CL_INVALID_VALUE);
  CHECK(check_mem_flags(CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_WRITE_ONLY) == CL_INVALID_VALUE);
  for (const cl_mem_flags host :
       {CL_MEM_USE_HOST_PTR, CL_MEM_ALLOC_HOST_PTR, CL_MEM_COPY_HOST_PTR}) {
    CHECK(check_mem_flags(host) == CL_INVALID_VALUE);
  }
  CHECK(check_mem_flags(cl_mem_flags{1} << 40) == CL_INVALID_VALUE);
}

}  // namespace
}  // namespace tessera::worker

int main() {
  using namespace tessera::worker;
  ranges();
  packed_sizes();
  rectangles();
  boxes();
  fills_and_copies();
  images_and_buffers();
  flags();
  return 0;
}

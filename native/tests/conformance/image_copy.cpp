// SPDX-License-Identifier: Apache-2.0
//
// Copies between images, and between images and buffers; images in kernels.
#include <array>
#include <cstring>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

using Three = std::array<std::size_t, 3>;

constexpr cl_image_format kRgba8 = {CL_RGBA, CL_UNSIGNED_INT8};
constexpr Three kZero = {0, 0, 0};
constexpr Three kWhole = {kImageSide, kImageSide, 1};
constexpr std::size_t kImageBytes = kImageSide * kImageSide * 4;

void put(const World& w, cl_mem image, const std::vector<unsigned char>& bytes) {
  OK(clEnqueueWriteImage(w.queue, image, CL_TRUE, kZero.data(), kWhole.data(), 0, 0, bytes.data(),
                         0, nullptr, nullptr));
}
std::vector<unsigned char> get(const World& w, cl_mem image) {
  std::vector<unsigned char> seen(kImageBytes);
  OK(clEnqueueReadImage(w.queue, image, CL_TRUE, kZero.data(), kWhole.data(), 0, 0, seen.data(), 0,
                        nullptr, nullptr));
  return seen;
}

cl_int copy(const World& w, cl_mem from, cl_mem to, const Three& a, const Three& b,
            const Three& region) {
  return clEnqueueCopyImage(w.queue, from, to, a.data(), b.data(), region.data(), 0, nullptr,
                            nullptr);
}

USE(clEnqueueCopyImage, part_to_another_place) {
  const auto bytes = pattern(kImageBytes), before = pattern(kImageBytes, 2);
  put(w, w.image, bytes);
  put(w, w.dst_image, before);
  OK(copy(w, w.image, w.dst_image, {1, 2, 0}, {8, 9, 0}, {5, 4, 1}));
  const auto seen = get(w, w.dst_image);
  for (std::size_t y = 0; y < kImageSide; ++y) {
    for (std::size_t x = 0; x < kImageSide; ++x) {
      const bool inside = y >= 9 && y < 13 && x >= 8 && x < 13;
      const auto* want =
          inside ? &bytes[((y - 7) * kImageSide + x - 7) * 4] : &before[(y * kImageSide + x) * 4];
      SAME(std::memcmp(&seen[(y * kImageSide + x) * 4], want, 4), 0);
    }
  }
}
USE(clEnqueueCopyImage, slice_of_a_volume_to_a_plane) {
  cl_image_desc desc = image_2d(kImageSide, kImageSide);
  desc.image_type = CL_MEM_OBJECT_IMAGE3D;
  desc.image_depth = 3;
  Mem volume = new_image(w, CL_MEM_READ_WRITE, kRgba8, desc);
  const auto bytes = pattern(kImageBytes * 3, 3);
  const Three all = {kImageSide, kImageSide, 3};
  OK(clEnqueueWriteImage(w.queue, volume, CL_TRUE, kZero.data(), all.data(), 0, 0, bytes.data(), 0,
                         nullptr, nullptr));
  OK(copy(w, volume, w.dst_image, {0, 0, 2}, kZero, kWhole));
  SAME(std::memcmp(get(w, w.dst_image).data(), bytes.data() + 2 * kImageBytes, kImageBytes), 0);
}
TABLE_FAULT(clEnqueueCopyImage, null_source, CL_INVALID_MEM_OBJECT,
            (w.queue, nullptr, w.dst_image, kZero.data(), kZero.data(), kWhole.data(), 0, nullptr,
             nullptr))
TABLE_FAULT(clEnqueueCopyImage, null_destination, CL_INVALID_MEM_OBJECT,
            (w.queue, w.image, nullptr, kZero.data(), kZero.data(), kWhole.data(), 0, nullptr,
             nullptr))
FAULT_BODY(clEnqueueCopyImage, of_other_formats) {
  Mem other =
      new_image(w, CL_MEM_READ_WRITE, {CL_RGBA, CL_FLOAT}, image_2d(kImageSide, kImageSide));
  CODE(copy(w, w.image, other, kZero, kZero, kWhole), CL_IMAGE_FORMAT_MISMATCH);
}
FAULT_BODY(clEnqueueCopyImage, past_the_edge) {
  CODE(copy(w, w.image, w.dst_image, {1, 0, 0}, kZero, kWhole), CL_INVALID_VALUE);
  CODE(copy(w, w.image, w.dst_image, kZero, {0, 1, 0}, kWhole), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueCopyImage, overlapping) {
  CODE(copy(w, w.image, w.image, kZero, {1, 1, 0}, {4, 4, 1}), CL_MEM_COPY_OVERLAP);
}
FAULT_BODY(clEnqueueCopyImage, of_another_context) {
  CODE(copy(w, w.image, w.other_image, kZero, kZero, kWhole), CL_INVALID_CONTEXT);
}
FAULT_BODY(clEnqueueCopyImage, of_a_buffer) {
  CODE(copy(w, w.buf, w.dst_image, kZero, kZero, {4, 4, 1}), CL_INVALID_MEM_OBJECT);
}

USE(clEnqueueCopyImageToBuffer, part_packed_at_an_offset) {
  const auto bytes = pattern(kImageBytes, 4);
  put(w, w.image, bytes);
  zero(w, w.dst, kBytes);
  const Three at = {3, 5, 0}, region = {6, 4, 1};
  OK(clEnqueueCopyImageToBuffer(w.queue, w.image, w.dst, at.data(), region.data(), 32, 0, nullptr,
                                nullptr));
  const auto seen = read_all<unsigned char>(w, w.dst, 32 + 6 * 4 * 4);
  SAME(seen[31], 0);
  for (std::size_t y = 0; y < 4; ++y) {
    SAME(std::memcmp(&seen[32 + y * 24], &bytes[((5 + y) * kImageSide + 3) * 4], 24), 0);
  }
}
TABLE_FAULT(clEnqueueCopyImageToBuffer, null_image, CL_INVALID_MEM_OBJECT,
            (w.queue, nullptr, w.dst, kZero.data(), kWhole.data(), 0, 0, nullptr, nullptr))
TABLE_FAULT(clEnqueueCopyImageToBuffer, null_buffer, CL_INVALID_MEM_OBJECT,
            (w.queue, w.image, nullptr, kZero.data(), kWhole.data(), 0, 0, nullptr, nullptr))
FAULT(clEnqueueCopyImageToBuffer, past_the_end_of_the_buffer, CL_INVALID_VALUE,
      (w.queue, w.image, w.dst, kZero.data(), kWhole.data(), kBytes - 8, 0, nullptr, nullptr))
FAULT_BODY(clEnqueueCopyImageToBuffer, past_the_edge_of_the_image) {
  const Three at = {1, 0, 0};
  CODE(clEnqueueCopyImageToBuffer(w.queue, w.image, w.dst, at.data(), kWhole.data(), 0, 0, nullptr,
                                  nullptr),
       CL_INVALID_VALUE);
}
FAULT(clEnqueueCopyImageToBuffer, of_another_context, CL_INVALID_CONTEXT,
      (w.queue, w.other_image, w.dst, kZero.data(), kWhole.data(), 0, 0, nullptr, nullptr))
FAULT(clEnqueueCopyImageToBuffer, of_two_buffers, CL_INVALID_MEM_OBJECT,
      (w.queue, w.buf, w.dst, kZero.data(), kWhole.data(), 0, 0, nullptr, nullptr))

USE(clEnqueueCopyBufferToImage, part_from_an_offset) {
  const auto bytes = pattern(kBytes, 5), before = pattern(kImageBytes, 6);
  write_all(w, w.buf, bytes);
  put(w, w.dst_image, before);
  const Three at = {2, 1, 0}, region = {7, 3, 1};
  OK(clEnqueueCopyBufferToImage(w.queue, w.buf, w.dst_image, 64, at.data(), region.data(), 0,
                                nullptr, nullptr));
  const auto seen = get(w, w.dst_image);
  for (std::size_t y = 0; y < 3; ++y) {
    SAME(std::memcmp(&seen[((1 + y) * kImageSide + 2) * 4], &bytes[64 + y * 28], 28), 0);
  }
  SAME(std::memcmp(seen.data(), before.data(), kImageSide * 4), 0);
}
TABLE_FAULT(clEnqueueCopyBufferToImage, null_buffer, CL_INVALID_MEM_OBJECT,
            (w.queue, nullptr, w.dst_image, 0, kZero.data(), kWhole.data(), 0, nullptr, nullptr))
FAULT(clEnqueueCopyBufferToImage, past_the_end_of_the_buffer, CL_INVALID_VALUE,
      (w.queue, w.buf, w.dst_image, kBytes - 4, kZero.data(), kWhole.data(), 0, nullptr, nullptr))
FAULT_BODY(clEnqueueCopyBufferToImage, past_the_edge_of_the_image) {
  const Three at = {0, 1, 0};
  CODE(clEnqueueCopyBufferToImage(w.queue, w.buf, w.dst_image, 0, at.data(), kWhole.data(), 0,
                                  nullptr, nullptr),
       CL_INVALID_VALUE);
}
FAULT(clEnqueueCopyBufferToImage, of_another_context, CL_INVALID_CONTEXT,
      (w.queue, w.other_buf, w.dst_image, 0, kZero.data(), kWhole.data(), 0, nullptr, nullptr))

constexpr const char* kKernels = R"(
kernel void turn(read_only image2d_t from, write_only image2d_t to) {
  const sampler_t at = CLK_NORMALIZED_COORDS_FALSE | CLK_ADDRESS_CLAMP_TO_EDGE | CLK_FILTER_NEAREST;
  int x = get_global_id(0), y = get_global_id(1);
  write_imageui(to, (int2)(y, x), read_imageui(from, at, (int2)(x, y)));
}
kernel void middle(read_only image2d_t from, sampler_t s, global float* out) {
  *out = read_imagef(from, s, (float2)(0.5f, 0.5f)).x;
}
)";

USE(clEnqueueNDRangeKernel, reads_and_writes_images) {
  const auto bytes = pattern(kImageBytes, 7);
  put(w, w.image, bytes);
  Program program = new_program(w, kKernels);
  Kernel turn = new_kernel(program, "turn");
  OK(clSetKernelArg(turn, 0, sizeof(cl_mem), w.image.at()));
  OK(clSetKernelArg(turn, 1, sizeof(cl_mem), w.dst_image.at()));
  OK(clEnqueueNDRangeKernel(w.queue, turn, 2, nullptr, kWhole.data(), nullptr, 0, nullptr,
                            nullptr));
  const auto seen = get(w, w.dst_image);
  for (std::size_t y = 0; y < kImageSide; ++y) {
    for (std::size_t x = 0; x < kImageSide; ++x) {
      SAME(std::memcmp(&seen[(x * kImageSide + y) * 4], &bytes[(y * kImageSide + x) * 4], 4), 0);
    }
  }
}
USE(clEnqueueNDRangeKernel, samples_with_a_filter) {
  const cl_float texels[4] = {0, 1, 2, 5};
  Mem image = new_image(w, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, {CL_R, CL_FLOAT},
                        image_2d(2, 2), const_cast<cl_float*>(texels));
  cl_int e = 1;
  Sampler linear(clCreateSampler(w.ctx, CL_TRUE, CL_ADDRESS_CLAMP_TO_EDGE, CL_FILTER_LINEAR, &e));
  OK(e);
  Program program = new_program(w, kKernels);
  Kernel middle = new_kernel(program, "middle");
  OK(clSetKernelArg(middle, 0, sizeof(cl_mem), image.at()));
  OK(clSetKernelArg(middle, 1, sizeof(cl_sampler), linear.at()));
  OK(clSetKernelArg(middle, 2, sizeof(cl_mem), w.dst.at()));
  const std::size_t one = 1;
  OK(clEnqueueNDRangeKernel(w.queue, middle, 1, nullptr, &one, nullptr, 0, nullptr, nullptr));
  SAME(read_all<cl_float>(w, w.dst, 1)[0], 2.0f);
}

}  // namespace
}  // namespace tessera::conformance

// SPDX-License-Identifier: Apache-2.0
//
// Command buffers: commands of images.
#include <algorithm>

#include "tests/conformance/command_buffers.h"

namespace tessera::conformance {
namespace {

void launch(const World& w, cl_command_buffer_khr buffer) {
  OK(command_buffers(w).finalize(buffer));
  OK(command_buffers(w).enqueue(0, nullptr, buffer, 0, nullptr, nullptr));
}

const size_t kOrigin[3] = {0, 0, 0};
const size_t kAll[3] = {kImageSide, kImageSide, 1};
constexpr std::size_t kImageBytes = kImageSide * kImageSide * 4;

std::vector<unsigned char> pixels_of(const World& w, cl_mem image) {
  std::vector<unsigned char> out(kImageBytes);
  OK(clEnqueueReadImage(w.queue, image, CL_TRUE, kOrigin, kAll, 0, 0, out.data(), 0, nullptr,
                        nullptr));
  return out;
}

USE(clCommandFillImageKHR, fills) {
  const cl_uint color[4] = {1, 2, 3, 4};
  const cl_image_format format{CL_RGBA, CL_UNSIGNED_INT8};
  Mem image = new_image(w, CL_MEM_READ_WRITE, format, image_2d(kImageSide, kImageSide));
  CommandBuffer made = new_command_buffer(w, w.queue);
  OK(command_buffers(w).fill_image(made, nullptr, image, color, kOrigin, kAll, 0, nullptr, nullptr,
                                   nullptr));
  launch(w, made);
  const auto seen = pixels_of(w, image);
  for (std::size_t i = 0; i < kImageBytes; ++i) SAME(seen[i], i % 4 + 1);
}
USE(clCommandCopyBufferToImageKHR, copies) {
  const auto bytes = pattern(kImageBytes);
  write_all(w, w.buf, bytes);
  CommandBuffer made = new_command_buffer(w, w.queue);
  OK(command_buffers(w).copy_buffer_to_image(made, nullptr, w.buf, w.image, 0, kOrigin, kAll, 0,
                                             nullptr, nullptr, nullptr));
  launch(w, made);
  THAT(pixels_of(w, w.image) == bytes);
}
USE(clCommandCopyImageKHR, copies) {
  const auto bytes = pattern(kImageBytes, 7);
  OK(clEnqueueWriteImage(w.queue, w.image, CL_TRUE, kOrigin, kAll, 0, 0, bytes.data(), 0, nullptr,
                         nullptr));
  CommandBuffer made = new_command_buffer(w, w.queue);
  OK(command_buffers(w).copy_image(made, nullptr, w.image, w.dst_image, kOrigin, kOrigin, kAll, 0,
                                   nullptr, nullptr, nullptr));
  launch(w, made);
  THAT(pixels_of(w, w.dst_image) == bytes);
}
USE(clCommandCopyImageToBufferKHR, copies) {
  const auto bytes = pattern(kImageBytes, 9);
  OK(clEnqueueWriteImage(w.queue, w.image, CL_TRUE, kOrigin, kAll, 0, 0, bytes.data(), 0, nullptr,
                         nullptr));
  CommandBuffer made = new_command_buffer(w, w.queue);
  OK(command_buffers(w).copy_image_to_buffer(made, nullptr, w.image, w.dst, kOrigin, kAll, 64, 0,
                                             nullptr, nullptr, nullptr));
  launch(w, made);
  const auto seen = read_all<unsigned char>(w, w.dst, kImageBytes + 64);
  THAT(std::equal(bytes.begin(), bytes.end(), seen.begin() + 64));
}

}  // namespace
}  // namespace tessera::conformance

// SPDX-License-Identifier: Apache-2.0
//
// Images: reads, writes, copies and fills of every type and several formats.
#include <array>
#include <cstring>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

using Three = std::array<std::size_t, 3>;

constexpr cl_image_format kRgba8 = {CL_RGBA, CL_UNSIGNED_INT8};
constexpr Three kZero = {0, 0, 0};
constexpr Three kWhole = {kImageSide, kImageSide, 1};

struct Shape {
  cl_mem_object_type type;
  Three region;  // the whole image
};
constexpr Shape kShapes[] = {{CL_MEM_OBJECT_IMAGE1D, {13, 1, 1}},
                             {CL_MEM_OBJECT_IMAGE1D_ARRAY, {13, 5, 1}},
                             {CL_MEM_OBJECT_IMAGE2D, {13, 7, 1}},
                             {CL_MEM_OBJECT_IMAGE2D_ARRAY, {13, 7, 3}},
                             {CL_MEM_OBJECT_IMAGE3D, {13, 7, 4}}};

struct Format {
  cl_image_format format;
  std::size_t pixel;  // bytes
};
constexpr Format kFormats[] = {{{CL_RGBA, CL_UNORM_INT8}, 4},  {{CL_RGBA, CL_SIGNED_INT16}, 8},
                               {{CL_RGBA, CL_FLOAT}, 16},      {{CL_BGRA, CL_UNORM_INT8}, 4},
                               {{CL_R, CL_FLOAT}, 4},          {{CL_R, CL_UNSIGNED_INT8}, 1},
                               {{CL_RG, CL_UNSIGNED_INT16}, 4}};

Mem shaped(const World& w, const Shape& shape, cl_image_format format) {
  cl_image_desc desc{};
  desc.image_type = shape.type;
  desc.image_width = shape.region[0];
  desc.image_height = shape.region[1];
  desc.image_depth = shape.region[2];
  desc.image_array_size =
      shape.type == CL_MEM_OBJECT_IMAGE1D_ARRAY ? shape.region[1] : shape.region[2];
  return new_image(w, CL_MEM_READ_WRITE, format, desc);
}

bool supported(const World& w, const Shape& shape, const cl_image_format& format) {
  cl_uint count = 0;
  OK(clGetSupportedImageFormats(w.ctx, CL_MEM_READ_WRITE, shape.type, 0, nullptr, &count));
  std::vector<cl_image_format> list(count);
  OK(clGetSupportedImageFormats(w.ctx, CL_MEM_READ_WRITE, shape.type, count, list.data(), nullptr));
  for (const auto& one : list) {
    if (one.image_channel_order == format.image_channel_order &&
        one.image_channel_data_type == format.image_channel_data_type) {
      return true;
    }
  }
  return false;
}

std::size_t pixels(const Three& region) {
  return region[0] * region[1] * region[2];
}

unsigned char* host() {
  alignas(128) static std::array<unsigned char, kBytes> bytes{};
  return bytes.data();
}

cl_int read_at(const World& w, cl_mem image, const Three& at, const Three& region,
               std::size_t row = 0, std::size_t slice = 0) {
  return clEnqueueReadImage(w.queue, image, CL_TRUE, at.data(), region.data(), row, slice, host(),
                            0, nullptr, nullptr);
}
cl_int write_at(const World& w, cl_mem image, const Three& at, const Three& region,
                std::size_t row = 0, std::size_t slice = 0) {
  return clEnqueueWriteImage(w.queue, image, CL_TRUE, at.data(), region.data(), row, slice, host(),
                             0, nullptr, nullptr);
}

USE(clEnqueueWriteImage, every_type_and_format_comes_back) {
  for (const Shape& shape : kShapes) {
    for (const Format& format : kFormats) {
      if (!supported(w, shape, format.format)) continue;
      Mem image = shaped(w, shape, format.format);
      const auto bytes = pattern(pixels(shape.region) * format.pixel);
      OK(clEnqueueWriteImage(w.queue, image, CL_TRUE, kZero.data(), shape.region.data(), 0, 0,
                             bytes.data(), 0, nullptr, nullptr));
      std::vector<unsigned char> seen(bytes.size());
      OK(clEnqueueReadImage(w.queue, image, CL_TRUE, kZero.data(), shape.region.data(), 0, 0,
                            seen.data(), 0, nullptr, nullptr));
      THAT(seen == bytes);
    }
  }
}
USE(clEnqueueWriteImage, part_with_pitches) {
  const Shape shape = {CL_MEM_OBJECT_IMAGE3D, {8, 8, 4}};
  Mem image = shaped(w, shape, kRgba8);
  const cl_uint zeros[4] = {};
  OK(clEnqueueFillImage(w.queue, image, zeros, kZero.data(), shape.region.data(), 0, nullptr,
                        nullptr));
  const Three at = {2, 3, 1}, region = {4, 3, 2};
  const std::size_t row = 40, slice = 40 * 5;
  const auto bytes = pattern(slice * 2, 2);
  OK(clEnqueueWriteImage(w.queue, image, CL_FALSE, at.data(), region.data(), row, slice,
                         bytes.data(), 0, nullptr, nullptr));
  std::vector<unsigned char> seen(8 * 8 * 4 * 4);
  OK(clEnqueueReadImage(w.queue, image, CL_TRUE, kZero.data(), shape.region.data(), 0, 0,
                        seen.data(), 0, nullptr, nullptr));
  for (std::size_t z = 0; z < 4; ++z) {
    for (std::size_t y = 0; y < 8; ++y) {
      for (std::size_t x = 0; x < 32; ++x) {
        const bool inside = z >= 1 && z < 3 && y >= 3 && y < 6 && x >= 8 && x < 24;
        const unsigned char want = inside ? bytes[(z - 1) * slice + (y - 3) * row + x - 8] : 0;
        SAME(seen[(z * 8 + y) * 32 + x], want);
      }
    }
  }
}
TABLE_FAULT(clEnqueueWriteImage, null_image, CL_INVALID_MEM_OBJECT,
            (w.queue, nullptr, CL_TRUE, kZero.data(), kWhole.data(), 0, 0, host(), 0, nullptr,
             nullptr))
FAULT(clEnqueueWriteImage, null_pointer, CL_INVALID_VALUE,
      (w.queue, w.image, CL_TRUE, kZero.data(), kWhole.data(), 0, 0, nullptr, 0, nullptr, nullptr))
FAULT_BODY(clEnqueueWriteImage, past_the_edge) {
  CODE(write_at(w, w.image, {1, 0, 0}, kWhole), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueWriteImage, empty_region) {
  CODE(write_at(w, w.image, kZero, {0, 4, 1}), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueWriteImage, depth_of_a_flat_image) {
  CODE(write_at(w, w.image, kZero, {4, 4, 2}), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueWriteImage, row_pitch_too_small) {
  CODE(write_at(w, w.image, kZero, {8, 4, 1}, 16), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueWriteImage, to_a_buffer) {
  CODE(write_at(w, w.buf, kZero, {4, 4, 1}), CL_INVALID_MEM_OBJECT);
}
FAULT_BODY(clEnqueueWriteImage, of_another_context) {
  CODE(write_at(w, w.other_image, kZero, {4, 4, 1}), CL_INVALID_CONTEXT);
}
FAULT_BODY(clEnqueueWriteImage, where_the_host_may_not_write) {
  Mem image = new_image(w, CL_MEM_HOST_READ_ONLY, kRgba8, image_2d(8, 8));
  CODE(write_at(w, image, kZero, {4, 4, 1}), CL_INVALID_OPERATION);
}

USE(clEnqueueReadImage, part_that_does_not_wait) {
  const auto bytes = pattern(kImageSide * kImageSide * 4, 3);
  OK(clEnqueueWriteImage(w.queue, w.dst_image, CL_TRUE, kZero.data(), kWhole.data(), 0, 0,
                         bytes.data(), 0, nullptr, nullptr));
  const Three at = {5, 6, 0}, region = {3, 2, 1};
  std::vector<unsigned char> seen(64, 0xCC);
  OK(clEnqueueReadImage(w.queue, w.dst_image, CL_FALSE, at.data(), region.data(), 32, 0,
                        seen.data(), 0, nullptr, nullptr));
  OK(clFinish(w.queue));
  for (std::size_t y = 0; y < 2; ++y) {
    SAME(std::memcmp(seen.data() + y * 32, bytes.data() + ((6 + y) * kImageSide + 5) * 4, 12), 0);
  }
  SAME(seen[12], 0xCC);
}
USE(clEnqueueReadImage, larger_than_32_mib) {
  const Three region = {4096, 2304, 1};
  Mem image = new_image(w, CL_MEM_READ_WRITE, kRgba8, image_2d(region[0], region[1]));
  const auto bytes = pattern(pixels(region) * 4, 4);
  OK(clEnqueueWriteImage(w.queue, image, CL_TRUE, kZero.data(), region.data(), 0, 0, bytes.data(),
                         0, nullptr, nullptr));
  std::vector<unsigned char> seen(bytes.size());
  OK(clEnqueueReadImage(w.queue, image, CL_TRUE, kZero.data(), region.data(), 0, 0, seen.data(), 0,
                        nullptr, nullptr));
  THAT(seen == bytes);
}
TABLE_FAULT(clEnqueueReadImage, null_image, CL_INVALID_MEM_OBJECT,
            (w.queue, nullptr, CL_TRUE, kZero.data(), kWhole.data(), 0, 0, host(), 0, nullptr,
             nullptr))
FAULT(clEnqueueReadImage, null_pointer, CL_INVALID_VALUE,
      (w.queue, w.image, CL_TRUE, kZero.data(), kWhole.data(), 0, 0, nullptr, 0, nullptr, nullptr))
FAULT_BODY(clEnqueueReadImage, past_the_edge) {
  CODE(read_at(w, w.image, {0, 1, 0}, kWhole), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueReadImage, origin_that_wraps_around) {
  CODE(read_at(w, w.image, {~std::size_t{0}, 0, 0}, {2, 1, 1}), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueReadImage, layer_of_a_flat_image) {
  CODE(read_at(w, w.image, {0, 0, 1}, {4, 4, 1}), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueReadImage, row_pitch_too_small) {
  CODE(read_at(w, w.image, kZero, {8, 4, 1}, 16), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueReadImage, slice_pitch_of_a_flat_image) {
  CODE(read_at(w, w.image, kZero, {8, 4, 1}, 32, 128), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueReadImage, of_a_buffer) {
  CODE(read_at(w, w.buf, kZero, {4, 4, 1}), CL_INVALID_MEM_OBJECT);
}
FAULT_BODY(clEnqueueReadImage, of_another_context) {
  CODE(read_at(w, w.other_image, kZero, {4, 4, 1}), CL_INVALID_CONTEXT);
}
FAULT_BODY(clEnqueueReadImage, where_the_host_may_not_read) {
  Mem image = new_image(w, CL_MEM_HOST_NO_ACCESS, kRgba8, image_2d(8, 8));
  CODE(read_at(w, image, kZero, {4, 4, 1}), CL_INVALID_OPERATION);
}

USE(clEnqueueFillImage, part_of_every_type) {
  for (const Shape& shape : kShapes) {
    Mem image = shaped(w, shape, kRgba8);
    const cl_uint zeros[4] = {}, color[4] = {1, 2, 3, 4};
    OK(clEnqueueFillImage(w.queue, image, zeros, kZero.data(), shape.region.data(), 0, nullptr,
                          nullptr));
    const Three at = {2, shape.region[1] > 1 ? 1u : 0u, shape.region[2] > 1 ? 1u : 0u};
    const Three region = {3, 1, 1};
    OK(clEnqueueFillImage(w.queue, image, color, at.data(), region.data(), 0, nullptr, nullptr));
    std::vector<unsigned char> seen(pixels(shape.region) * 4);
    OK(clEnqueueReadImage(w.queue, image, CL_TRUE, kZero.data(), shape.region.data(), 0, 0,
                          seen.data(), 0, nullptr, nullptr));
    const std::size_t first = ((at[2] * shape.region[1] + at[1]) * shape.region[0] + at[0]) * 4;
    for (std::size_t i = 0; i < seen.size(); ++i) {
      const bool inside = i >= first && i < first + 12;
      SAME(seen[i], inside ? (i - first) % 4 + 1 : 0);
    }
  }
}
USE(clEnqueueFillImage, floats_become_bytes) {
  Mem image = new_image(w, CL_MEM_READ_WRITE, {CL_RGBA, CL_UNORM_INT8}, image_2d(4, 4));
  const cl_float color[4] = {0.0f, 1.0f, 0.2f, 2.0f};
  const Three region = {4, 4, 1};
  OK(clEnqueueFillImage(w.queue, image, color, kZero.data(), region.data(), 0, nullptr, nullptr));
  OK(read_at(w, image, kZero, region));
  SAME(host()[0], 0);
  SAME(host()[1], 255);
  SAME(host()[2], 51);
  SAME(host()[3], 255);
}
TABLE_FAULT(clEnqueueFillImage, null_image, CL_INVALID_MEM_OBJECT,
            (w.queue, nullptr, host(), kZero.data(), kWhole.data(), 0, nullptr, nullptr))
FAULT(clEnqueueFillImage, null_color, CL_INVALID_VALUE,
      (w.queue, w.dst_image, nullptr, kZero.data(), kWhole.data(), 0, nullptr, nullptr))
FAULT(clEnqueueFillImage, null_origin, CL_INVALID_VALUE,
      (w.queue, w.dst_image, host(), nullptr, kWhole.data(), 0, nullptr, nullptr))
FAULT(clEnqueueFillImage, of_a_buffer, CL_INVALID_MEM_OBJECT,
      (w.queue, w.dst, host(), kZero.data(), kWhole.data(), 0, nullptr, nullptr))
FAULT_BODY(clEnqueueFillImage, past_the_edge) {
  const Three at = {0, 1, 0};
  CODE(clEnqueueFillImage(w.queue, w.dst_image, host(), at.data(), kWhole.data(), 0, nullptr,
                          nullptr),
       CL_INVALID_VALUE);
}
FAULT(clEnqueueFillImage, of_another_context, CL_INVALID_CONTEXT,
      (w.queue, w.other_image, host(), kZero.data(), kWhole.data(), 0, nullptr, nullptr))

}  // namespace
}  // namespace tessera::conformance

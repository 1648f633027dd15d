// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstring>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

constexpr cl_image_format kRgba8 = {CL_RGBA, CL_UNSIGNED_INT8};

std::array<unsigned char, 4096>& host() {
  static std::array<unsigned char, 4096> bytes{};
  return bytes;
}

cl_int create(const World& w, cl_mem_flags flags, const cl_image_format* format,
              const cl_image_desc* desc, void* data = nullptr) {
  cl_int e = 1;
  Mem made(clCreateImage(w.ctx, flags, format, desc, data, &e));
  return creation_code(cl_mem(made), e);
}

cl_int described(const World& w, const cl_image_desc& desc, void* data = nullptr) {
  return create(w, data == nullptr ? 0 : CL_MEM_COPY_HOST_PTR, &kRgba8, &desc, data);
}

template <class T>
T fact(cl_mem image, cl_image_info what) {
  T value{};
  OK(clGetImageInfo(image, what, sizeof value, &value, nullptr));
  return value;
}

USE(clCreateImage, every_type) {
  for (const cl_mem_object_type type :
       {CL_MEM_OBJECT_IMAGE1D, CL_MEM_OBJECT_IMAGE1D_ARRAY, CL_MEM_OBJECT_IMAGE2D,
        CL_MEM_OBJECT_IMAGE2D_ARRAY, CL_MEM_OBJECT_IMAGE3D}) {
    cl_image_desc desc{};
    desc.image_type = type;
    desc.image_width = 8;
    desc.image_height = 4;
    desc.image_depth = 3;
    desc.image_array_size = 2;
    Mem made = new_image(w, CL_MEM_READ_WRITE, kRgba8, desc);
    cl_mem_object_type back = 0;
    OK(clGetMemObjectInfo(made, CL_MEM_TYPE, sizeof back, &back, nullptr));
    SAME(back, type);
    const bool flat = type == CL_MEM_OBJECT_IMAGE1D || type == CL_MEM_OBJECT_IMAGE1D_ARRAY;
    const bool array = type == CL_MEM_OBJECT_IMAGE1D_ARRAY || type == CL_MEM_OBJECT_IMAGE2D_ARRAY;
    SAME(fact<std::size_t>(made, CL_IMAGE_WIDTH), std::size_t{8});
    SAME(fact<std::size_t>(made, CL_IMAGE_HEIGHT), std::size_t{flat ? 0u : 4u});
    SAME(fact<std::size_t>(made, CL_IMAGE_DEPTH),
         std::size_t{type == CL_MEM_OBJECT_IMAGE3D ? 3u : 0u});
    SAME(fact<std::size_t>(made, CL_IMAGE_ARRAY_SIZE), std::size_t{array ? 2u : 0u});
  }
}
USE(clCreateImage, on_a_buffer) {
  const auto bytes = pattern(64 * 4);
  Mem buffer = new_buffer(w, CL_MEM_READ_WRITE, bytes.size());
  write_all(w, buffer, bytes);
  cl_image_desc desc{};
  desc.image_type = CL_MEM_OBJECT_IMAGE1D_BUFFER;
  desc.image_width = 64;
  desc.mem_object = buffer;
  Mem image = new_image(w, CL_MEM_READ_WRITE, kRgba8, desc);
  SAME(fact<cl_mem>(image, CL_IMAGE_BUFFER), cl_mem(buffer));
  const std::size_t origin[3] = {16, 0, 0}, region[3] = {8, 1, 1};
  std::array<unsigned char, 32> seen{};
  OK(clEnqueueReadImage(w.queue, image, CL_TRUE, origin, region, 0, 0, seen.data(), 0, nullptr,
                        nullptr));
  SAME(std::memcmp(seen.data(), bytes.data() + 64, 32), 0);
}
USE(clCreateImage, copies_rows_with_a_pitch) {
  const auto bytes = pattern(4 * 64);
  cl_image_desc desc = image_2d(8, 4);
  desc.image_row_pitch = 64;
  auto source = bytes;
  Mem image = new_image(w, CL_MEM_COPY_HOST_PTR, kRgba8, desc, source.data());
  const std::size_t origin[3] = {0, 0, 0}, region[3] = {8, 4, 1};
  std::array<unsigned char, 128> seen{};
  OK(clEnqueueReadImage(w.queue, image, CL_TRUE, origin, region, 0, 0, seen.data(), 0, nullptr,
                        nullptr));
  for (std::size_t y = 0; y < 4; ++y) {
    SAME(std::memcmp(seen.data() + y * 32, bytes.data() + y * 64, 32), 0);
  }
}
TABLE_FAULT_NEW(clCreateImage, null_context, CL_INVALID_CONTEXT,
                (nullptr, 0, &kRgba8, std::vector<cl_image_desc>{image_2d(4, 4)}.data(), nullptr,
                 &e))
FAULT_BODY(clCreateImage, null_format) {
  const auto desc = image_2d(4, 4);
  CODE(create(w, 0, nullptr, &desc), CL_INVALID_IMAGE_FORMAT_DESCRIPTOR);
}
FAULT_BODY(clCreateImage, bad_channel_order) {
  const auto desc = image_2d(4, 4);
  const cl_image_format bad = {0x7777, CL_UNSIGNED_INT8};
  CODE(create(w, 0, &bad, &desc), CL_INVALID_IMAGE_FORMAT_DESCRIPTOR);
}
FAULT_BODY(clCreateImage, bad_channel_type) {
  const auto desc = image_2d(4, 4);
  const cl_image_format bad = {CL_RGBA, 0x7777};
  CODE(create(w, 0, &bad, &desc), CL_INVALID_IMAGE_FORMAT_DESCRIPTOR);
}
FAULT_BODY(clCreateImage, rgb_of_bytes) {
  const auto desc = image_2d(4, 4);
  const cl_image_format bad = {CL_RGB, CL_UNSIGNED_INT8};
  CODE(create(w, 0, &bad, &desc),
       ANY(CL_INVALID_IMAGE_FORMAT_DESCRIPTOR, CL_IMAGE_FORMAT_NOT_SUPPORTED));
}
FAULT_BODY(clCreateImage, null_description) {
  CODE(create(w, 0, &kRgba8, nullptr), CL_INVALID_IMAGE_DESCRIPTOR);
}
FAULT_BODY(clCreateImage, bad_type) {
  auto desc = image_2d(4, 4);
  desc.image_type = CL_MEM_OBJECT_BUFFER;
  CODE(described(w, desc), CL_INVALID_IMAGE_DESCRIPTOR);
}
FAULT_BODY(clCreateImage, no_width) {
  CODE(described(w, image_2d(0, 4)), ANY(CL_INVALID_IMAGE_DESCRIPTOR, CL_INVALID_IMAGE_SIZE));
}
FAULT_BODY(clCreateImage, no_height) {
  CODE(described(w, image_2d(4, 0)), ANY(CL_INVALID_IMAGE_DESCRIPTOR, CL_INVALID_IMAGE_SIZE));
}
FAULT_BODY(clCreateImage, too_wide) {
  const auto most = device_fact<std::size_t>(w, CL_DEVICE_IMAGE2D_MAX_WIDTH);
  CODE(described(w, image_2d(most + 1, 1)),
       ANY(CL_INVALID_IMAGE_SIZE, CL_INVALID_IMAGE_DESCRIPTOR));
}
FAULT_BODY(clCreateImage, too_many_layers) {
  auto desc = image_2d(4, 4);
  desc.image_type = CL_MEM_OBJECT_IMAGE2D_ARRAY;
  desc.image_array_size = device_fact<std::size_t>(w, CL_DEVICE_IMAGE_MAX_ARRAY_SIZE) + 1;
  CODE(described(w, desc), ANY(CL_INVALID_IMAGE_SIZE, CL_INVALID_IMAGE_DESCRIPTOR));
}
FAULT_BODY(clCreateImage, pitch_without_data) {
  auto desc = image_2d(4, 4);
  desc.image_row_pitch = 64;
  CODE(described(w, desc), CL_INVALID_IMAGE_DESCRIPTOR);
}
FAULT_BODY(clCreateImage, pitch_smaller_than_a_row) {
  auto desc = image_2d(8, 4);
  desc.image_row_pitch = 16;
  CODE(described(w, desc, host().data()), CL_INVALID_IMAGE_DESCRIPTOR);
}
FAULT_BODY(clCreateImage, pitch_that_cuts_a_pixel) {
  auto desc = image_2d(8, 4);
  desc.image_row_pitch = 35;
  CODE(described(w, desc, host().data()), CL_INVALID_IMAGE_DESCRIPTOR);
}
FAULT_BODY(clCreateImage, slice_smaller_than_an_image) {
  auto desc = image_2d(8, 4);
  desc.image_type = CL_MEM_OBJECT_IMAGE3D;
  desc.image_depth = 2;
  desc.image_row_pitch = 32;
  desc.image_slice_pitch = 64;
  CODE(described(w, desc, host().data()), CL_INVALID_IMAGE_DESCRIPTOR);
}
FAULT_BODY(clCreateImage, mip_levels) {
  auto desc = image_2d(8, 4);
  desc.num_mip_levels = 2;
  CODE(described(w, desc), CL_INVALID_IMAGE_DESCRIPTOR);
}
FAULT_BODY(clCreateImage, samples) {
  auto desc = image_2d(8, 4);
  desc.num_samples = 2;
  CODE(described(w, desc), CL_INVALID_IMAGE_DESCRIPTOR);
}
FAULT_BODY(clCreateImage, buffer_image_without_a_buffer) {
  cl_image_desc desc{};
  desc.image_type = CL_MEM_OBJECT_IMAGE1D_BUFFER;
  desc.image_width = 16;
  CODE(described(w, desc), ANY(CL_INVALID_IMAGE_DESCRIPTOR, CL_INVALID_MEM_OBJECT));
}
FAULT_BODY(clCreateImage, buffer_image_larger_than_its_buffer) {
  cl_image_desc desc{};
  desc.image_type = CL_MEM_OBJECT_IMAGE1D_BUFFER;
  desc.image_width = kBytes;
  desc.mem_object = w.buf;
  CODE(described(w, desc),
       ANY(CL_INVALID_IMAGE_DESCRIPTOR, CL_INVALID_IMAGE_SIZE, CL_INVALID_MEM_OBJECT));
}
FAULT_BODY(clCreateImage, plain_image_with_a_buffer) {
  auto desc = image_2d(8, 4);
  desc.image_type = CL_MEM_OBJECT_IMAGE3D;
  desc.image_depth = 2;
  desc.mem_object = w.buf;
  CODE(described(w, desc), CL_INVALID_IMAGE_DESCRIPTOR);
}
FAULT_BODY(clCreateImage, read_only_and_write_only) {
  const auto desc = image_2d(4, 4);
  CODE(create(w, CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY, &kRgba8, &desc), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateImage, unknown_flag) {
  const auto desc = image_2d(4, 4);
  CODE(create(w, 1u << 25, &kRgba8, &desc), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateImage, use_without_pointer) {
  const auto desc = image_2d(4, 4);
  CODE(create(w, CL_MEM_USE_HOST_PTR, &kRgba8, &desc), CL_INVALID_HOST_PTR);
}
FAULT_BODY(clCreateImage, pointer_without_flag) {
  const auto desc = image_2d(4, 4);
  CODE(create(w, 0, &kRgba8, &desc, host().data()), CL_INVALID_HOST_PTR);
}

USE(clCreateImageWithProperties, plain) {
  cl_int e = 1;
  const auto desc = image_2d(4, 4);
  Mem made(
      clCreateImageWithProperties(w.ctx, nullptr, CL_MEM_READ_WRITE, &kRgba8, &desc, nullptr, &e));
  OK(e);
  SAME(fact<std::size_t>(made, CL_IMAGE_ELEMENT_SIZE), std::size_t{4});
}
TABLE_FAULT_NEW(clCreateImageWithProperties, null_context, CL_INVALID_CONTEXT,
                (nullptr, nullptr, 0, &kRgba8, std::vector<cl_image_desc>{image_2d(4, 4)}.data(),
                 nullptr, &e))
FAULT_BODY(clCreateImageWithProperties, unknown_property) {
  cl_int e = 1;
  const auto desc = image_2d(4, 4);
  const cl_mem_properties bad[] = {0x7777, 1, 0};
  CODE(creation_code(clCreateImageWithProperties(w.ctx, bad, 0, &kRgba8, &desc, nullptr, &e), e),
       CL_INVALID_PROPERTY);
}
FAULT_NEW(clCreateImageWithProperties, null_description, CL_INVALID_IMAGE_DESCRIPTOR,
          (w.ctx, nullptr, 0, &kRgba8, nullptr, nullptr, &e))

USE(clCreateImage2D, plain_and_with_data) {
  auto bytes = pattern(8 * 4 * 4);
  cl_int e = 1;
  Mem plain(clCreateImage2D(w.ctx, CL_MEM_READ_WRITE, &kRgba8, 8, 4, 0, nullptr, &e));
  OK(e);
  Mem filled(clCreateImage2D(w.ctx, CL_MEM_COPY_HOST_PTR, &kRgba8, 8, 4, 32, bytes.data(), &e));
  OK(e);
  const std::size_t origin[3] = {0, 0, 0}, region[3] = {8, 4, 1};
  std::vector<unsigned char> seen(bytes.size());
  OK(clEnqueueReadImage(w.queue, filled, CL_TRUE, origin, region, 0, 0, seen.data(), 0, nullptr,
                        nullptr));
  THAT(seen == bytes);
}
TABLE_FAULT_NEW(clCreateImage2D, null_context, CL_INVALID_CONTEXT,
                (nullptr, 0, &kRgba8, 8, 4, 0, nullptr, &e))
FAULT_NEW(clCreateImage2D, no_width, ANY(CL_INVALID_IMAGE_SIZE, CL_INVALID_IMAGE_DESCRIPTOR),
          (w.ctx, 0, &kRgba8, 0, 4, 0, nullptr, &e))
FAULT_NEW(clCreateImage2D, null_format, CL_INVALID_IMAGE_FORMAT_DESCRIPTOR,
          (w.ctx, 0, nullptr, 8, 4, 0, nullptr, &e))

USE(clCreateImage3D, plain) {
  cl_int e = 1;
  Mem made(clCreateImage3D(w.ctx, CL_MEM_READ_WRITE, &kRgba8, 8, 4, 3, 0, 0, nullptr, &e));
  OK(e);
  SAME(fact<std::size_t>(made, CL_IMAGE_DEPTH), std::size_t{3});
}
TABLE_FAULT_NEW(clCreateImage3D, null_context, CL_INVALID_CONTEXT,
                (nullptr, 0, &kRgba8, 8, 4, 3, 0, 0, nullptr, &e))
FAULT_NEW(clCreateImage3D, no_height, ANY(CL_INVALID_IMAGE_SIZE, CL_INVALID_IMAGE_DESCRIPTOR),
          (w.ctx, 0, &kRgba8, 8, 0, 3, 0, 0, nullptr, &e))

USE(clGetSupportedImageFormats, lists_the_required_ones) {
  cl_uint count = 0;
  OK(clGetSupportedImageFormats(w.ctx, CL_MEM_READ_WRITE, CL_MEM_OBJECT_IMAGE2D, 0, nullptr,
                                &count));
  THAT(count > 0);
  std::vector<cl_image_format> list(count);
  OK(clGetSupportedImageFormats(w.ctx, CL_MEM_READ_WRITE, CL_MEM_OBJECT_IMAGE2D, count, list.data(),
                                nullptr));
  for (const cl_channel_type type : {CL_UNORM_INT8, CL_UNSIGNED_INT8, CL_SIGNED_INT32, CL_FLOAT}) {
    bool found = false;
    for (const auto& one : list) {
      found = found || (one.image_channel_order == CL_RGBA && one.image_channel_data_type == type);
    }
    THAT(found);
  }
}
USE(clGetSupportedImageFormats, every_image_type) {
  for (const cl_mem_object_type type :
       {CL_MEM_OBJECT_IMAGE1D, CL_MEM_OBJECT_IMAGE1D_BUFFER, CL_MEM_OBJECT_IMAGE1D_ARRAY,
        CL_MEM_OBJECT_IMAGE2D, CL_MEM_OBJECT_IMAGE2D_ARRAY, CL_MEM_OBJECT_IMAGE3D}) {
    for (const cl_mem_flags flags :
         {CL_MEM_READ_ONLY, CL_MEM_WRITE_ONLY, CL_MEM_KERNEL_READ_AND_WRITE}) {
      cl_uint count = 0;
      OK(clGetSupportedImageFormats(w.ctx, flags, type, 0, nullptr, &count));
    }
  }
}
USE(clGetSupportedImageFormats, first_few_only) {
  cl_image_format room[3] = {{1, 1}, {1, 1}, {1, 1}};
  OK(clGetSupportedImageFormats(w.ctx, CL_MEM_READ_WRITE, CL_MEM_OBJECT_IMAGE2D, 2, room, nullptr));
  SAME(room[2].image_channel_order, 1u);
  THAT(room[1].image_channel_order != 1u);
}
TABLE_FAULT(clGetSupportedImageFormats, null_context, CL_INVALID_CONTEXT,
            (nullptr, 0, CL_MEM_OBJECT_IMAGE2D, 0, nullptr, nullptr))
FAULT(clGetSupportedImageFormats, bad_type, CL_INVALID_VALUE,
      (w.ctx, CL_MEM_READ_WRITE, CL_MEM_OBJECT_BUFFER, 0, nullptr, nullptr))
FAULT_BODY(clGetSupportedImageFormats, list_without_room) {
  cl_image_format room[1];
  CODE(
      clGetSupportedImageFormats(w.ctx, CL_MEM_READ_WRITE, CL_MEM_OBJECT_IMAGE2D, 0, room, nullptr),
      CL_INVALID_VALUE);
}
FAULT(clGetSupportedImageFormats, wrong_kind, CL_INVALID_CONTEXT,
      (as<cl_context>(w.buf), 0, CL_MEM_OBJECT_IMAGE2D, 0, nullptr, nullptr))

USE(clGetImageInfo, every_parameter) {
  check_info([&](cl_uint what, std::size_t n, void* to,
                 std::size_t* size) { return clGetImageInfo(w.image, what, n, to, size); },
             {{CL_IMAGE_FORMAT, sizeof(cl_image_format)},
              {CL_IMAGE_ELEMENT_SIZE, 8},
              {CL_IMAGE_ROW_PITCH, 8},
              {CL_IMAGE_SLICE_PITCH, 8},
              {CL_IMAGE_WIDTH, 8},
              {CL_IMAGE_HEIGHT, 8},
              {CL_IMAGE_DEPTH, 8},
              {CL_IMAGE_ARRAY_SIZE, 8},
              {CL_IMAGE_BUFFER, 8},
              {CL_IMAGE_NUM_MIP_LEVELS, 4},
              {CL_IMAGE_NUM_SAMPLES, 4}});
  const auto format = fact<cl_image_format>(w.image, CL_IMAGE_FORMAT);
  SAME(format.image_channel_order, cl_uint{CL_RGBA});
  SAME(format.image_channel_data_type, cl_uint{CL_UNSIGNED_INT8});
  SAME(fact<std::size_t>(w.image, CL_IMAGE_ROW_PITCH), kImageSide * 4);
}
TABLE_FAULT(clGetImageInfo, null_image, CL_INVALID_MEM_OBJECT,
            (nullptr, CL_IMAGE_WIDTH, 0, nullptr, nullptr))
FAULT(clGetImageInfo, of_a_buffer, CL_INVALID_MEM_OBJECT,
      (w.buf, CL_IMAGE_WIDTH, 0, nullptr, nullptr))
FAULT(clGetImageInfo, unknown_parameter, CL_INVALID_VALUE, (w.image, 0x1, 0, nullptr, nullptr))
FAULT(clGetImageInfo, wrong_kind, CL_INVALID_MEM_OBJECT,
      (as<cl_mem>(w.ctx), CL_IMAGE_WIDTH, 0, nullptr, nullptr))

}  // namespace
}  // namespace tessera::conformance

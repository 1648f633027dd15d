// SPDX-License-Identifier: Apache-2.0
//
// Formats, coordinates and pitches of images.
#include "check.h"
#include "opencl/client/image_format.h"
#include "opencl/client/image_layout.h"

namespace tessera::client {
namespace {

ImageShape shape(cl_mem_object_type type) {
  return {.type = type, .pixel = 4, .width = 8, .height = 6, .depth = 5, .array_size = 3};
}

void formats() {
  CHECK(pixel_size({CL_RGBA, CL_UNORM_INT8}) == 4);
  CHECK(pixel_size({CL_RGBA, CL_FLOAT}) == 16);
  CHECK(pixel_size({CL_R, CL_HALF_FLOAT}) == 2);
  CHECK(pixel_size({CL_RG, CL_SIGNED_INT32}) == 8);
  CHECK(pixel_size({CL_RGB, CL_UNORM_SHORT_565}) == 2);
  CHECK(pixel_size({CL_RGB, CL_UNORM_INT_101010}) == 4);
  CHECK(pixel_size({CL_RGB, CL_UNORM_INT8}) == 0);
  CHECK(pixel_size({CL_R, CL_UNORM_SHORT_565}) == 0);
  CHECK(pixel_size({CL_BGRA, CL_UNSIGNED_INT8}) == 4);
  CHECK(pixel_size({CL_BGRA, CL_FLOAT}) == 0);
  CHECK(pixel_size({CL_LUMINANCE, CL_SIGNED_INT8}) == 0);
  CHECK(pixel_size({CL_DEPTH, CL_FLOAT}) == 4);
  CHECK(pixel_size({CL_sRGBA, CL_UNORM_INT8}) == 4);
  CHECK(pixel_size({0, 0}) == 0);
}

void limits() {
  CHECK((shape(CL_MEM_OBJECT_IMAGE1D).limits() == wire::Id3{8, 1, 1}));
  CHECK((shape(CL_MEM_OBJECT_IMAGE1D_ARRAY).limits() == wire::Id3{8, 3, 1}));
  CHECK((shape(CL_MEM_OBJECT_IMAGE2D).limits() == wire::Id3{8, 6, 1}));
  CHECK((shape(CL_MEM_OBJECT_IMAGE2D_ARRAY).limits() == wire::Id3{8, 6, 3}));
  CHECK((shape(CL_MEM_OBJECT_IMAGE3D).limits() == wire::Id3{8, 6, 5}));
}

void regions() {
  const ImageShape line = shape(CL_MEM_OBJECT_IMAGE1D);
  const ImageShape plane = shape(CL_MEM_OBJECT_IMAGE2D);
  const ImageShape volume = shape(CL_MEM_OBJECT_IMAGE3D);
  CHECK(region_is_formed(line, {1, 0, 0}, {2, 1, 1}));
  CHECK(!region_is_formed(line, {0, 1, 0}, {2, 1, 1}));
  CHECK(!region_is_formed(line, {0, 0, 0}, {2, 2, 1}));
  CHECK(!region_is_formed(plane, {0, 0, 1}, {2, 2, 1}));
  CHECK(!region_is_formed(plane, {0, 0, 0}, {2, 2, 2}));
  CHECK(!region_is_formed(volume, {0, 0, 0}, {2, 0, 2}));
  CHECK(region_is_formed(volume, {0, 0, 3}, {2, 2, 2}));
  CHECK(region_is_inside(volume, {6, 4, 3}, {2, 2, 2}));
  CHECK(!region_is_inside(volume, {7, 4, 3}, {2, 2, 2}));
  CHECK(!region_is_inside(volume, {SIZE_MAX, 0, 0}, {2, 1, 1}));
  CHECK(!region_is_inside(volume, {0, 0, 0}, {SIZE_MAX, 1, 1}));
}

void pitches() {
  const ImageShape plane = shape(CL_MEM_OBJECT_IMAGE2D);
  CHECK(host_steps(plane, {8, 6, 1}, 0, 0)->row == 32);
  CHECK(host_steps(plane, {4, 6, 1}, 48, 0)->row == 48);
  CHECK(!host_steps(plane, {8, 6, 1}, 31, 0));
  CHECK(!host_steps(plane, {8, 6, 1}, 32, 192));
  const ImageShape volume = shape(CL_MEM_OBJECT_IMAGE3D);
  CHECK(host_steps(volume, {8, 6, 5}, 40, 0)->slice == 240);
  CHECK(host_steps(volume, {8, 6, 5}, 40, 400)->slice == 400);
  CHECK(!host_steps(volume, {8, 6, 5}, 40, 239));
  // The second coordinate of a 1D array counts its elements, which the slice pitch parts.
  const ImageShape lines = shape(CL_MEM_OBJECT_IMAGE1D_ARRAY);
  CHECK(host_steps(lines, {8, 3, 1}, 32, 64)->row == 64);
  CHECK(host_steps(lines, {8, 3, 1}, 40, 0)->row == 40);
  CHECK(!host_steps(lines, {8, 3, 1}, 40, 39));
  CHECK((host_steps(volume, {8, 6, 5}, 40, 400)->offset({2, 3, 4}, 4) == 8 + 120 + 1600));
}

}  // namespace
}  // namespace tessera::client

int main() {
  using namespace tessera::client;
  formats();
  limits();
  regions();
  pitches();
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/checks.h"
#include "opencl/client/image.h"
#include "opencl/client/image_format.h"

namespace tessera::client::check {
namespace {

wire::Id3 pixels_of(const size_t* from) {
  ensure(from != nullptr, CL_INVALID_VALUE);
  return {from[0], from[1], from[2]};
}

bool overlap(const wire::Id3& a, const wire::Id3& b, const wire::Id3& region) {
  for (std::size_t i = 0; i < 3; ++i) {
    if (a[i] >= b[i] + region[i] || b[i] >= a[i] + region[i]) return false;
  }
  return true;
}

std::size_t packed_bytes(const Mem& image, const wire::Id3& region) {
  return region[0] * region[1] * region[2] * image.image().element_size;
}

}  // namespace

void image(const Command& command, const Mem& mem) {
  ensure(mem.is_image(), CL_INVALID_MEM_OBJECT);
  const Device& device = command.queue().device();
  ensure(device.images(), CL_INVALID_OPERATION);
  if (command.context().devices().size() > 1) {
    ensure(image_fits(shape_of(mem), device), CL_INVALID_IMAGE_SIZE);
  }
}

void image_region(const Mem& image, const size_t* origin, const size_t* region) {
  const ImageShape shape = shape_of(image);
  const wire::Id3 at = pixels_of(origin);
  const wire::Id3 extent = pixels_of(region);
  ensure(region_is_formed(shape, at, extent) && region_is_inside(shape, at, extent),
         CL_INVALID_VALUE);
}

void fill_image(Command& command, Mem& mem, const void* color, const size_t* origin,
                const size_t* region) {
  image(command, mem);
  ensure(color != nullptr, CL_INVALID_VALUE);
  image_region(mem, origin, region);
}

void copy_image(Command& command, Mem& source, Mem& destination, const size_t* source_origin,
                const size_t* destination_origin, const size_t* region) {
  image(command, source);
  image(command, destination);
  ensure(same_format(source.image().format, destination.image().format), CL_IMAGE_FORMAT_MISMATCH);
  image_region(source, source_origin, region);
  image_region(destination, destination_origin, region);
  const bool same = &source == &destination;
  ensure(
      !same || !overlap(pixels_of(source_origin), pixels_of(destination_origin), pixels_of(region)),
      CL_MEM_COPY_OVERLAP);
}

void copy_image_to_buffer(Command& command, Mem& source, Mem& destination, const size_t* origin,
                          const size_t* region, size_t offset) {
  image(command, source);
  buffer(command, destination);
  image_region(source, origin, region);
  range(destination, offset, packed_bytes(source, pixels_of(region)));
}

void copy_buffer_to_image(Command& command, Mem& source, Mem& destination, size_t offset,
                          const size_t* origin, const size_t* region) {
  buffer(command, source);
  image(command, destination);
  image_region(destination, origin, region);
  range(source, offset, packed_bytes(destination, pixels_of(region)));
}

}  // namespace tessera::client::check

// SPDX-License-Identifier: Apache-2.0
//
// Reading, writing, filling and mapping images.
#include <cstring>

#include "generated/client_entries.h"
#include "generated/messages_event.h"
#include "generated/messages_image.h"
#include "opencl/client/checks.h"
#include "opencl/client/command.h"
#include "opencl/client/generated_support.h"
#include "opencl/client/image.h"

namespace tessera::client {
namespace {

wire::Id3 sum(const wire::Id3& a, const wire::Id3& b) {
  return {a[0] + b[0], a[1] + b[1], a[2] + b[2]};
}

template <class Byte>
HostBox<Byte> host_box(Byte* at, const wire::Id3& region, std::size_t pixel,
                       const HostSteps& steps) {
  return {.at = at,
          .row_bytes = region[0] * pixel,
          .rows = region[1],
          .slices = region[2],
          .row_pitch = steps.row,
          .slice_pitch = steps.slice};
}

HostSteps steps_or_invalid(const Mem& image, const wire::Id3& region, size_t row_pitch,
                           size_t slice_pitch) {
  const auto steps = host_steps(shape_of(image), region, row_pitch, slice_pitch);
  ensure(steps.has_value(), CL_INVALID_VALUE);
  return *steps;
}

// Fills the part of a message that says which pixels it is about.
auto naming(Mem& image, const wire::Id3& origin) {
  return [object = Ref<Mem>(image), origin](auto& message, const Piece& piece) {
    message.image = object->id();
    message.origin = sum(origin, piece.offset);
    message.region = piece.region;
  };
}

void* map(Command& command, Mem& image, bool blocking, cl_map_flags flags, const wire::Id3& origin,
          const wire::Id3& region) {
  const cl_image_desc& desc = image.image().desc;
  const std::size_t pixel = image.image().element_size;
  const HostSteps steps =
      steps_or_invalid(image, region, desc.image_row_pitch, desc.image_slice_pitch);
  std::byte* at = image.shadow() + steps.offset(origin, pixel);
  Mapping mapping{.pointer = at,
                  .flags = flags,
                  .origin = origin,
                  .region = region,
                  .row_pitch = desc.image_row_pitch,
                  .slice_pitch = desc.image_slice_pitch};
  if ((flags & CL_MAP_WRITE_INVALIDATE_REGION) != 0) {
    command.post_nothing(blocking);
  } else {
    mapping.read = command.read<wire::ReadImage>(region, pixel, host_box(at, region, pixel, steps),
                                                 blocking, naming(image, origin), &image);
  }
  image.add_mapping(mapping);
  return at;
}

}  // namespace

void unmap_image(Command& command, Mem& image, const Mapping& mapping) {
  const std::size_t pixel = image.image().element_size;
  const HostSteps steps =
      steps_or_invalid(image, mapping.region, mapping.row_pitch, mapping.slice_pitch);
  const auto* at = static_cast<const std::byte*>(mapping.pointer);
  command.write<wire::WriteImage>(mapping.region, pixel, host_box(at, mapping.region, pixel, steps),
                                  false, naming(image, mapping.origin));
}

// A depth image has one channel, and the program's memory may end behind it.
FillColor color_of(const Mem& image, const void* from) {
  const bool single = image.image().format.image_channel_order == CL_DEPTH;
  FillColor color{};
  std::memcpy(color.data(), from, single ? sizeof(cl_float) : color.size());
  return color;
}

namespace entry {

cl_int CL_API_CALL clEnqueueReadImage(cl_command_queue command_queue, cl_mem image,
                                      cl_bool blocking_read, const size_t* origin,
                                      const size_t* region, size_t row_pitch, size_t slice_pitch,
                                      void* ptr, cl_uint num_events_in_wait_list,
                                      const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    Command command(command_queue, CL_COMMAND_READ_IMAGE, num_events_in_wait_list, event_wait_list,
                    event);
    Mem& object = command.mem(image);
    check::image(command, object);
    check::image_region(object, origin, region);
    ensure(ptr != nullptr, CL_INVALID_VALUE);
    check::host_may_read(object);
    const wire::Id3 extent = triple(region);
    const HostSteps steps = steps_or_invalid(object, extent, row_pitch, slice_pitch);
    const std::size_t pixel = object.image().element_size;
    command.read<wire::ReadImage>(extent, pixel,
                                  host_box(static_cast<std::byte*>(ptr), extent, pixel, steps),
                                  blocking_read != CL_FALSE, naming(object, triple(origin)));
  });
}

cl_int CL_API_CALL clEnqueueWriteImage(cl_command_queue command_queue, cl_mem image,
                                       cl_bool blocking_write, const size_t* origin,
                                       const size_t* region, size_t input_row_pitch,
                                       size_t input_slice_pitch, const void* ptr,
                                       cl_uint num_events_in_wait_list,
                                       const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    Command command(command_queue, CL_COMMAND_WRITE_IMAGE, num_events_in_wait_list, event_wait_list,
                    event);
    Mem& object = command.mem(image);
    check::image(command, object);
    check::image_region(object, origin, region);
    ensure(ptr != nullptr, CL_INVALID_VALUE);
    check::host_may_write(object);
    const wire::Id3 extent = triple(region);
    const HostSteps steps = steps_or_invalid(object, extent, input_row_pitch, input_slice_pitch);
    const std::size_t pixel = object.image().element_size;
    command.write<wire::WriteImage>(
        extent, pixel, host_box(static_cast<const std::byte*>(ptr), extent, pixel, steps),
        blocking_write != CL_FALSE, naming(object, triple(origin)));
  });
}

cl_int CL_API_CALL clEnqueueFillImage(cl_command_queue command_queue, cl_mem image,
                                      const void* fill_color, const size_t* origin,
                                      const size_t* region, cl_uint num_events_in_wait_list,
                                      const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    Command command(command_queue, CL_COMMAND_FILL_IMAGE, num_events_in_wait_list, event_wait_list,
                    event);
    Mem& object = command.mem(image);
    check::fill_image(command, object, fill_color, origin, region);
    const FillColor color = color_of(object, fill_color);
    wire::FillImage message;
    message.image = object.id();
    message.fill_color = color;
    message.origin = triple(origin);
    message.region = triple(region);
    command.post(message);
  });
}

void* CL_API_CALL clEnqueueMapImage(cl_command_queue command_queue, cl_mem image,
                                    cl_bool blocking_map, cl_map_flags map_flags,
                                    const size_t* origin, const size_t* region,
                                    size_t* image_row_pitch, size_t* image_slice_pitch,
                                    cl_uint num_events_in_wait_list,
                                    const cl_event* event_wait_list, cl_event* event,
                                    cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    Command command(command_queue, CL_COMMAND_MAP_IMAGE, num_events_in_wait_list, event_wait_list,
                    event);
    Mem& object = command.mem(image);
    check::image(command, object);
    check::image_region(object, origin, region);
    const cl_image_desc& desc = object.image().desc;
    ensure(image_row_pitch != nullptr, CL_INVALID_VALUE);
    ensure(image_slice_pitch != nullptr || desc.image_slice_pitch == 0, CL_INVALID_VALUE);
    check::map_flags(object, map_flags);
    void* at =
        map(command, object, blocking_map != CL_FALSE, map_flags, triple(origin), triple(region));
    *image_row_pitch = desc.image_row_pitch;
    if (image_slice_pitch != nullptr) *image_slice_pitch = desc.image_slice_pitch;
    return at;
  });
}

}  // namespace entry
}  // namespace tessera::client

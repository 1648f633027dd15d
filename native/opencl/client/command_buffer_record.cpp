// SPDX-License-Identifier: Apache-2.0
//
// Recording commands in a command buffer: each is the message that would enqueue it.
#include "generated/client_entries.h"
#include "generated/messages_buffer.h"
#include "generated/messages_event.h"
#include "generated/messages_image.h"
#include "opencl/client/checks.h"
#include "opencl/client/generated_support.h"
#include "opencl/client/image.h"
#include "opencl/client/launch.h"
#include "opencl/client/launch_arguments.h"
#include "opencl/client/recording.h"

namespace tessera::client {
namespace {

// This extension defines no property of a command.
void ensure_no_properties(const cl_properties* properties) {
  ensure(properties == nullptr || *properties == 0, CL_INVALID_VALUE);
}

void record_launch(Recording& recording, Kernel& kernel, const NdRange& range) {
  const std::vector<Ref<Object>> objects = kernel.argument_objects();
  recording.use(kernel);
  for (const auto& object : objects) recording.use(*object);
  wire::EnqueueNdRange message = launch_message(kernel, range);
  LaunchArguments changed(kernel);
  changed.put_into(message);
  recording.post(message);
  changed.sent();
}

}  // namespace

namespace entry {

cl_int CL_API_CALL clCommandBarrierWithWaitListKHR(cl_command_buffer_khr command_buffer,
                                                   cl_command_queue command_queue,
                                                   cl_uint num_sync_points_in_wait_list,
                                                   const cl_sync_point_khr* sync_point_wait_list,
                                                   cl_sync_point_khr* sync_point,
                                                   cl_mutable_command_khr* mutable_handle) {
  return guarded([&] {
    Recording recording(
        command_buffer, command_queue, CL_COMMAND_BARRIER,
        {num_sync_points_in_wait_list, sync_point_wait_list, sync_point, mutable_handle});
    recording.post(wire::EnqueueBarrier());
  });
}

cl_int CL_API_CALL clCommandCopyBufferKHR(cl_command_buffer_khr command_buffer,
                                          cl_command_queue command_queue, cl_mem src_buffer,
                                          cl_mem dst_buffer, size_t src_offset, size_t dst_offset,
                                          size_t size, cl_uint num_sync_points_in_wait_list,
                                          const cl_sync_point_khr* sync_point_wait_list,
                                          cl_sync_point_khr* sync_point,
                                          cl_mutable_command_khr* mutable_handle) {
  return guarded([&] {
    Recording recording(
        command_buffer, command_queue, CL_COMMAND_COPY_BUFFER,
        {num_sync_points_in_wait_list, sync_point_wait_list, sync_point, mutable_handle});
    Mem& source = recording.mem(src_buffer);
    Mem& destination = recording.mem(dst_buffer);
    check::copy_buffer(recording.command(), source, destination, src_offset, dst_offset, size);
    wire::CopyBuffer message;
    message.src_buffer = source.id();
    message.dst_buffer = destination.id();
    message.src_offset = src_offset;
    message.dst_offset = dst_offset;
    message.cb = size;
    recording.post(message);
  });
}

cl_int CL_API_CALL clCommandCopyBufferRectKHR(
    cl_command_buffer_khr command_buffer, cl_command_queue command_queue, cl_mem src_buffer,
    cl_mem dst_buffer, const size_t* src_origin, const size_t* dst_origin, const size_t* region,
    size_t src_row_pitch, size_t src_slice_pitch, size_t dst_row_pitch, size_t dst_slice_pitch,
    cl_uint num_sync_points_in_wait_list, const cl_sync_point_khr* sync_point_wait_list,
    cl_sync_point_khr* sync_point, cl_mutable_command_khr* mutable_handle) {
  return guarded([&] {
    Recording recording(
        command_buffer, command_queue, CL_COMMAND_COPY_BUFFER_RECT,
        {num_sync_points_in_wait_list, sync_point_wait_list, sync_point, mutable_handle});
    Mem& source = recording.mem(src_buffer);
    Mem& destination = recording.mem(dst_buffer);
    check::copy_buffer_rect(recording.command(), source, destination, src_origin, dst_origin,
                            region, src_row_pitch, src_slice_pitch, dst_row_pitch, dst_slice_pitch);
    wire::CopyBufferRect message;
    message.src_buffer = source.id();
    message.dst_buffer = destination.id();
    message.src_origin = triple(src_origin);
    message.dst_origin = triple(dst_origin);
    message.region = triple(region);
    message.src_row_pitch = src_row_pitch;
    message.src_slice_pitch = src_slice_pitch;
    message.dst_row_pitch = dst_row_pitch;
    message.dst_slice_pitch = dst_slice_pitch;
    recording.post(message);
  });
}

cl_int CL_API_CALL clCommandCopyBufferToImageKHR(
    cl_command_buffer_khr command_buffer, cl_command_queue command_queue, cl_mem src_buffer,
    cl_mem dst_image, size_t src_offset, const size_t* dst_origin, const size_t* region,
    cl_uint num_sync_points_in_wait_list, const cl_sync_point_khr* sync_point_wait_list,
    cl_sync_point_khr* sync_point, cl_mutable_command_khr* mutable_handle) {
  return guarded([&] {
    Recording recording(
        command_buffer, command_queue, CL_COMMAND_COPY_BUFFER_TO_IMAGE,
        {num_sync_points_in_wait_list, sync_point_wait_list, sync_point, mutable_handle});
    Mem& source = recording.mem(src_buffer);
    Mem& destination = recording.mem(dst_image);
    check::copy_buffer_to_image(recording.command(), source, destination, src_offset, dst_origin,
                                region);
    wire::CopyBufferToImage message;
    message.src_buffer = source.id();
    message.dst_image = destination.id();
    message.src_offset = src_offset;
    message.dst_origin = triple(dst_origin);
    message.region = triple(region);
    recording.post(message);
  });
}

cl_int CL_API_CALL clCommandCopyImageKHR(
    cl_command_buffer_khr command_buffer, cl_command_queue command_queue, cl_mem src_image,
    cl_mem dst_image, const size_t* src_origin, const size_t* dst_origin, const size_t* region,
    cl_uint num_sync_points_in_wait_list, const cl_sync_point_khr* sync_point_wait_list,
    cl_sync_point_khr* sync_point, cl_mutable_command_khr* mutable_handle) {
  return guarded([&] {
    Recording recording(
        command_buffer, command_queue, CL_COMMAND_COPY_IMAGE,
        {num_sync_points_in_wait_list, sync_point_wait_list, sync_point, mutable_handle});
    Mem& source = recording.mem(src_image);
    Mem& destination = recording.mem(dst_image);
    check::copy_image(recording.command(), source, destination, src_origin, dst_origin, region);
    wire::CopyImage message;
    message.src_image = source.id();
    message.dst_image = destination.id();
    message.src_origin = triple(src_origin);
    message.dst_origin = triple(dst_origin);
    message.region = triple(region);
    recording.post(message);
  });
}

cl_int CL_API_CALL clCommandCopyImageToBufferKHR(
    cl_command_buffer_khr command_buffer, cl_command_queue command_queue, cl_mem src_image,
    cl_mem dst_buffer, const size_t* src_origin, const size_t* region, size_t dst_offset,
    cl_uint num_sync_points_in_wait_list, const cl_sync_point_khr* sync_point_wait_list,
    cl_sync_point_khr* sync_point, cl_mutable_command_khr* mutable_handle) {
  return guarded([&] {
    Recording recording(
        command_buffer, command_queue, CL_COMMAND_COPY_IMAGE_TO_BUFFER,
        {num_sync_points_in_wait_list, sync_point_wait_list, sync_point, mutable_handle});
    Mem& source = recording.mem(src_image);
    Mem& destination = recording.mem(dst_buffer);
    check::copy_image_to_buffer(recording.command(), source, destination, src_origin, region,
                                dst_offset);
    wire::CopyImageToBuffer message;
    message.src_image = source.id();
    message.dst_buffer = destination.id();
    message.src_origin = triple(src_origin);
    message.region = triple(region);
    message.dst_offset = dst_offset;
    recording.post(message);
  });
}

cl_int CL_API_CALL clCommandFillBufferKHR(cl_command_buffer_khr command_buffer,
                                          cl_command_queue command_queue, cl_mem buffer,
                                          const void* pattern, size_t pattern_size, size_t offset,
                                          size_t size, cl_uint num_sync_points_in_wait_list,
                                          const cl_sync_point_khr* sync_point_wait_list,
                                          cl_sync_point_khr* sync_point,
                                          cl_mutable_command_khr* mutable_handle) {
  return guarded([&] {
    Recording recording(
        command_buffer, command_queue, CL_COMMAND_FILL_BUFFER,
        {num_sync_points_in_wait_list, sync_point_wait_list, sync_point, mutable_handle});
    Mem& object = recording.mem(buffer);
    check::fill_buffer(recording.command(), object, pattern, pattern_size, offset, size);
    wire::FillBuffer message;
    message.buffer = object.id();
    message.pattern = bytes(pattern, pattern_size);
    message.offset = offset;
    message.cb = size;
    recording.post(message);
  });
}

cl_int CL_API_CALL clCommandFillImageKHR(cl_command_buffer_khr command_buffer,
                                         cl_command_queue command_queue, cl_mem image,
                                         const void* fill_color, const size_t* origin,
                                         const size_t* region, cl_uint num_sync_points_in_wait_list,
                                         const cl_sync_point_khr* sync_point_wait_list,
                                         cl_sync_point_khr* sync_point,
                                         cl_mutable_command_khr* mutable_handle) {
  return guarded([&] {
    Recording recording(
        command_buffer, command_queue, CL_COMMAND_FILL_IMAGE,
        {num_sync_points_in_wait_list, sync_point_wait_list, sync_point, mutable_handle});
    Mem& object = recording.mem(image);
    check::fill_image(recording.command(), object, fill_color, origin, region);
    const FillColor color = color_of(object, fill_color);
    wire::FillImage message;
    message.image = object.id();
    message.fill_color = color;
    message.origin = triple(origin);
    message.region = triple(region);
    recording.post(message);
  });
}

cl_int CL_API_CALL clCommandNDRangeKernelKHR(
    cl_command_buffer_khr command_buffer, cl_command_queue command_queue,
    const cl_properties* properties, cl_kernel kernel, cl_uint work_dim,
    const size_t* global_work_offset, const size_t* global_work_size, const size_t* local_work_size,
    cl_uint num_sync_points_in_wait_list, const cl_sync_point_khr* sync_point_wait_list,
    cl_sync_point_khr* sync_point, cl_mutable_command_khr* mutable_handle) {
  return guarded([&] {
    Recording recording(
        command_buffer, command_queue, CL_COMMAND_NDRANGE_KERNEL,
        {num_sync_points_in_wait_list, sync_point_wait_list, sync_point, mutable_handle});
    ensure_no_properties(properties);
    const NdRange range{work_dim, global_work_offset, global_work_size, local_work_size};
    Kernel& object = check::launch(recording.command(), kernel, range);
    if (is_empty(range)) return recording.post(wire::EnqueueNothing());
    record_launch(recording, object, range);
  });
}

}  // namespace entry
}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
//
// Reading, writing and mapping buffers.
#include "generated/client_entries.h"
#include "generated/messages_buffer.h"
#include "generated/messages_event.h"
#include "opencl/client/checks.h"
#include "opencl/client/command.h"
#include "opencl/client/generated_support.h"

namespace tessera::client {
namespace {

wire::Id3 moved(const wire::Id3& origin, const wire::Id3& by) {
  return {origin[0] + by[0], origin[1] + by[1], origin[2] + by[2]};
}

// The arguments of the rectangular calls, checked.
struct Box {
  Box(const Command& command, const Mem& buffer, const size_t* buffer_origin,
      const size_t* host_origin, const size_t* region, size_t buffer_row, size_t buffer_slice,
      size_t host_row, size_t host_slice, const void* pointer)
      : row_pitch(buffer_row), slice_pitch(buffer_slice) {
    check::buffer(command, buffer);
    ensure(buffer_origin != nullptr && host_origin != nullptr && region != nullptr &&
               pointer != nullptr,
           CL_INVALID_VALUE);
    check::box_pitches(region, row_pitch, slice_pitch);
    check::box_pitches(region, host_row, host_slice);
    check::box_range(buffer_origin, region, row_pitch, slice_pitch, buffer.size());
    origin = triple(buffer_origin);
    size = triple(region);
    host_offset = host_origin[2] * host_slice + host_origin[1] * host_row + host_origin[0];
    host_row_pitch = host_row;
    host_slice_pitch = host_slice;
  }
  template <class Byte, class Pointer>
  HostBox<Byte> host(Pointer pointer) const {
    return {.at = static_cast<Byte*>(pointer) + host_offset,
            .row_bytes = size[0],
            .rows = size[1],
            .slices = size[2],
            .row_pitch = host_row_pitch,
            .slice_pitch = host_slice_pitch};
  }
  template <class Message>
  void fill(Message& message, const Mem& buffer, const Piece& piece) const {
    message.buffer = buffer.id();
    message.origin = moved(origin, piece.offset);
    message.region = piece.region;
    message.row_pitch = row_pitch;
    message.slice_pitch = slice_pitch;
  }

  wire::Id3 origin;
  wire::Id3 size;
  size_t row_pitch;
  size_t slice_pitch;
  size_t host_offset;
  size_t host_row_pitch;
  size_t host_slice_pitch;
};

template <class Byte, class Pointer>
HostBox<Byte> line(Pointer pointer, std::size_t size) {
  return {.at = static_cast<Byte*>(pointer), .row_bytes = size};
}

std::shared_ptr<const ReadState> read_line(Command& command, Mem& buffer, std::size_t offset,
                                           std::size_t size, void* to, bool blocking, Mem* keeps) {
  return command.read<wire::ReadBuffer>(
      {size, 1, 1}, 1, line<std::byte>(to, size), blocking,
      [&](wire::ReadBuffer& message, const Piece& piece) {
        message.buffer = buffer.id();
        message.offset = offset + piece.offset[0];
        message.size = piece.region[0];
      },
      keeps);
}

void write_line(Command& command, Mem& buffer, std::size_t offset, std::size_t size,
                const void* from, bool blocking) {
  command.write<wire::WriteBuffer>(
      {size, 1, 1}, 1, line<const std::byte>(from, size), blocking,
      [offset, object = Ref<Mem>(buffer)](wire::WriteBuffer& message, const Piece& piece) {
        message.buffer = object->id();
        message.offset = offset + piece.offset[0];
      });
}

void* map_buffer(Command& command, Mem& buffer, bool blocking, cl_map_flags flags,
                 std::size_t offset, std::size_t size) {
  check::buffer(command, buffer);
  check::range(buffer, offset, size);
  ensure(size != 0, CL_INVALID_VALUE);
  check::map_flags(buffer, flags);
  Mem& root = buffer.parent() != nullptr ? *buffer.parent() : buffer;
  std::byte* at = buffer.shadow() + offset;
  Mapping mapping{.pointer = at, .flags = flags, .origin = {offset, 0, 0}, .region = {size, 1, 1}};
  if ((flags & CL_MAP_WRITE_INVALIDATE_REGION) != 0 || root.shares_memory()) {
    if (root.shares_memory()) command.always_wait();
    command.post_nothing(blocking);
  } else {
    mapping.read = read_line(command, buffer, offset, size, at, blocking, &root);
  }
  buffer.add_mapping(mapping);
  return at;
}

// Nothing to write for a mapping that is read only, that is the object's own memory, or that the
// program cannot have looked at yet.
bool has_news(const Mem& mem, const Mapping& mapping) {
  return mapping.writes() && !mem.shares_memory() && !mapping.untouched();
}

}  // namespace

namespace entry {

cl_int CL_API_CALL clEnqueueReadBuffer(cl_command_queue command_queue, cl_mem buffer,
                                       cl_bool blocking_read, size_t offset, size_t cb, void* ptr,
                                       cl_uint num_events_in_wait_list,
                                       const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    Command command(command_queue, CL_COMMAND_READ_BUFFER, num_events_in_wait_list, event_wait_list,
                    event);
    Mem& mem = command.mem(buffer);
    check::buffer(command, mem);
    ensure(ptr != nullptr, CL_INVALID_VALUE);
    check::range(mem, offset, cb);
    check::host_may_read(mem);
    const bool blocking = blocking_read != CL_FALSE;
    if (cb == 0) return command.post_nothing(blocking);
    read_line(command, mem, offset, cb, ptr, blocking, nullptr);
  });
}

cl_int CL_API_CALL clEnqueueWriteBuffer(cl_command_queue command_queue, cl_mem buffer,
                                        cl_bool blocking_write, size_t offset, size_t cb,
                                        const void* ptr, cl_uint num_events_in_wait_list,
                                        const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    Command command(command_queue, CL_COMMAND_WRITE_BUFFER, num_events_in_wait_list,
                    event_wait_list, event);
    Mem& mem = command.mem(buffer);
    check::buffer(command, mem);
    ensure(ptr != nullptr, CL_INVALID_VALUE);
    check::range(mem, offset, cb);
    check::host_may_write(mem);
    if (mem.shares_memory()) command.always_wait();
    const bool blocking = blocking_write != CL_FALSE;
    if (cb == 0) return command.post_nothing(blocking);
    write_line(command, mem, offset, cb, ptr, blocking);
  });
}

cl_int CL_API_CALL clEnqueueReadBufferRect(cl_command_queue command_queue, cl_mem buffer,
                                           cl_bool blocking_read, const size_t* buffer_origin,
                                           const size_t* host_origin, const size_t* region,
                                           size_t buffer_row_pitch, size_t buffer_slice_pitch,
                                           size_t host_row_pitch, size_t host_slice_pitch,
                                           void* ptr, cl_uint num_events_in_wait_list,
                                           const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    Command command(command_queue, CL_COMMAND_READ_BUFFER_RECT, num_events_in_wait_list,
                    event_wait_list, event);
    Mem& mem = command.mem(buffer);
    const Box box(command, mem, buffer_origin, host_origin, region, buffer_row_pitch,
                  buffer_slice_pitch, host_row_pitch, host_slice_pitch, ptr);
    check::host_may_read(mem);
    command.read<wire::ReadBufferRect>(
        box.size, 1, box.host<std::byte>(ptr), blocking_read != CL_FALSE,
        [&](wire::ReadBufferRect& message, const Piece& piece) { box.fill(message, mem, piece); });
  });
}

cl_int CL_API_CALL clEnqueueWriteBufferRect(cl_command_queue command_queue, cl_mem buffer,
                                            cl_bool blocking_write, const size_t* buffer_origin,
                                            const size_t* host_origin, const size_t* region,
                                            size_t buffer_row_pitch, size_t buffer_slice_pitch,
                                            size_t host_row_pitch, size_t host_slice_pitch,
                                            const void* ptr, cl_uint num_events_in_wait_list,
                                            const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    Command command(command_queue, CL_COMMAND_WRITE_BUFFER_RECT, num_events_in_wait_list,
                    event_wait_list, event);
    Mem& mem = command.mem(buffer);
    const Box box(command, mem, buffer_origin, host_origin, region, buffer_row_pitch,
                  buffer_slice_pitch, host_row_pitch, host_slice_pitch, ptr);
    check::host_may_write(mem);
    if (mem.shares_memory()) command.always_wait();
    command.write<wire::WriteBufferRect>(
        box.size, 1, box.host<const std::byte>(ptr), blocking_write != CL_FALSE,
        [box, object = Ref<Mem>(mem)](wire::WriteBufferRect& message, const Piece& piece) {
          box.fill(message, *object, piece);
        });
  });
}

void* CL_API_CALL clEnqueueMapBuffer(cl_command_queue command_queue, cl_mem buffer,
                                     cl_bool blocking_map, cl_map_flags map_flags, size_t offset,
                                     size_t cb, cl_uint num_events_in_wait_list,
                                     const cl_event* event_wait_list, cl_event* event,
                                     cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    Command command(command_queue, CL_COMMAND_MAP_BUFFER, num_events_in_wait_list, event_wait_list,
                    event);
    return map_buffer(command, command.mem(buffer), blocking_map != CL_FALSE, map_flags, offset,
                      cb);
  });
}

cl_int CL_API_CALL clEnqueueUnmapMemObject(cl_command_queue command_queue, cl_mem memobj,
                                           void* mapped_ptr, cl_uint num_events_in_wait_list,
                                           const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    Command command(command_queue, CL_COMMAND_UNMAP_MEM_OBJECT, num_events_in_wait_list,
                    event_wait_list, event);
    Mem& mem = command.mem(memobj);
    const Mapping mapping = mem.take_mapping(mapped_ptr);
    if (!has_news(mem, mapping)) {
      if (event != nullptr || !command.wait_list().empty()) command.post_nothing();
    } else if (mem.is_image()) {
      unmap_image(command, mem, mapping);
    } else {
      write_line(command, mem, mapping.origin[0], mapping.region[0], mapping.pointer, false);
    }
  });
}

}  // namespace entry
}  // namespace tessera::client

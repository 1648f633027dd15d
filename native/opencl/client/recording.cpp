// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/recording.h"

#include <algorithm>

#include "generated/messages_command_buffer.h"

namespace tessera::client {
namespace {

Queue& checked(const CommandBuffer& buffer, cl_command_queue queue, const SyncPoints& sync) {
  ensure_success(buffer.poison());
  ensure(!buffer.finalized(), CL_INVALID_OPERATION);
  ensure(queue == nullptr, CL_INVALID_COMMAND_QUEUE);
  ensure(sync.mutable_handle == nullptr, CL_INVALID_VALUE);
  ensure((sync.count == 0) == (sync.list == nullptr), CL_INVALID_SYNC_POINT_WAIT_LIST_KHR);
  const auto known = [&](cl_sync_point_khr point) {
    return point != 0 && point <= buffer.commands();
  };
  ensure(std::all_of(sync.list, sync.list + sync.count, known),
         CL_INVALID_SYNC_POINT_WAIT_LIST_KHR);
  ensure(buffer.commands() != CL_UINT_MAX, CL_OUT_OF_RESOURCES);
  return buffer.queue();
}

}  // namespace

Recording::Recording(cl_command_buffer_khr command_buffer, cl_command_queue command_queue,
                     cl_command_type type, const SyncPoints& sync)
    : buffer_(require<CommandBuffer>(command_buffer)),
      lock_(buffer_.mutex()),
      sync_(sync),
      command_(checked(buffer_, command_queue, sync).handle(), type, 0, nullptr, nullptr) {}

Mem& Recording::mem(cl_mem handle) {
  Mem& mem = command_.mem(handle);
  use(mem);
  return mem;
}

// A sync point is the place of its command, beginning with 1.
void Recording::send(std::uint32_t opcode, wire::Blob fields) {
  std::vector<std::uint32_t> places(sync_.list, sync_.list + sync_.count);
  for (std::uint32_t& place : places) --place;
  wire::RecordCommand message;
  message.command_buffer = buffer_.id();
  message.sync_points = places;
  message.opcode = opcode;
  message.command = fields;
  buffer_.session().post(message);
  buffer_.add_command(uses_);
  if (sync_.point != nullptr) *sync_.point = buffer_.commands();
}

}  // namespace tessera::client

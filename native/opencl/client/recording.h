// SPDX-License-Identifier: Apache-2.0
//
// A command on its way into a command buffer: checks what all of them have in common, then sends.
//
//   Recording recording(command_buffer, command_queue, CL_COMMAND_..., {count, list, point,
//   handle}); Mem& buffer = recording.mem(buffer_handle);
//   ...checks of this command, with recording.command()...
//   wire::X message;  fill its own fields;  recording.post(message);
//
// The rules are those of the command that is enqueued (command.h), so they are asked of one that is
// never sent.
#pragma once

#include <mutex>
#include <span>
#include <vector>

#include "opencl/client/command.h"
#include "opencl/client/command_buffer.h"

namespace tessera::client {

// The last arguments of each function that records.
struct SyncPoints {
  cl_uint count;
  const cl_sync_point_khr* list;
  cl_sync_point_khr* point;
  cl_mutable_command_khr* mutable_handle;
};

class Recording {
 public:
  // Throws ApiError: CL_INVALID_COMMAND_BUFFER_KHR, CL_INVALID_OPERATION, CL_INVALID_COMMAND_QUEUE,
  // CL_INVALID_VALUE, CL_INVALID_SYNC_POINT_WAIT_LIST_KHR.
  Recording(cl_command_buffer_khr command_buffer, cl_command_queue command_queue,
            cl_command_type type, const SyncPoints& sync);

  Command& command() { return command_; }
  // As Command::mem; the command buffer keeps the object.
  Mem& mem(cl_mem handle);
  void use(Object& object) { uses_.push_back(&object); }

  template <class Message>
  void post(const Message& message) {
    wire::Encoder out;
    encode(out, message);
    send(static_cast<std::uint32_t>(Message::kOpcode), out.bytes());
  }

 private:
  void send(std::uint32_t opcode, wire::Blob fields);

  CommandBuffer& buffer_;
  const std::lock_guard<std::mutex> lock_;
  const SyncPoints sync_;
  Command command_;
  std::vector<Object*> uses_;
};

}  // namespace tessera::client

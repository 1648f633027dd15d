// SPDX-License-Identifier: Apache-2.0
#include "opencl/command_buffer.h"
#include "opencl/worker/command.h"
#include "opencl/worker/command_buffer_launch.h"
#include "opencl/worker/command_recorder.h"
#include "opencl/worker/session.h"

namespace tessera::worker {
namespace {

cl_int check_launch_on(const CommandBufferEntry& buffer, const QueueEntry& queue) {
  if (buffer.poison != CL_SUCCESS) return buffer.poison;
  if (!buffer.finalized) return CL_INVALID_OPERATION;
  const QueueEntry& made_for = *buffer.queue;
  const bool compatible = queue.context == buffer.context && queue.device == made_for.device &&
                          queue.out_of_order == made_for.out_of_order;
  return compatible ? CL_SUCCESS : CL_INCOMPATIBLE_COMMAND_QUEUE_KHR;
}

}  // namespace

void Session::handle(const wire::CreateCommandBuffer& m, Incoming& incoming) {
  const auto queue = objects_.share<QueueEntry>(m.queue);
  const auto entry =
      objects_.add<CommandBufferEntry>(m.command_buffer, Record(incoming.opcode, incoming.fields));
  entry->context = queue->context;
  entry->queue = queue;
  cl_int status = entry->poison;
  if (status == CL_SUCCESS) status = queue->poison;
  if (status != CL_SUCCESS) poison(*entry, status, m.kOpcode);
}

void Session::handle(const wire::RecordCommand& m, Incoming& incoming) {
  const auto buffer = objects_.share<CommandBufferEntry>(m.command_buffer);
  if (buffer->poison != CL_SUCCESS) return;
  if (buffer->finalized) throw ProtocolError("a command for a command buffer that is finalized");
  for (const std::uint32_t place : m.sync_points) {
    if (place >= buffer->commands.size()) throw ProtocolError("a sync point of no command");
  }
  CommandRecorder recorder(*this, *buffer);
  recorder.take(m, incoming);
  if (recorder.status() == CL_SUCCESS) return;
  // What comes after it may depend on it.
  objects_.recount(buffer->counted, 0);
  buffer->counted = 0;
  buffer->commands.clear();
  poison(*buffer, recorder.status(), m.kOpcode);
}

void Session::handle(const wire::FinalizeCommandBuffer& m, Incoming& incoming) {
  CommandBufferEntry& buffer = objects_.get<CommandBufferEntry>(m.command_buffer);
  if (buffer.poison != CL_SUCCESS) return;
  if (buffer.finalized) throw ProtocolError("a command buffer is finalized twice");
  buffer.finalized = Record(incoming.opcode, incoming.fields);
  buffer.finalized_serial = objects_.next_serial();
}

void Session::handle(const wire::EnqueueCommandBuffer& m, Incoming&) {
  const auto buffer = objects_.share<CommandBufferEntry>(m.command_buffer);
  Command command(*this, m.kOpcode, m.queue, m.wait_list, m.event);
  command.launch(buffer);
  command.check(check_launch_on(*buffer, command.queue()));
  cl_mem nothing = nullptr;
  if (command.queue().out_of_order && command.status() == CL_SUCCESS) {
    cl_int status = CL_SUCCESS;
    nothing = command.context().nothing(&status);
    command.check(status);
  }
  for (const auto& program : buffer->programs) program->launched = true;
  CommandBufferLaunch launch(command, *buffer, nothing);
  const cl_int status =
      command.run([&](cl_command_queue queue, cl_uint count, const cl_event* list,
                      cl_event* event) { return launch.run(queue, count, list, event); },
                  true);
  if (status == CL_SUCCESS) buffer->add_launch(command.own_event(), command.queue());
}

void Session::handle(const wire::GetCommandBufferState& m, Incoming& incoming) {
  CommandBufferEntry& buffer = objects_.get<CommandBufferEntry>(m.command_buffer);
  const std::uint64_t pending = buffer.pending() ? 1 : 0;
  // What the client concludes from the end of a launch is to be true.
  if (pending == 0) completions_.tell();
  answers_.reply(incoming.sequence, CL_SUCCESS, std::span(&pending, 1));
}

}  // namespace tessera::worker

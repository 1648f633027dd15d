// SPDX-License-Identifier: Apache-2.0
//
// Making, finalizing, launching and asking command buffers.
#include <algorithm>

#include "generated/client_entries.h"
#include "generated/messages_command_buffer.h"
#include "opencl/client/command.h"
#include "opencl/client/command_buffer.h"
#include "opencl/client/info.h"

namespace tessera::client {
namespace {

using Properties = std::vector<cl_properties>;

// With the closing 0; empty where the program gave no list.
Properties read_properties(const cl_properties* list, cl_bitfield& flags) {
  Properties given;
  if (list == nullptr) return given;
  for (; *list != 0; list += 2) {
    ensure(*list == CL_COMMAND_BUFFER_FLAGS_KHR && given.empty(), CL_INVALID_VALUE);
    flags = list[1];
    ensure((flags & ~command_buffer::kSimultaneousUse) == 0, CL_INVALID_VALUE);
    given.assign(list, list + 2);
  }
  given.push_back(0);
  return given;
}

void ensure_able(const Queue& queue, cl_bitfield flags) {
  const Device& device = queue.device();
  ensure(device.has_extension(command_buffer::kExtension), CL_INCOMPATIBLE_COMMAND_QUEUE_KHR);
  const auto able = device.fact_or<cl_bitfield>(CL_DEVICE_COMMAND_BUFFER_CAPABILITIES_KHR, 0);
  const auto needs = device.fact_or<cl_command_queue_properties>(
      CL_DEVICE_COMMAND_BUFFER_REQUIRED_QUEUE_PROPERTIES_KHR, 0);
  ensure(queue.in_order() || (able & command_buffer::kCanOutOfOrder) != 0,
         CL_INCOMPATIBLE_COMMAND_QUEUE_KHR);
  ensure((needs & ~queue.properties()) == 0, CL_INCOMPATIBLE_COMMAND_QUEUE_KHR);
  ensure((flags & command_buffer::kSimultaneousUse) == 0 ||
             (able & command_buffer::kCanSimultaneousUse) != 0,
         CL_INVALID_PROPERTY);
}

// The queue to launch on.
Queue& chosen(const CommandBuffer& buffer, cl_uint count, const cl_command_queue* queues) {
  ensure((count == 0) == (queues == nullptr) && count <= 1, CL_INVALID_VALUE);
  if (count == 0) return buffer.queue();
  Queue& queue = require<Queue>(queues[0]);
  ensure(&queue.context() == &buffer.context(), CL_INVALID_CONTEXT);
  ensure(&queue.device() == &buffer.queue().device() &&
             queue.properties() == buffer.queue().properties(),
         CL_INCOMPATIBLE_COMMAND_QUEUE_KHR);
  return queue;
}

cl_uint state_of(CommandBuffer& buffer) {
  const std::lock_guard lock(buffer.mutex());
  if (!buffer.finalized()) return CL_COMMAND_BUFFER_STATE_RECORDING_KHR;
  return buffer.pending() ? command_buffer::kPending : CL_COMMAND_BUFFER_STATE_EXECUTABLE_KHR;
}

cl_context context_of(const CommandBuffer& buffer) {
  ensure(buffer.queue().device().extension_version(command_buffer::kExtension) >=
             command_buffer::kHasContextQuery,
         CL_INVALID_VALUE);
  return buffer.context().handle();
}

}  // namespace

namespace entry {

cl_command_buffer_khr CL_API_CALL clCreateCommandBufferKHR(cl_uint num_queues,
                                                           const cl_command_queue* queues,
                                                           const cl_properties* properties,
                                                           cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    ensure(num_queues == 1 && queues != nullptr, CL_INVALID_VALUE);
    Queue& queue = require<Queue>(queues[0]);
    ensure_success(queue.poison());
    cl_bitfield flags = 0;
    Properties given = read_properties(properties, flags);
    ensure_able(queue, flags);
    auto buffer = make<CommandBuffer>(queue, flags, std::move(given));
    wire::CreateCommandBuffer message;
    message.command_buffer = buffer->id();
    message.queue = queue.id();
    queue.session().create(*buffer, message);
    return give_handle(std::move(buffer));
  });
}

cl_int CL_API_CALL clFinalizeCommandBufferKHR(cl_command_buffer_khr command_buffer) {
  return guarded([&] {
    CommandBuffer& buffer = require<CommandBuffer>(command_buffer);
    const std::lock_guard lock(buffer.mutex());
    ensure_success(buffer.poison());
    buffer.finalize();
  });
}

cl_int CL_API_CALL clEnqueueCommandBufferKHR(cl_uint num_queues, cl_command_queue* queues,
                                             cl_command_buffer_khr command_buffer,
                                             cl_uint num_events_in_wait_list,
                                             const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    CommandBuffer& buffer = require<CommandBuffer>(command_buffer);
    const std::lock_guard lock(buffer.mutex());
    ensure_success(buffer.poison());
    ensure(buffer.finalized(), CL_INVALID_OPERATION);
    Queue& queue = chosen(buffer, num_queues, queues);
    Command command(queue.handle(), CL_COMMAND_COMMAND_BUFFER_KHR, num_events_in_wait_list,
                    event_wait_list, event);
    ensure(buffer.simultaneous() || !buffer.pending(), CL_INVALID_OPERATION);
    wire::EnqueueCommandBuffer message;
    message.command_buffer = buffer.id();
    command.post(message);
    // In order, the number says as much as the event.
    Ref<Event> tells;
    if (!queue.in_order() && event != nullptr) tells = Ref<Event>(require<Event>(*event));
    buffer.add_launch(queue, command.number(), std::move(tells));
  });
}

cl_int CL_API_CALL clGetCommandBufferInfoKHR(cl_command_buffer_khr command_buffer,
                                             cl_uint param_name, size_t param_value_size,
                                             void* param_value, size_t* param_value_size_ret) {
  return guarded([&] {
    CommandBuffer& buffer = require<CommandBuffer>(command_buffer);
    const Info info(param_value_size, param_value, param_value_size_ret);
    switch (param_name) {
      case CL_COMMAND_BUFFER_QUEUES_KHR:
        return info.value(buffer.queue().handle());
      case CL_COMMAND_BUFFER_NUM_QUEUES_KHR:
        return info.value(cl_uint{1});
      case CL_COMMAND_BUFFER_REFERENCE_COUNT_KHR:
        return info.value(buffer.references());
      case CL_COMMAND_BUFFER_STATE_KHR:
        return info.value(state_of(buffer));
      case CL_COMMAND_BUFFER_PROPERTIES_ARRAY_KHR:
        return info.array(std::span(buffer.given()));
      case command_buffer::kContext:
        return info.value(context_of(buffer));
      default:
        throw ApiError(CL_INVALID_VALUE);
    }
  });
}

}  // namespace entry
}  // namespace tessera::client

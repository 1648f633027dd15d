// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/command_buffer.h"

#include <algorithm>

#include "generated/messages_command_buffer.h"
#include "opencl/client/generated_support.h"
#include "opencl/client/session.h"

namespace tessera::client {

Reference::~Reference() {
  if (object_ == nullptr) return;
  if (object_->kind() == Kind::queue) {
    release_reference(static_cast<Queue&>(*object_));
  } else if (object_->kind() == Kind::mem) {
    release_reference(static_cast<Mem&>(*object_));
  } else {
    release_reference(*object_);
  }
}

CommandBuffer::CommandBuffer(Queue& queue, cl_bitfield flags, std::vector<cl_properties> given)
    : Typed(&queue.session()),
      keeps_queue_(queue),
      queue_(queue),
      flags_(flags),
      given_(std::move(given)) {}

void CommandBuffer::finalize() {
  ensure(!finalized_, CL_INVALID_OPERATION);
  wire::FinalizeCommandBuffer message;
  message.command_buffer = id();
  session().post(message);
  finalized_ = true;
}

void CommandBuffer::add_command(std::span<Object* const> objects) {
  for (Object* object : objects) uses_.emplace_back(*object);
  ++commands_;
}

void CommandBuffer::add_launch(Queue& queue, std::uint64_t number, Ref<Event> event) {
  if (queue.in_order()) {
    // It ends after all that is before it in its queue.
    std::erase_if(launches_, [&](const Launch& launch) { return launch.queue.get() == &queue; });
  } else if (launches_.size() >= forget_at_) {
    forget_ended();
    forget_at_ = launches_.size() * 2 + 64;
  }
  launches_.push_back({Ref<Queue>(queue), number, std::move(event)});
}

void CommandBuffer::forget_ended() {
  std::erase_if(launches_, [](const Launch& launch) { return launch.ended(); });
}

bool CommandBuffer::pending() {
  session().drain();
  forget_ended();
  if (launches_.empty()) return false;
  wire::GetCommandBufferState message;
  message.command_buffer = id();
  const Reply reply = session().call(message);
  ensure_success(reply.status);
  ensure(reply.values.size() == 1, CL_OUT_OF_RESOURCES);
  if (reply.values[0] == 0) launches_.clear();
  return !launches_.empty();
}

}  // namespace tessera::client

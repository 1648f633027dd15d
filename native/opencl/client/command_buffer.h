// SPDX-License-Identifier: Apache-2.0
//
// A command buffer: commands that are recorded once and launched with one message.
//
// The worker has the commands; here is what finds the errors of a call. What a recorded command
// uses gets one more reference, which programs see (CL_MEM_REFERENCE_COUNT and its like).
//
// A command buffer is pending until its launches have ended. Mostly that is known, because the
// program has waited for something behind them; where it is not, the worker is asked. The state is
// not kept up to date by an event for each launch: it would cost two more messages.
#pragma once

#include <mutex>
#include <vector>

#include "opencl/client/event.h"
#include "opencl/client/object.h"
#include "opencl/client/queue.h"
#include "opencl/command_buffer.h"

namespace tessera::client {

// The program's reference to an object, as long as this lives.
class Reference {
 public:
  explicit Reference(Object& object) : object_(&object) { object.retain(); }
  Reference(Reference&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Reference& operator=(Reference&& other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Reference();

 private:
  Object* object_;
};

class CommandBuffer final : public Typed<CommandBuffer> {
 public:
  CommandBuffer(Queue& queue, cl_bitfield flags, std::vector<cl_properties> given);

  Queue& queue() const { return queue_; }
  Context& context() const { return queue_.context(); }
  bool simultaneous() const { return (flags_ & command_buffer::kSimultaneousUse) != 0; }
  // With the closing 0, or empty.
  const std::vector<cl_properties>& given() const { return given_; }

  // Held while a command is recorded or launched, and in all that follows.
  std::mutex& mutex() { return mutex_; }
  bool finalized() const { return finalized_; }
  void finalize();
  cl_uint commands() const { return commands_; }
  // A command was recorded that uses `objects`.
  void add_command(std::span<Object* const> objects);

  void add_launch(Queue& queue, std::uint64_t number, Ref<Event> event);
  // Not all launches have ended. May ask the worker: one round trip.
  bool pending();

 private:
  struct Launch {
    Ref<Queue> queue;
    std::uint64_t number;
    Ref<Event> event;  // where it tells more than the number
    bool ended() const { return queue->is_complete(number) || (event && event->ended()); }
  };
  void forget_ended();

  const Reference keeps_queue_;
  Queue& queue_;
  const cl_bitfield flags_;
  const std::vector<cl_properties> given_;
  std::mutex mutex_;
  bool finalized_ = false;
  cl_uint commands_ = 0;
  std::vector<Reference> uses_;
  std::vector<Launch> launches_;
  std::size_t forget_at_ = 64;
};

}  // namespace tessera::client

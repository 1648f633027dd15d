// SPDX-License-Identifier: Apache-2.0
//
// A command on its way to the driver.
//
// It collects the driver's handles for the ids of the message and the first reason why the command
// cannot run (an object whose creation failed, an object of another context, a region out of
// range). `run` then calls the driver, or fails the command with that reason: the event becomes a
// failed one and the queue remembers the error. Unknown ids and ids of another type throw
// ProtocolError.
#pragma once

#include <CL/cl.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "opencl/worker/blocked_commands.h"
#include "opencl/worker/session.h"

namespace tessera::worker {

class Command {
 public:
  Command(Session& session, wire::Opcode opcode, Id queue, std::span<const Id> wait_list, Id event);
  ~Command();
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  Session& session() { return session_; }
  QueueEntry& queue() { return *queue_; }
  const std::shared_ptr<QueueEntry>& shared_queue() const { return queue_; }
  ContextEntry& context() { return *context_; }

  // The object, checked to be usable on this queue.
  MemEntry& mem(Id id);
  std::vector<cl_mem> mems(std::span<const Id> ids);
  // Checks a kernel to be usable on this queue; the command will launch it.
  void launch(const std::shared_ptr<KernelEntry>& kernel);
  // The bytes of the message's bulk, which the command reads.
  void carry(std::shared_ptr<PinnedBulk::Payload> payload) { payload_ = std::move(payload); }
  // The command fails with `status`, unless it is CL_SUCCESS or an earlier reason is known.
  void check(cl_int status) {
    if (status_ == CL_SUCCESS) status_ = status;
  }
  cl_int status() const { return status_; }
  // What the command will need of the device; without it, as much as a transfer of the session.
  void costs(std::shared_ptr<Cost> cost, std::uint64_t units) {
    cost_ = std::move(cost);
    units_ = units;
  }

  // Enqueues by `call(queue, count, list, event)`, or fails. Returns what became of it; a failure
  // has been reported to the client. With `own_event` the driver's event is made even if the client
  // wants none; own_event() then has it, until this command is dropped.
  template <class F>
  cl_int run(F&& call, bool own_event = false) {
    if (status_ == CL_SUCCESS) {
      if (followed_) foresee();
      Gate* const gate = gate_before();
      const bool wants =
          own_event || event_id_ != 0 || followed_ || gate != nullptr || queue_->keeps_last();
      status_ = call(queue_->handle, static_cast<cl_uint>(waits_),
                     waits_ != 0 ? wait_list() : nullptr, wants ? &event_ : nullptr);
      if (gate != nullptr) tell(*gate, {event_, cost_, units_, estimate_ns_});
    }
    if (status_ == CL_SUCCESS) {
      if (followed_) session_.callbacks().keep_until_done(event_);
      succeeded();
      if (followed_) remember();
      if (!news_held_) announce();
    } else {
      failed();
    }
    return status_;
  }
  cl_event own_event() const { return event_; }
  // A command that brings data calls hold_news() before it runs, and tells Completions of itself
  // when its data has a place: the client must not hear of the command's end earlier.
  void hold_news() { news_held_ = true; }
  // The client takes the command, which has an event of its own, for complete.
  void fence();
  // The event that the client has for this command; null where it has none.
  const std::shared_ptr<EventEntry>& event_entry() const { return entry_; }
  // The command is several for the driver: run()'s call enqueues each by part(), and the gate hears
  // of the parts instead of the whole. Its event must end after all of them.
  void in_parts() { in_parts_ = true; }
  // Enqueues a part by `call(event)`. `event`: gets one reference; may be null.
  template <class F>
  cl_int part(const std::shared_ptr<Cost>& cost, std::uint64_t units, cl_event* event, F&& call) {
    Gate* const gate = causes_.any() ? nullptr : gate_of_device();
    const std::uint64_t estimate_ns = cost->estimate(units);
    if (gate != nullptr) enter(*gate, estimate_ns);
    cl_event own = nullptr;
    const bool wants = event != nullptr || gate_of_device() != nullptr;
    const cl_int status = call(wants ? &own : nullptr);
    if (gate != nullptr) tell(*gate, {own, cost, units, estimate_ns});
    if (causes_.any() && gate_of_device() != nullptr && own != nullptr) {
      keep_part({own, cost, units});
    }
    if (event != nullptr) {
      *event = own;
    } else if (own != nullptr) {
      clReleaseEvent(own);
    }
    return status;
  }
  // Began when the first of its parts did.
  void begins_with(cl_event part) { head_ = std::make_shared<Retained<cl_event>>(part); }
  // Launches the command buffer.
  void launch(const std::shared_ptr<CommandBufferEntry>& buffer);
  // Empty for a command that can run.
  const std::weak_ptr<Blocked>& blocked() const { return blocked_; }
  // Gives back what it holds of the driver's; nothing may be asked of it any more.
  void let_go();

 private:
  static constexpr std::size_t kInline = 16;
  cl_event& wait_at(std::size_t index) { return many_.empty() ? few_[index] : many_[index]; }
  const cl_event* wait_list() const { return many_.empty() ? few_.data() : many_.data(); }
  void add_wait(std::size_t index, Id id);
  void use(const Entry& entry, const std::shared_ptr<ContextEntry>& context);
  // The gate of the device, when it has let the command in; null where there is none, or it need
  // not know (yet) of the command.
  Gate* gate_before();
  Gate* gate_of_device() const;
  void enter(Gate& gate, std::uint64_t estimate_ns);
  // Of what was enqueued; without an event where it was not.
  static void tell(Gate& gate, const Flight& flight);
  // Of a blocked command, for when it can run.
  void keep_part(const Flight& flight);
  void succeeded();
  void announce();
  void failed();
  // Finds what the command would wait for, before it is enqueued; keeps what a blocked command
  // needs to be enqueued again, after.
  void foresee();
  void remember();
  bool waits_for_all() const;

  Session& session_;
  const wire::Opcode opcode_;
  std::shared_ptr<QueueEntry> queue_;
  std::shared_ptr<ContextEntry> context_;
  const Id event_id_;
  cl_event event_ = nullptr;
  std::shared_ptr<EventEntry> entry_;
  std::shared_ptr<Cost> cost_;
  std::uint64_t units_ = 1;
  std::uint64_t estimate_ns_ = 0;
  bool in_parts_ = false;
  std::vector<Flight> parts_;
  std::shared_ptr<Retained<cl_event>> head_;
  bool news_held_ = false;
  cl_int status_ = CL_SUCCESS;
  const Retained<cl_event> scrub_;                // what fresh memory still waits for
  const std::vector<Retained<cl_event>> fences_;  // what the client takes for complete
  std::size_t waits_ = 0;
  std::array<cl_event, kInline> few_;
  std::vector<cl_event> many_;
  // For commands that may be blocked; empty while the session has no unset user event.
  const bool followed_;  // Session::may_fail_later
  std::vector<std::shared_ptr<Entry>> waited_;
  std::vector<std::shared_ptr<Entry>> used_;
  std::shared_ptr<KernelEntry> kernel_;
  std::shared_ptr<PinnedBulk::Payload> payload_;
  BlockedCommands::Causes causes_;
  std::weak_ptr<Blocked> blocked_;
};

}  // namespace tessera::worker

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
  // Checks an object that was looked up by other means.
  void use(const Entry& entry, const std::shared_ptr<ContextEntry>& context);
  // The command fails with `status`, unless it is CL_SUCCESS or an earlier reason is known.
  void check(cl_int status) {
    if (status_ == CL_SUCCESS) status_ = status;
  }
  cl_int status() const { return status_; }

  // Enqueues by `call(queue, count, list, event)`, or fails. Returns what became of it; a failure
  // has been reported to the client. With `own_event` the driver's event is made even if the client
  // wants none; own_event() then has it, until this command is dropped.
  template <class F>
  cl_int run(F&& call, bool own_event = false) {
    if (status_ == CL_SUCCESS) {
      fragile_ = session_.may_fail_later();
      const bool wants = own_event || event_id_ != 0 || fragile_;
      status_ = call(queue_->handle, static_cast<cl_uint>(waits_),
                     waits_ != 0 ? wait_list() : nullptr, wants ? &event_ : nullptr);
    }
    if (status_ == CL_SUCCESS) {
      if (fragile_) session_.callbacks().keep_until_done(event_);
      succeeded();
      if (!news_held_) announce();
    } else {
      failed();
    }
    return status_;
  }
  cl_event own_event() const { return event_; }
  // A command that brings data calls hold_news() before it runs, and announce() when PendingReads
  // knows of the data: the client must not hear of the command's end earlier.
  void hold_news() { news_held_ = true; }
  void announce();

 private:
  static constexpr std::size_t kInline = 16;
  cl_event& wait_at(std::size_t index) { return many_.empty() ? few_[index] : many_[index]; }
  const cl_event* wait_list() const { return many_.empty() ? few_.data() : many_.data(); }
  void add_wait(std::size_t index, Id id);
  void succeeded();
  void failed();

  Session& session_;
  const wire::Opcode opcode_;
  std::shared_ptr<QueueEntry> queue_;
  std::shared_ptr<ContextEntry> context_;
  const Id event_id_;
  cl_event event_ = nullptr;
  std::shared_ptr<EventEntry> entry_;
  bool news_held_ = false;
  bool fragile_ = false;
  cl_int status_ = CL_SUCCESS;
  const Retained<cl_event> scrub_;  // what fresh memory still waits for
  std::size_t waits_ = 0;
  std::array<cl_event, kInline> few_;
  std::vector<cl_event> many_;
};

}  // namespace tessera::worker

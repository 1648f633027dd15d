// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <mutex>
#include <span>
#include <vector>

#include "opencl/client/callbacks.h"
#include "opencl/client/queue.h"

namespace tessera::client {

class Event final : public Typed<Event> {
 public:
  enum Time { kQueued, kSubmit, kStart, kEnd, kComplete, kTimes };

  // Of a command; `number` is known when it is sent.
  Event(Session& session, Queue& queue, cl_command_type type);
  // A user event.
  Event(Session& session, Context& context);
  ~Event();

  Context& context() const { return *context_; }
  Queue* queue() const { return queue_.get(); }
  cl_command_type type() const { return type_; }
  bool is_user() const { return type_ == CL_COMMAND_USER; }
  void set_number(std::uint64_t number) { number_ = number; }
  std::uint64_t number() const { return number_; }

  // What is known now: CL_QUEUED .. CL_COMPLETE, or an error.
  cl_int status() const;
  bool ended() const { return status() <= CL_COMPLETE; }
  // Asks the worker to tell, at most once for each depth.
  void subscribe(bool every_state);
  // For a program that looks: asks too, and once more now and then, because some drivers never call
  // back for a command that fails because another did. True if a question was sent.
  bool ask();

  // While a message is handled.
  void on_state(cl_int status);
  void on_done(cl_int status, std::span<const std::uint64_t> times);
  // The last bytes of the command's own read arrived, or their loss is known.
  void on_transfer_done(cl_int status);
  void expect_transfer() { transferring_.store(true, std::memory_order_relaxed); }
  // Nothing that the program can see says that its command is not complete.
  void take_for_complete() { on_done(CL_COMPLETE, {}); }
  void on_session_lost();

  // The user event's own way. Throws ApiError.
  void set_user_status(cl_int status);
  void add_callback(cl_int state, tessera_event_callback function, void* user_data);

  bool has_times() const { return has_times_.load(std::memory_order_acquire); }
  std::uint64_t time(Time which) const;
  // The first piece of a large transfer, of which this is the last.
  void set_head(Ref<Event> head) { head_ = std::move(head); }

 private:
  struct Callback {
    cl_int state;
    tessera_event_callback function;
    void* user_data;
    Ref<Event> event;  // lives until it was called
  };
  enum Subscription { kNothing = 0, kToTheEnd = 1, kEveryState = 3 };

  // status() without regard to other commands.
  cl_int own_status() const;
  void send_question(bool every_state);
  // Hands out the callbacks that are due.
  void fire();
  void close();

  Ref<Context> context_;
  Ref<Queue> queue_;
  Ref<Event> head_;
  cl_command_type type_;
  std::uint64_t number_ = 0;
  std::atomic<cl_int> status_;
  std::atomic<bool> transferring_{false};
  std::atomic<cl_int> transfer_status_{CL_COMPLETE};
  std::atomic<int> subscribed_;
  std::atomic<std::int64_t> asked_{0};  // monotonic ns
  std::atomic<bool> has_times_{false};
  std::atomic<bool> open_{true};  // counted by Session::Unfinished
  std::atomic<bool> user_set_{false};
  std::array<std::uint64_t, kTimes> times_{};
  std::mutex mutex_;
  std::vector<Callback> callbacks_;
};

// clWaitForEvents, of events of one context. Throws ApiError.
void wait_for_events(std::span<const Ref<Event>> events);

}  // namespace tessera::client

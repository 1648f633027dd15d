// SPDX-License-Identifier: Apache-2.0
//
// What the driver tells about events, on its own threads. What the client hears of it, and in which
// order, is in completions.h.
//
// A driver may call late or never (owed_calls.h): what has ended can be made up for (catch_up), and
// what is still owed at the end of all this is forgotten.
#pragma once

#include <CL/cl.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "opencl/worker/answer.h"
#include "opencl/worker/completions.h"
#include "opencl/worker/object_table.h"
#include "opencl/worker/owed_calls.h"

namespace tessera::worker {

class Callbacks {
 public:
  Callbacks(Answers& answers, Completions& completions)
      : answers_(answers), completions_(completions) {}
  ~Callbacks();

  // The client hears of the event's end when it ends, unasked. Twice is once.
  void watch(const std::shared_ptr<EventEntry>& event);
  // The same for a read; `then` runs when the client has been told.
  void watch(const std::shared_ptr<Completion>& read, std::function<void()> then = {});
  // event_state is sent for CL_SUBMITTED and CL_RUNNING.
  void watch_states(const std::shared_ptr<EventEntry>& event);
  // The end of an event whose end Completions does not know of: a user event's, or that of a
  // command that could not be enqueued. Twice is once.
  void report_end(EventEntry& event, cl_int status);

  // Calls `done(status)` on a thread of the driver, or here, when the event ends; `event` is kept
  // until then. If the driver refuses, `done` is called here with its error.
  void when_done(cl_event event, std::function<void(cl_int status)> done);

  // The same; what `done` returns and holds goes as what tells an end does, in clear_buried.
  void when_ended(cl_event event, std::function<Completions::Held(cl_int status)> done);

  // Keeps a reference of `event` until it has ended.
  void keep_until_done(cl_event event) {
    when_done(event, [](cl_int) {});
  }
  // Keeps what a callback must not drop until it is dropped elsewhere.
  void bury(Completions::Held held);
  // Drops what callbacks have left behind. The session's lock is held.
  void clear_buried();
  // Makes the callbacks of events that have ended for which the driver has not called.
  void catch_up();
  // Waits until every callback that was asked for has run, for at most `limit`; false: some driver
  // has not called.
  bool wait_for_all(std::chrono::milliseconds limit);

 private:
  using Held = Completions::Held;
  static void CL_CALLBACK on_call(cl_event, cl_int status, void* number);
  // If the driver refuses, the call is made here with its error. What `make` holds goes when it has
  // run; what it returns and what `keeps` holds, only in clear_buried.
  void ask(cl_event event, cl_int state, Held keeps, std::function<Held(cl_int status)> make);
  void make(std::unique_ptr<OwedCalls::Call> call, cl_int status);
  void report_state(EventEntry& event, cl_int status);
  void begin();
  void end(Completions::Held buried);

  Answers& answers_;
  Completions& completions_;
  std::mutex mutex_;
  std::condition_variable none_;
  std::size_t outstanding_ = 0;
  Completions::Held buried_;
  std::atomic<bool> any_buried_{false};
};

}  // namespace tessera::worker

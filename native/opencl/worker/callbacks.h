// SPDX-License-Identifier: Apache-2.0
//
// What the driver tells about events, on its own threads.
//
// An event's end is reported once, by whoever sees it first: the driver's callback, or an answer
// (finish, wait) that promises to have told it. Both hold the event's own mutex from the decision
// to the end of the send, so that an answer never overtakes a report that another thread has begun.
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
#include "opencl/worker/object_table.h"
#include "opencl/worker/owed_calls.h"
#include "opencl/worker/pending_reads.h"

namespace tessera::worker {

class Callbacks {
 public:
  Callbacks(Answers& answers, PendingReads& reads) : answers_(answers), reads_(reads) {}
  ~Callbacks();

  // event_done is sent when the event ends. Twice is once.
  void watch(const std::shared_ptr<EventEntry>& event);
  // event_state is sent for CL_SUBMITTED and CL_RUNNING.
  void watch_states(const std::shared_ptr<EventEntry>& event);
  // Sends event_done now if the event has ended and nobody did.
  void report_if_ended(EventEntry& event);
  // The same for an event whose end is known.
  void report(EventEntry& event, cl_int status);

  // Calls `done(status)` on a thread of the driver, or here, when the event ends; `event` is kept
  // until then. If the driver refuses, `done` is called here with its error.
  void when_done(cl_event event, std::function<void(cl_int status)> done);

  // Keeps a reference of `event` until it has ended.
  void keep_until_done(cl_event event) {
    when_done(event, [](cl_int) {});
  }
  // Drops what callbacks have left behind. The session's lock is held.
  void clear_buried();
  // Makes the callbacks of events that have ended for which the driver has not called.
  void catch_up();
  // Waits until every callback that was asked for has run, for at most `limit`; false: some driver
  // has not called.
  bool wait_for_all(std::chrono::milliseconds limit);

 private:
  static void CL_CALLBACK on_call(cl_event, cl_int status, void* number);
  // If the driver refuses, the call is made here with its error. What `make` holds goes when it has
  // run, what `keeps` holds only in clear_buried.
  void ask(cl_event event, cl_int state, std::shared_ptr<void> keeps,
           std::function<void(cl_int status)> make);
  void make(std::unique_ptr<OwedCalls::Call> call, cl_int status);
  void report_state(EventEntry& event, cl_int status);
  void begin();
  void end(std::shared_ptr<void> buried);

  Answers& answers_;
  PendingReads& reads_;
  std::mutex mutex_;
  std::condition_variable none_;
  std::size_t outstanding_ = 0;
  std::vector<std::shared_ptr<void>> buried_;
  std::atomic<bool> any_buried_{false};
};

}  // namespace tessera::worker

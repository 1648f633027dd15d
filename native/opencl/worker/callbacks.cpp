// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/callbacks.h"

#include <algorithm>

#include "opencl/worker/event_status.h"

namespace tessera::worker {
namespace {

// How an event ended. Some drivers tell a callback the state that it was asked for, CL_COMPLETE,
// also when the event failed.
cl_int how_ended(cl_event event, cl_int told) {
  cl_int status = told;
  if (told == CL_COMPLETE && event != nullptr) {
    clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, nullptr);
  }
  return status < CL_COMPLETE ? status : told;
}

}  // namespace

Callbacks::~Callbacks() {
  auto& owed = OwedCalls::of_this_process();
  for (auto& seen : owed.of(this)) {
    if (owed.take(seen.number) != nullptr) end(std::move(seen.keeps));
  }
  std::unique_lock lock(mutex_);
  none_.wait(lock, [&] { return outstanding_ == 0; });
}

void Callbacks::begin() {
  const std::lock_guard lock(mutex_);
  ++outstanding_;
}

void Callbacks::end(Completions::Held buried) {
  const std::lock_guard lock(mutex_);
  std::ranges::move(buried, std::back_inserter(buried_));
  any_buried_.store(true, std::memory_order_relaxed);
  if (--outstanding_ == 0) none_.notify_all();
}

void Callbacks::bury(Completions::Held held) {
  if (held.empty()) return;
  const std::lock_guard lock(mutex_);
  std::ranges::move(held, std::back_inserter(buried_));
  any_buried_.store(true, std::memory_order_relaxed);
}

void Callbacks::clear_buried() {
  if (!any_buried_.load(std::memory_order_relaxed)) return;
  Completions::Held buried;
  const std::lock_guard lock(mutex_);
  buried.swap(buried_);
  any_buried_.store(false, std::memory_order_relaxed);
}

bool Callbacks::wait_for_all(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  return none_.wait_for(lock, limit, [&] { return outstanding_ == 0; });
}

void Callbacks::ask(cl_event event, cl_int state, Held keeps, std::function<Held(cl_int)> make) {
  auto& owed = OwedCalls::of_this_process();
  begin();
  void* const number = owed.add({this, event, std::move(keeps), std::move(make)});
  const cl_int status = clSetEventCallback(event, state, on_call, number);
  if (status == CL_SUCCESS) return;
  if (auto call = owed.take(number)) this->make(std::move(call), status);
}

void CL_CALLBACK Callbacks::on_call(cl_event event, cl_int status, void* number) {
  auto call = OwedCalls::of_this_process().take(number);
  if (call == nullptr) return;
  Callbacks& callbacks = *call->owner;
  callbacks.make(std::move(call), how_ended(event, status));
}

void Callbacks::make(std::unique_ptr<OwedCalls::Call> call, cl_int status) {
  Held held;
  try {
    held = call->make(status);
  } catch (const ChannelClosed&) {
    // The receiver finds out by itself; nothing may be thrown through the driver.
  }
  std::ranges::move(call->keeps, std::back_inserter(held));
  call.reset();
  end(std::move(held));
}

void Callbacks::catch_up() {
  auto& owed = OwedCalls::of_this_process();
  for (const auto& seen : owed.of(this)) {
    const cl_int status = status_of(seen.event);
    if (status > CL_COMPLETE) continue;
    if (auto call = owed.take(seen.number)) make(std::move(call), status);
  }
}

void Callbacks::watch(const std::shared_ptr<EventEntry>& event) {
  if (event->watched || event->handle == nullptr) return;
  event->watched = true;
  auto completion = event->completion.lock();
  if (completion == nullptr) return;  // the client has heard of its end
  watch(completion);
}

void Callbacks::watch(const std::shared_ptr<Completion>& completion, std::function<void()> then) {
  ask(completion->handle.get(), CL_COMPLETE, {completion},
      [this, completion, then = std::move(then)](cl_int status) {
        Held held = completions_.tell_end(completion, status);
        answers_.channel().flush();
        if (then) then();
        return held;
      });
}

void Callbacks::watch_states(const std::shared_ptr<EventEntry>& event) {
  if (event->handle == nullptr) return;
  for (const cl_int state : {CL_SUBMITTED, CL_RUNNING}) {
    const auto completion = event->completion.lock();
    ask(event->handle, state, {event, completion},
        [this, entry = event.get(), begun = completion.get()](cl_int status) {
          Held held;
          // What runs has got all that it waited for.
          if (status == CL_RUNNING && begun != nullptr) held = completions_.tell_begin(*begun);
          report_state(*entry, status);
          return held;
        });
  }
}

void Callbacks::report_end(EventEntry& event, cl_int status) {
  const std::lock_guard lock(event.report);
  if (event.reported || event.released) return;
  event.reported = true;
  wire::EventDone message;
  message.event = event.id;
  message.status = status;
  answers_.push(message);
}

void Callbacks::report_state(EventEntry& event, cl_int status) {
  const std::lock_guard lock(event.report);
  // A driver may tell the end here too; that goes by event_done.
  if (status <= CL_COMPLETE || status >= event.told_before) return;
  if (event.reported || event.released) return;
  event.told = std::min(event.told, status);
  wire::EventState message;
  message.event = event.id;
  message.status = status;
  answers_.push(message);
  answers_.channel().flush();
}

void Callbacks::when_ended(cl_event event, std::function<Held(cl_int)> done) {
  ask(event, CL_COMPLETE, {std::make_shared<Retained<cl_event>>(event)}, std::move(done));
}

void Callbacks::when_done(cl_event event, std::function<void(cl_int)> done) {
  ask(event, CL_COMPLETE, {std::make_shared<Retained<cl_event>>(event)},
      [done = std::move(done)](cl_int status) {
        done(status);
        return Held();
      });
}

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/callbacks.h"

#include <algorithm>
#include <array>

#include "opencl/worker/event_status.h"

namespace tessera::worker {
namespace {

constexpr std::array<cl_profiling_info, 5> kTimes{
    CL_PROFILING_COMMAND_QUEUED, CL_PROFILING_COMMAND_SUBMIT, CL_PROFILING_COMMAND_START,
    CL_PROFILING_COMMAND_END, CL_PROFILING_COMMAND_COMPLETE};

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

void Callbacks::end(std::shared_ptr<void> buried) {
  const std::lock_guard lock(mutex_);
  buried_.push_back(std::move(buried));
  any_buried_.store(true, std::memory_order_relaxed);
  if (--outstanding_ == 0) none_.notify_all();
}

void Callbacks::clear_buried() {
  if (!any_buried_.load(std::memory_order_relaxed)) return;
  std::vector<std::shared_ptr<void>> buried;
  const std::lock_guard lock(mutex_);
  buried.swap(buried_);
  any_buried_.store(false, std::memory_order_relaxed);
}

bool Callbacks::wait_for_all(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  return none_.wait_for(lock, limit, [&] { return outstanding_ == 0; });
}

void Callbacks::ask(cl_event event, cl_int state, std::shared_ptr<void> keeps,
                    std::function<void(cl_int)> make) {
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
  try {
    call->make(status);
  } catch (const ChannelClosed&) {
    // The receiver finds out by itself; nothing may be thrown through the driver.
  }
  auto keeps = std::move(call->keeps);
  call.reset();
  end(std::move(keeps));
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
  ask(event->handle, CL_COMPLETE, event, [this, entry = event.get()](cl_int status) {
    report(*entry, status);
    answers_.channel().flush();
  });
}

void Callbacks::watch_states(const std::shared_ptr<EventEntry>& event) {
  if (event->handle == nullptr) return;
  for (const cl_int state : {CL_SUBMITTED, CL_RUNNING}) {
    ask(event->handle, state, event,
        [this, entry = event.get()](cl_int status) { report_state(*entry, status); });
  }
}

void Callbacks::report_if_ended(EventEntry& event) {
  if (event.handle == nullptr) return;
  cl_int status = CL_QUEUED;
  if (clGetEventInfo(event.handle, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status,
                     nullptr) != CL_SUCCESS) {
    return;
  }
  if (status <= CL_COMPLETE) report(event, status);
}

void Callbacks::report(EventEntry& event, cl_int status) {
  reads_.send_completed();
  const std::lock_guard lock(event.report);
  if (event.reported || event.released) return;
  std::array<std::uint64_t, kTimes.size()> times{};
  wire::EventDone message;
  message.event = event.id;
  message.status = status;
  if (event.profiling && status == CL_COMPLETE && event.handle != nullptr) {
    for (std::size_t i = 0; i < kTimes.size(); ++i) {
      cl_ulong time = 0;
      const cl_int got =
          clGetEventProfilingInfo(event.handle, kTimes[i], sizeof time, &time, nullptr);
      // Before OpenCL 2.0 a driver has no COMPLETE; then it is END.
      times[i] = got == CL_SUCCESS || i == 0 ? time : times[i - 1];
    }
    message.times = times;
  }
  event.reported = true;
  answers_.push(message);
}

void Callbacks::report_state(EventEntry& event, cl_int status) {
  const std::lock_guard lock(event.report);
  // A driver may tell the end here too; that goes by event_done.
  if (status <= CL_COMPLETE || status >= event.told_before || event.reported || event.released) {
    return;
  }
  event.told = std::min(event.told, status);
  wire::EventState message;
  message.event = event.id;
  message.status = status;
  answers_.push(message);
  answers_.channel().flush();
}

void Callbacks::when_done(cl_event event, std::function<void(cl_int)> done) {
  ask(event, CL_COMPLETE, std::make_shared<Retained<cl_event>>(event), std::move(done));
}

}  // namespace tessera::worker

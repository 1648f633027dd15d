// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/callbacks.h"

#include <algorithm>
#include <array>

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

struct Done {
  Callbacks* callbacks;
  std::shared_ptr<Retained<cl_event>> event;
  std::function<void(cl_int)> function;
};

}  // namespace

struct Callbacks::Watching {
  Callbacks* callbacks;
  std::shared_ptr<EventEntry> event;
};

Callbacks::~Callbacks() {
  wait_for_all();
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

void Callbacks::wait_for_all() {
  std::unique_lock lock(mutex_);
  none_.wait(lock, [&] { return outstanding_ == 0; });
}

bool Callbacks::wait_for_all(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  return none_.wait_for(lock, limit, [&] { return outstanding_ == 0; });
}

void Callbacks::watch(const std::shared_ptr<EventEntry>& event) {
  if (event->watched || event->handle == nullptr) return;
  event->watched = true;
  auto watching = std::make_unique<Watching>(Watching{this, event});
  begin();
  const cl_int status = clSetEventCallback(event->handle, CL_COMPLETE, on_end, watching.get());
  if (status == CL_SUCCESS) {
    watching.release();
  } else {
    end(event);
    report(*event, status);
  }
}

void Callbacks::watch_states(const std::shared_ptr<EventEntry>& event) {
  if (event->handle == nullptr) return;
  for (const cl_int state : {CL_SUBMITTED, CL_RUNNING}) {
    auto watching = std::make_unique<Watching>(Watching{this, event});
    begin();
    if (clSetEventCallback(event->handle, state, on_state, watching.get()) == CL_SUCCESS) {
      watching.release();
    } else {
      end(event);
    }
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

void CL_CALLBACK Callbacks::on_end(cl_event driver_event, cl_int status, void* given) {
  const std::unique_ptr<Watching> watching(static_cast<Watching*>(given));
  Callbacks& callbacks = *watching->callbacks;
  try {
    callbacks.report(*watching->event, how_ended(driver_event, status));
    callbacks.answers_.channel().flush();
  } catch (const ChannelClosed&) {
    // The receiver finds out by itself; nothing may be thrown through the driver.
  }
  callbacks.end(std::move(watching->event));
}

void CL_CALLBACK Callbacks::on_state(cl_event, cl_int status, void* given) {
  const std::unique_ptr<Watching> watching(static_cast<Watching*>(given));
  Callbacks& callbacks = *watching->callbacks;
  EventEntry& event = *watching->event;
  try {
    const std::lock_guard lock(event.report);
    // A driver may tell the end here too; that goes by event_done.
    if (status > CL_COMPLETE && status < event.told_before && !event.reported && !event.released) {
      event.told = std::min(event.told, status);
      wire::EventState message;
      message.event = event.id;
      message.status = status;
      callbacks.answers_.push(message);
      callbacks.answers_.channel().flush();
    }
  } catch (const ChannelClosed&) {
    // As above.
  }
  callbacks.end(std::move(watching->event));
}

void Callbacks::when_done(cl_event event, std::function<void(cl_int)> done) {
  auto given = std::make_unique<Done>(
      Done{this, std::make_shared<Retained<cl_event>>(event), std::move(done)});
  begin();
  const cl_int status = clSetEventCallback(event, CL_COMPLETE, on_done, given.get());
  if (status == CL_SUCCESS) {
    given.release();
    return;
  }
  end(std::move(given->event));
  given->function(status);
}

void CL_CALLBACK Callbacks::on_done(cl_event driver_event, cl_int status, void* given) {
  std::unique_ptr<Done> done(static_cast<Done*>(given));
  Callbacks& callbacks = *done->callbacks;
  try {
    done->function(how_ended(driver_event, status));
  } catch (const ChannelClosed&) {
    // As above.
  }
  auto event = std::move(done->event);
  done.reset();
  callbacks.end(std::move(event));
}

}  // namespace tessera::worker

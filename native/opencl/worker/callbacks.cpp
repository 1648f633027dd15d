// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/callbacks.h"

#include <algorithm>

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

struct Done {
  Callbacks* callbacks;
  std::shared_ptr<Retained<cl_event>> event;
  std::function<void(cl_int)> function;
};

}  // namespace

struct Callbacks::Watching {
  Callbacks* callbacks;
  std::shared_ptr<EventEntry> event;  // of a state
  std::shared_ptr<Completion> completion;
};

Callbacks::~Callbacks() {
  wait_for_all();
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
  auto completion = event->completion.lock();
  if (completion == nullptr) return;  // the client has heard of its end
  watch(completion);
}

void Callbacks::watch(const std::shared_ptr<Completion>& completion) {
  auto watching = std::make_unique<Watching>(Watching{this, nullptr, completion});
  begin();
  const cl_int status =
      clSetEventCallback(completion->handle.get(), CL_COMPLETE, on_end, watching.get());
  if (status == CL_SUCCESS) {
    watching.release();
  } else {
    end(completions_.tell_end(completion, status));
  }
}

void Callbacks::watch_states(const std::shared_ptr<EventEntry>& event) {
  if (event->handle == nullptr) return;
  for (const cl_int state : {CL_SUBMITTED, CL_RUNNING}) {
    auto watching = std::make_unique<Watching>(Watching{this, event, event->completion.lock()});
    begin();
    if (clSetEventCallback(event->handle, state, on_state, watching.get()) == CL_SUCCESS) {
      watching.release();
    } else {
      end({event});
    }
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

void CL_CALLBACK Callbacks::on_end(cl_event driver_event, cl_int status, void* given) {
  const std::unique_ptr<Watching> watching(static_cast<Watching*>(given));
  Callbacks& callbacks = *watching->callbacks;
  Completions::Held held{watching->completion};
  try {
    std::ranges::move(
        callbacks.completions_.tell_end(watching->completion, how_ended(driver_event, status)),
        std::back_inserter(held));
    callbacks.answers_.channel().flush();
  } catch (const ChannelClosed&) {
    // The receiver finds out by itself; nothing may be thrown through the driver.
  }
  watching->completion.reset();
  callbacks.end(std::move(held));
}

void CL_CALLBACK Callbacks::on_state(cl_event, cl_int status, void* given) {
  const std::unique_ptr<Watching> watching(static_cast<Watching*>(given));
  Callbacks& callbacks = *watching->callbacks;
  EventEntry& event = *watching->event;
  Completions::Held held;
  try {
    // What runs has got all that it waited for.
    if (status == CL_RUNNING && watching->completion != nullptr) {
      held = callbacks.completions_.tell_begin(*watching->completion);
    }
    callbacks.report_state(event, status);
  } catch (const ChannelClosed&) {
    // As above.
  }
  held.push_back(std::move(watching->event));
  held.push_back(std::move(watching->completion));
  callbacks.end(std::move(held));
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

void Callbacks::when_done(cl_event event, std::function<void(cl_int)> done) {
  auto given = std::make_unique<Done>(
      Done{this, std::make_shared<Retained<cl_event>>(event), std::move(done)});
  begin();
  const cl_int status = clSetEventCallback(event, CL_COMPLETE, on_done, given.get());
  if (status == CL_SUCCESS) {
    given.release();
    return;
  }
  end({std::move(given->event)});
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
  callbacks.end({std::move(event)});
}

}  // namespace tessera::worker

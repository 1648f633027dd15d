// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/completions.h"

#include <algorithm>
#include <array>

#include "opencl/worker/event_status.h"
#include "opencl/worker/output.h"

namespace tessera::worker {
namespace {

constexpr std::array<cl_profiling_info, 5> kTimes{
    CL_PROFILING_COMMAND_QUEUED, CL_PROFILING_COMMAND_SUBMIT, CL_PROFILING_COMMAND_START,
    CL_PROFILING_COMMAND_END, CL_PROFILING_COMMAND_COMPLETE};
using Times = std::array<std::uint64_t, kTimes.size()>;

constexpr std::size_t kMaxIdsPerMessage = 4096;
constexpr std::size_t kPruneAt = 64;

// `head`: the first of several commands that have one event; may be null.
Times times_of(cl_event event, cl_event head) {
  Times times{};
  for (std::size_t i = 0; i < kTimes.size(); ++i) {
    cl_ulong time = 0;
    const bool begins =
        kTimes[i] != CL_PROFILING_COMMAND_END && kTimes[i] != CL_PROFILING_COMMAND_COMPLETE;
    const cl_event of = begins && head != nullptr ? head : event;
    const cl_int got = clGetEventProfilingInfo(of, kTimes[i], sizeof time, &time, nullptr);
    // Before OpenCL 2.0 a driver has no COMPLETE; then it is END.
    times[i] = got == CL_SUCCESS || i == 0 ? time : times[i - 1];
  }
  return times;
}

}  // namespace

struct Completions::Found {
  std::shared_ptr<Completion> completion;
  std::shared_ptr<EventEntry> event;
  Times times{};  // of a profiling queue
};

cl_int Completion::status() const {
  const cl_int known = end.load(std::memory_order_acquire);
  return known <= CL_COMPLETE ? known : status_of(handle.get());
}

std::shared_ptr<Completion> Completions::add(cl_event handle, std::shared_ptr<EventEntry> event,
                                             bool blocked) {
  return insert(std::make_shared<Completion>(handle, false), std::move(event), blocked);
}

std::shared_ptr<Completion> Completions::add_read(cl_event handle,
                                                  std::shared_ptr<EventEntry> event,
                                                  std::uint64_t ticket,
                                                  std::unique_ptr<Landing> landing, bool waited,
                                                  bool blocked) {
  auto completion = std::make_shared<Completion>(handle, true);
  completion->ticket = ticket;
  completion->landing = std::move(landing);
  completion->waited = waited;
  return insert(std::move(completion), std::move(event), blocked);
}

std::shared_ptr<Completion> Completions::insert(std::shared_ptr<Completion> completion,
                                                std::shared_ptr<EventEntry> event, bool blocked) {
  const std::lock_guard lock(lock_);
  completion->number = next_.fetch_add(1);
  if (event != nullptr) event->completion = completion;
  completion->event = std::move(event);
  list_.push_back({.number = completion->number, .completion = completion, .blocked = blocked});
  live_.fetch_add(1);
  return completion;
}

void Completions::unblock(const Completion& completion) {
  const std::lock_guard lock(lock_);
  if (const auto found = at(completion); found != list_.end()) found->blocked = false;
}

void Completions::forget(EventEntry& event) {
  std::shared_ptr<EventEntry> held;  // dropped without the lock, as is the completion
  const auto completion = event.completion.lock();
  if (completion == nullptr) return;
  const std::lock_guard lock(lock_);
  held = std::exchange(completion->event, nullptr);
  if (!completion->is_read) take(*completion);
}

void Completions::forget_all() {
  decltype(list_) list;
  const std::lock_guard sending(sending_);
  const std::lock_guard lock(lock_);
  list.swap(list_);
  live_.store(0);
  for (const Listed& each : list) {
    if (each.completion == nullptr) continue;
    each.completion->told = true;
    each.completion->landing = nullptr;
  }
}

Completions::List Completions::before(std::uint64_t position) {
  List found;
  const std::lock_guard lock(lock_);
  auto at = list_.end();
  while (at != list_.begin() && std::prev(at)->number >= position) --at;
  while (at != list_.begin()) {
    --at;
    if (at->completion == nullptr || at->blocked) continue;
    found.push_back({.completion = at->completion, .event = at->completion->event});
  }
  return found;
}

Completions::Held Completions::tell_end(const std::shared_ptr<Completion>& completion,
                                        cl_int status) {
  completion->end.store(status, std::memory_order_release);
  unblock(*completion);
  return tell_before(completion->number + 1);
}

Completions::Held Completions::tell_begin(const Completion& completion) {
  return tell_before(completion.number);
}

Completions::Held Completions::tell_before(std::uint64_t position) {
  // A state that is replayed tells nothing: the client has heard of it, or will when it is over.
  if (answers_.muted()) return {};
  if (live_.load() == 0) {
    output_.drain();
    return {};
  }
  Held held;
  List ended;
  for (Found& found : before(position)) {
    held.push_back(found.completion);
    if (found.event != nullptr) held.push_back(found.event);
    const cl_int status = found.completion->status();
    if (status > CL_COMPLETE) continue;
    found.completion->end.store(status, std::memory_order_release);
    if (status == CL_COMPLETE && found.event != nullptr && found.event->profiling) {
      const auto& head = found.event->head;
      found.times =
          times_of(found.completion->handle.get(), head != nullptr ? head->get() : nullptr);
    }
    ended.push_back(std::move(found));
  }
  std::ranges::reverse(ended);
  const std::lock_guard sending(sending_);
  output_.drain();
  std::erase_if(ended, [](const Found& found) { return found.completion->told; });
  send(ended);
  remove(ended);
  return held;
}

void Completions::send(const List& ended) {
  for (const Found& found : ended) {
    found.completion->told = true;
    if (found.completion->is_read && !found.completion->waited) send_read(*found.completion);
  }
  send_events(ended);
  for (const Found& found : ended) {
    if (found.completion->is_read && found.completion->waited) send_read(*found.completion);
  }
}

void Completions::send_read(Completion& read) {
  const cl_int status = read.status();
  answers_.read_done(read.ticket, status, status == CL_COMPLETE ? read.landing->payload() : Bulk(),
                     false);
  read.landing = nullptr;
}

void Completions::send_events(const List& ended) {
  std::vector<Id> complete;
  for (const Found& found : ended) {
    if (found.event == nullptr) continue;
    EventEntry& event = *found.event;
    const std::lock_guard lock(event.report);
    if (event.reported || event.released) continue;
    event.reported = true;
    const cl_int status = found.completion->status();
    if (status == CL_COMPLETE && !event.profiling) {
      complete.push_back(event.id);
      if (complete.size() == kMaxIdsPerMessage) send_complete(complete);
      continue;
    }
    send_complete(complete);
    wire::EventDone message;
    message.event = event.id;
    message.status = status;
    if (status == CL_COMPLETE) message.times = found.times;
    answers_.push(message);
  }
  send_complete(complete);
}

void Completions::send_complete(std::vector<Id>& ids) {
  if (ids.size() == 1) {
    wire::EventDone message;
    message.event = ids.front();
    message.status = CL_COMPLETE;
    answers_.push(message);
  } else if (!ids.empty()) {
    wire::EventsDone message;
    message.events = ids;
    answers_.push(message);
  }
  ids.clear();
}

void Completions::remove(const List& told) {
  const std::lock_guard lock(lock_);
  for (const Found& found : told) take(*found.completion);
}

// The lock is held. The end for one that is gone.
std::vector<Completions::Listed>::iterator Completions::at(const Completion& completion) {
  const auto found = std::ranges::lower_bound(list_, completion.number, {}, &Listed::number);
  const bool there = found != list_.end() && found->number == completion.number;
  return there && found->completion != nullptr ? found : list_.end();
}

// The lock is held, and somebody else holds the completion.
void Completions::take(const Completion& completion) {
  const auto found = at(completion);
  if (found == list_.end()) return;
  found->completion = nullptr;
  const std::size_t live = live_.fetch_sub(1) - 1;
  if (live == 0) {
    list_.clear();
  } else if (list_.size() > kPruneAt && live * 2 < list_.size()) {
    std::erase_if(list_, [](const Listed& each) { return each.completion == nullptr; });
  }
}

}  // namespace tessera::worker

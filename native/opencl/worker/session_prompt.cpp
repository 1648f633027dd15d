// SPDX-License-Identifier: Apache-2.0
//
// Answers that the driver's threads give.
//
// A thread that waits in the driver has to be woken before it can answer, and wakes are most of
// what a small operation costs. A driver that computes on the cores of this host calls back at
// once, on the thread that has computed. So that thread answers. Then it wakes the receiver, which
// does what a callback must not, and is awake when the client, which wakes at the same time, sends
// on. And as no thread waits in the driver, what other threads of the client send is handled
// meanwhile.
//
// Not while the client has unset user events: a wait that only the client can end has to be cut
// short by a suspend (pause.h). Nor for other devices: their drivers call back on a thread of their
// own, and later than they come back to a thread that waits.
#include <algorithm>

#include "opencl/worker/event_status.h"
#include "opencl/worker/session.h"

namespace tessera::worker {
namespace {

constexpr std::size_t kFewEvents = 16;

// What several callbacks end together.
struct Waited {
  Waited(std::uint64_t sequence, std::size_t left) : sequence(sequence), left(left) {}
  const std::uint64_t sequence;
  std::atomic<std::size_t> left;
  std::atomic<bool> failed{false};
};

}  // namespace

void Session::ended_promptly(EndedQueues::Ended ended) {
  ended_queues_.add(std::move(ended));
  const bool wanted = std::ranges::any_of(
      gates_, [](const auto& gate) { return gate != nullptr && gate->is_wanted(); });
  wanted ? channel_.interrupt() : channel_.nudge();
}

void Session::look_for_ended() {
  if (!ended_queues_.any()) return;
  const std::lock_guard lock(lock_);
  note_ended();
}

void Session::note_ended() {
  if (!ended_queues_.any()) return;
  for (const auto& ended : ended_queues_.take()) {
    const auto queue = ended.queue.lock();
    if (queue != nullptr && !queue->out_of_order) count_finished(*queue, ended.number);
  }
  settle_gates();
  callbacks_.clear_buried();
}

bool Session::finish_promptly(std::uint64_t sequence, const std::shared_ptr<QueueEntry>& queue) {
  if (idle(*queue) || queue->last == nullptr || !is_prompt(*queue)) return false;
  if (has_ended(queue->last)) return false;  // nobody has to wait
  const cl_int deferred = std::exchange(queue->deferred, CL_SUCCESS);
  callbacks_.when_ended(queue->last, [this, sequence, deferred, position = completions_.position(),
                                      ended = EndedQueues::Ended{queue, queue->enqueued}](cl_int) {
    auto held = completions_.tell(position);
    answers_.reply(sequence, deferred);
    ended_promptly(ended);
    return held;
  });
  return true;
}

bool Session::wait_promptly(std::uint64_t sequence, std::span<const Id> ids) {
  if (ids.empty() || ids.size() > kFewEvents) return false;
  std::vector<std::shared_ptr<EventEntry>> events;
  for (const Id id : ids) {
    events.push_back(objects_.share<EventEntry>(id));
    const EventEntry& event = *events.back();
    const auto queue = event.queue.lock();
    if (queue == nullptr || event.handle == nullptr || !is_prompt(*queue) ||
        event.context != events.front()->context || status_of(event.handle) < CL_COMPLETE) {
      return false;
    }
  }
  const auto waited = std::make_shared<Waited>(sequence, events.size());
  for (const auto& event : events) {
    event->waited = true;
    callbacks_.when_ended(
        event->handle, [this, waited, completion = event->completion.lock(),
                        ended = EndedQueues::Ended{event->queue, event->number}](cl_int status) {
          Completions::Held held;
          if (completion != nullptr) {
            held = completions_.tell_end(completion, status);
            held.push_back(completion);
          }
          if (status < CL_COMPLETE) waited->failed.store(true);
          if (waited->left.fetch_sub(1) == 1) {
            answers_.reply(waited->sequence, waited->failed.load()
                                                 ? CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST
                                                 : CL_SUCCESS);
          }
          ended_promptly(ended);
          return held;
        });
  }
  return true;
}

}  // namespace tessera::worker

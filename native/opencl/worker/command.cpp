// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/command.h"

namespace tessera::worker {
namespace {

// Reported events are dropped from a queue's list when it has grown by this many.
constexpr std::size_t kPruneAt = 1024;

void prune(std::vector<std::weak_ptr<EventEntry>>& watched) {
  std::erase_if(watched, [](const auto& weak) {
    const auto event = weak.lock();
    if (event == nullptr) return true;
    const std::lock_guard lock(event->report);
    return event->reported || event->released;
  });
}

// A marker or a barrier without a list waits for all that its queue holds, and with one for nothing
// else.
bool touches_memory(wire::Opcode opcode) {
  return opcode != wire::Opcode::enqueue_marker && opcode != wire::Opcode::enqueue_barrier;
}

}  // namespace

Command::Command(Session& session, wire::Opcode opcode, Id queue, std::span<const Id> wait_list,
                 Id event)
    : session_(session),
      opcode_(opcode),
      queue_(session.objects().share<QueueEntry>(queue)),
      context_(queue_->context),
      event_id_(event),
      scrub_(touches_memory(opcode) ? context_->scrubbing.pending() : nullptr) {
  if (event_id_ != 0) session.objects().require_new(event_id_);
  check(queue_->poison);
  const std::size_t count = wait_list.size() + (scrub_.get() != nullptr ? 1 : 0);
  if (count > kInline) many_.resize(count);
  for (const Id id : wait_list) add_wait(waits_++, id);
  if (scrub_.get() != nullptr) wait_at(waits_++) = scrub_.get();
}

Command::~Command() {
  // Given to the event's entry where the client has one.
  if (event_ != nullptr) clReleaseEvent(event_);
}

void Command::add_wait(std::size_t index, Id id) {
  EventEntry& event = session_.objects().get<EventEntry>(id);
  event.waited = true;
  if (event.poison != CL_SUCCESS) check(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
  if (event.context != context_) check(CL_INVALID_CONTEXT);
  wait_at(index) = event.handle;
}

MemEntry& Command::mem(Id id) {
  MemEntry& entry = session_.objects().get<MemEntry>(id);
  use(entry, entry.context);
  return entry;
}

std::vector<cl_mem> Command::mems(std::span<const Id> ids) {
  std::vector<cl_mem> handles;
  handles.reserve(ids.size());
  for (const Id id : ids) handles.push_back(mem(id).handle);
  return handles;
}

void Command::use(const Entry& entry, const std::shared_ptr<ContextEntry>& context) {
  check(entry.poison);
  if (context != context_) check(CL_INVALID_CONTEXT);
}

void Command::succeeded() {
  session_.count_command(*queue_);
  if (event_id_ == 0) return;
  // The table refuses past its limit; the command runs all the same, and its event is reported at
  // once.
  const auto entry = session_.objects().add<EventEntry>(event_id_);
  entry->context = context_;
  entry->queue = queue_;
  entry->number = queue_->enqueued;
  if (entry->poison != CL_SUCCESS) {
    session_.callbacks().report(*entry, entry->poison);
    return;
  }
  clRetainEvent(event_);
  entry->handle = event_;
  entry->profiling = queue_->profiling;
  entry_ = entry;
}

void Command::announce() {
  if (entry_ != nullptr && entry_->profiling) session_.watch(entry_);
}

void Command::failed() {
  if (queue_->deferred == CL_SUCCESS) queue_->deferred = status_;
  if (event_id_ != 0) {
    const auto entry = session_.objects().add<EventEntry>(event_id_);
    entry->context = context_;
    entry->queue = queue_;
    entry->poison = status_;
    session_.callbacks().report(*entry, status_);
  }
  session_.answers().deferred_error(queue_->id, status_, opcode_);
}

void Session::watch(const std::shared_ptr<EventEntry>& event) {
  if (const auto queue = event->queue.lock(); queue != nullptr && !event->watched) {
    auto& watched = queue->watched;
    if (watched.size() >= queue->prune_at) {
      prune(watched);
      queue->prune_at = watched.size() * 2 + kPruneAt;
    }
    watched.push_back(event);
  }
  callbacks_.watch(event);
}

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/blocked_commands.h"

#include "opencl/worker/event_status.h"

namespace tessera::worker {
namespace {}  // namespace

BlockedCommands::Causes BlockedCommands::causes(const QueueEntry& queue,
                                                std::span<const std::shared_ptr<Entry>> waits,
                                                bool fence) const {
  Causes found;
  for (const auto& entry : waits) {
    auto event = std::static_pointer_cast<EventEntry>(entry);
    if (auto command = event->command.lock()) {
      found.commands.push_back(std::move(command));
    } else if (event->user && !event->user_done) {
      found.user_events.push_back(std::move(event));
    }
  }
  const auto at = queues_.find(&queue);
  if (at == queues_.end()) return found;
  const auto& decisive = queue.out_of_order ? at->second.last_barrier : at->second.last;
  if (auto command = decisive.lock()) found.commands.push_back(std::move(command));
  if (!queue.out_of_order || !fence) return found;
  for (const auto& [number, command] : commands_) {
    if (command->queue.get() == &queue) found.commands.push_back(command);
  }
  return found;
}

void BlockedCommands::prepare(QueueEntry& queue) {
  const auto [at, first] = queues_.try_emplace(&queue);
  if (!first || queue.enqueued == queue.finished) return;
  cl_event before = nullptr;
  if (clEnqueueMarkerWithWaitList(queue.handle, 0, nullptr, &before) != CL_SUCCESS) {
    incomplete_ = true;
    return;
  }
  at->second.runnable.emplace_back(before);
  clReleaseEvent(before);
}

void BlockedCommands::cancel(const QueueEntry& queue) {
  const auto at = queues_.find(&queue);
  if (at != queues_.end() && at->second.blocked == 0) queues_.erase(at);
  if (commands_.empty()) incomplete_ = false;
}

void BlockedCommands::add(std::shared_ptr<Blocked> command, const Causes& causes) {
  if (!command->message) incomplete_ = true;
  HeldBack& queue = queues_[command->queue.get()];
  ++queue.blocked;
  queue.last = command;
  if (command->barrier) queue.last_barrier = command;
  command->number = next_++;
  command->causes = causes.user_events.size() + causes.commands.size();
  for (const auto& event : causes.user_events) event->gates.push_back(command);
  for (const auto& each : causes.commands) each->dependents.push_back(command);
  if (command->event != nullptr) command->event->command = command;
  commands_.emplace(command->number, std::move(command));
}

void BlockedCommands::add_runnable(const QueueEntry& queue, cl_event event) {
  const auto at = queues_.find(&queue);
  if (at == queues_.end() || event == nullptr) return;
  HeldBack& held = at->second;
  if (held.runnable.size() >= held.prune_at) {
    std::erase_if(held.runnable, [](const auto& each) { return has_ended(each.get()); });
    held.prune_at = held.runnable.size() * 2 + 256;
  }
  held.runnable.emplace_back(event);
}

std::size_t BlockedCommands::set(EventEntry& event) {
  std::size_t bytes = 0;
  std::vector<std::shared_ptr<Blocked>> freed;
  const auto let_go = [&](std::vector<std::weak_ptr<Blocked>>& waiting) {
    for (const auto& weak : waiting) {
      auto command = weak.lock();
      if (command != nullptr && --command->causes == 0) freed.push_back(std::move(command));
    }
    waiting.clear();
  };
  let_go(event.gates);
  // A chain may be long: no recursion.
  while (!freed.empty()) {
    const auto command = std::move(freed.back());
    freed.pop_back();
    let_go(command->dependents);
    release(command, &bytes);
  }
  return bytes;
}

void BlockedCommands::release(const std::shared_ptr<Blocked>& command, std::size_t* bytes) {
  *bytes += command->counted;
  if (command->event != nullptr) command->event->command.reset();
  const auto at = queues_.find(command->queue.get());
  if (at != queues_.end()) {
    if (--at->second.blocked == 0) {
      queues_.erase(at);
    } else {
      add_runnable(*command->queue, command->handle->get());
    }
  }
  commands_.erase(command->number);
  if (commands_.empty()) incomplete_ = false;
}

std::size_t BlockedCommands::count(const QueueEntry& queue) const {
  const auto at = queues_.find(&queue);
  return at == queues_.end() ? 0 : at->second.blocked;
}

std::vector<Retained<cl_event>> BlockedCommands::runnable() const {
  std::vector<Retained<cl_event>> events;
  for (const auto& [queue, held] : queues_) {
    for (const auto& each : held.runnable) events.emplace_back(each.get());
  }
  return events;
}

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/blocked_commands.h"

#include <algorithm>

#include "opencl/worker/event_status.h"

namespace tessera::worker {

BlockedCommands::Causes BlockedCommands::causes(const QueueEntry& queue,
                                                std::span<const std::shared_ptr<Entry>> waits,
                                                bool waits_for_all) const {
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
  if (!queue.out_of_order || !waits_for_all) return found;
  if (auto command = at->second.last_for_all.lock()) found.commands.push_back(std::move(command));
  for (const auto& [number, weak] : at->second.since_for_all) {
    if (auto command = weak.lock()) found.commands.push_back(std::move(command));
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
  if (command->waits_for_all) {
    queue.last_for_all = command;
    queue.since_for_all.clear();
  } else if (command->queue->out_of_order) {
    queue.since_for_all.emplace(command->number, command);
  }
  command->causes = causes.user_events.size() + causes.commands.size();
  for (const auto& event : causes.user_events) event->gates.push_back(command);
  for (const auto& each : causes.commands) {
    each->dependents.push_back(command);
    command->behind.push_back(each->handle);
  }
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

namespace {

// What waits for a cause that is none any more.
void let_go(std::vector<std::weak_ptr<Blocked>>& waiting, BlockedCommands::Commands& ready,
            BlockedCommands::Commands& others) {
  for (const auto& weak : waiting) {
    auto command = weak.lock();
    if (command == nullptr) continue;
    (--command->causes == 0 ? ready : others).push_back(std::move(command));
  }
  waiting.clear();
}

void sort(BlockedCommands::Commands& commands) {
  std::ranges::sort(commands, {}, [](const auto& command) { return command->number; });
}

}  // namespace

BlockedCommands::Commands BlockedCommands::set(EventEntry& event, Commands& others) {
  Commands ready;
  let_go(event.gates, ready, others);
  Commands freed = free(std::move(ready), others);
  sort(freed);
  return freed;
}

std::vector<Retained<cl_event>> BlockedCommands::awaited_beside(const EventEntry& event) const {
  std::vector<Retained<cl_event>> awaited;
  std::set<const QueueEntry*> queues;
  std::set<std::uint64_t> seen;
  std::vector<std::weak_ptr<Blocked>> waiting = event.gates;
  while (!waiting.empty()) {
    const auto command = waiting.back().lock();
    waiting.pop_back();
    if (command == nullptr || !seen.insert(command->number).second) continue;
    for (const auto& entry : command->waits) {
      const auto& other = static_cast<const EventEntry&>(*entry);
      if (!other.user && other.command.expired() && other.handle != nullptr) {
        awaited.emplace_back(other.handle);
      }
    }
    for (const auto& other : command->also_waits) awaited.emplace_back(other.get());
    queues.insert(command->queue.get());
    waiting.insert(waiting.end(), command->dependents.begin(), command->dependents.end());
  }
  for (const QueueEntry* queue : queues) {
    const auto at = queues_.find(queue);
    if (at == queues_.end()) continue;
    for (const auto& before : at->second.runnable) awaited.emplace_back(before.get());
  }
  return awaited;
}

BlockedCommands::Commands BlockedCommands::free_ended(Commands others) {
  early_failures_.prune();
  Commands freed;
  while (!others.empty()) {
    Commands ended;
    for (auto& command : std::exchange(others, {})) {
      if (has_ended(command->handle->get())) ended.push_back(std::move(command));
    }
    for (const auto& command : ended) keep_if_early(*command);
    for (auto& command : free(std::move(ended), others)) freed.push_back(std::move(command));
  }
  if (!freed.empty()) gather_since_all();
  sort(freed);
  return freed;
}

void BlockedCommands::keep_if_early(const Blocked& command) {
  std::vector<Retained<cl_event>> awaited;
  const auto add = [&](cl_event event) {
    if (event != nullptr && !has_ended(event)) awaited.emplace_back(event);
  };
  for (const auto& entry : command.waits) add(static_cast<const EventEntry&>(*entry).handle);
  for (const auto& event : command.also_waits) add(event.get());
  for (const auto& event : command.behind) add(event->get());
  if (awaited.empty()) return;
  auto failed = command.parts;
  failed.push_back(command.handle);
  early_failures_.keep(std::move(failed), std::move(awaited));
}

// One that waits for all may have ended before all that it waited for.
void BlockedCommands::gather_since_all() {
  for (auto& [queue, held] : queues_) {
    held.last_for_all.reset();
    held.since_for_all.clear();
  }
  for (const auto& [number, command] : commands_) {
    if (!command->queue->out_of_order) continue;
    queues_[command->queue.get()].since_for_all.emplace(number, command);
  }
}

BlockedCommands::Commands BlockedCommands::free(Commands ready, Commands& others) {
  Commands freed;
  // A chain may be long: no recursion.
  while (!ready.empty()) {
    auto command = std::move(ready.back());
    ready.pop_back();
    // One that has ended may be ready as well.
    if (commands_.erase(command->number) == 0) continue;
    let_go(command->dependents, ready, others);
    release(*command);
    freed.push_back(std::move(command));
  }
  if (commands_.empty()) incomplete_ = false;
  return freed;
}

void BlockedCommands::release(Blocked& command) {
  if (command.event != nullptr) command.event->command.reset();
  const auto at = queues_.find(command.queue.get());
  if (at == queues_.end()) return;
  at->second.since_for_all.erase(command.number);
  if (--at->second.blocked == 0) {
    queues_.erase(at);
  } else {
    add_runnable(*command.queue, command.handle->get());
  }
}

std::size_t BlockedCommands::count(const QueueEntry& queue) const {
  const auto at = queues_.find(&queue);
  return at == queues_.end() ? 0 : at->second.blocked;
}

std::set<std::uint32_t> BlockedCommands::gpus() const {
  std::set<std::uint32_t> gpus;
  for (const auto& [queue, held] : queues_) {
    if (held.blocked != 0) gpus.insert(queue->gpu);
  }
  return gpus;
}

std::vector<Retained<cl_event>> BlockedCommands::runnable() const {
  std::vector<Retained<cl_event>> events;
  for (const auto& [queue, held] : queues_) {
    for (const auto& each : held.runnable) events.emplace_back(each.get());
  }
  return events;
}

}  // namespace tessera::worker

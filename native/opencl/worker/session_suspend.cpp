// SPDX-License-Identifier: Apache-2.0
//
// Suspend and resume of a session: quiesce, copy out, give the devices back; later make anew.
//
// What runs is waited for, what cannot run is written down (blocked_commands.h), and what is being
// waited for is waited for again (pause.h). Only when the state is whole and durable are the
// driver's objects given back, and only when it has been read and found whole are any made again.
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/error_text.h"
#include "opencl/worker/restore.h"
#include "opencl/worker/save.h"
#include "opencl/worker/session.h"

namespace tessera::worker {
namespace {

// How long a driver may take to destroy objects that nobody holds any more.
constexpr std::chrono::seconds kFreeing{10};
constexpr std::chrono::milliseconds kLook{1};

UniqueFd memory_file() {
  UniqueFd fd(::memfd_create("tessera-state", MFD_CLOEXEC));
  if (!fd) {
    throw StateError(state_error::kFailed, "memory for the state: " + error_text(errno));
  }
  return fd;
}

}  // namespace

StateNeeds Session::check_suspend() {
  const std::lock_guard lock(lock_);
  if (!pause_.active()) {
    throw StateError(state_error::kAlreadySuspended, "the session is suspended already");
  }
  return Saver(*this).needs();
}

StateNeeds Session::suspend(const StatePlace& place) {
  const std::lock_guard lock(lock_);
  if (!pause_.active()) {
    throw StateError(state_error::kAlreadySuspended, "the session is suspended already");
  }
  StateNeeds needs;
  try {
    quiesce();
    Saver saver(*this);
    needs = saver.needs();
    if (place.path.empty()) {
      saved_.memory = memory_file();
      StateWriter out(saved_.memory.get());
      saver.write(out, place.lease);
      needs.bytes = out.bytes();
    } else {
      NewStateFile file(place.path);
      StateWriter out(file.fd());
      saver.write(out, place.lease);
      file.keep();
      needs.bytes = out.bytes();
    }
  } catch (...) {
    saved_.memory.reset();
    pause_.go_on();
    throw;
  }
  saved_.path = place.path;
  pause_.begin_epoch();
  give_devices_back();
  return needs;
}

void Session::resume(std::vector<Device> devices, std::vector<std::unique_ptr<Gate>> gates) {
  const std::lock_guard lock(lock_);
  if (!pause_.suspended()) {
    throw StateError(state_error::kNotSuspended, "the session is not suspended");
  }
  if (devices.empty()) devices = devices_;
  const UniqueFd state = open_state(saved_);
  Restorer restorer(*this, state.get());
  restorer.check(devices, quota_.left());
  std::swap(devices, devices_);
  gates_ = std::move(gates);
  try {
    restorer.replay();
  } catch (...) {
    pause_.begin_epoch();
    give_devices_back();
    std::swap(devices, devices_);
    throw;
  }
  // A file is the daemon's to remove: freeing its blocks takes longer than the program should wait.
  saved_ = {};
  claimed_reads_.clear();
  slot_.objects.store(objects_.size(), std::memory_order_relaxed);
  pause_.go_on();
}

// No message is being handled, and nothing is on the device but what cannot run.
void Session::quiesce() {
  pause_.stop();
  // What threads are at may enqueue no more, but its end may still need the lock.
  drain();
  pause_.wait_for_working();
  drain();
  report_ended();
}

void Session::drain() {
  std::vector<Retained<cl_command_queue>> queues;
  std::vector<std::pair<std::shared_ptr<QueueEntry>, std::uint64_t>> ran;
  objects_.each_of_any_kind([&](const auto& entry) {
    if (entry->kind != Kind::queue || entry->poison != CL_SUCCESS) return;
    const auto queue = std::static_pointer_cast<QueueEntry>(entry);
    const std::size_t blocked = blocked_.count(*queue);
    if (blocked == 0) queues.emplace_back(queue->handle);
    ran.emplace_back(queue, queue->enqueued - blocked);
  });
  const auto events = blocked_.runnable();
  lock_.unlock();
  for (const auto& queue : queues) clFinish(queue.get());
  for (const auto& event : events) {
    const cl_event handle = event.get();
    clWaitForEvents(1, &handle);
  }
  lock_.lock();
  for (const auto& [queue, commands] : ran) count_finished(*queue, commands);
}

// Whatever has ended is told before the state is written, so that it need not be told afterwards.
void Session::report_ended() {
  completions_.tell();
  channel_.flush();
}

// What the client still has, and what its command buffers and its blocked commands use.
std::set<Id> Session::needed_objects() const {
  std::set<Id> needed;
  const auto add_mem = [&](const Entry& entry) {
    if (entry.kind != Kind::mem) return;
    for (const auto* mem = static_cast<const MemEntry*>(&entry); mem != nullptr;
         mem = mem->parent.get()) {
      needed.insert(mem->id);
    }
  };
  const auto add = [&](const Entry& entry) {
    add_mem(entry);
    if (entry.kind != Kind::command_buffer) return;
    for (const auto& command : static_cast<const CommandBufferEntry&>(entry).commands) {
      for (const auto& used : command.uses) add_mem(*used);
    }
  };
  objects_.each_of_any_kind([&](const auto& entry) { add(*entry); });
  for (const auto& [number, command] : blocked_.all()) {
    for (const auto& used : command->uses) add(*used);
  }
  return needed;
}

void Session::give_devices_back() {
  if (object_watch_.any()) {
    object_watch_.pause([needed = needed_objects()](Id id) { return needed.contains(id); });
  }
  ObjectTable objects = std::exchange(objects_, ObjectTable());
  partitions_.clear();
  auto abandoned = std::exchange(abandoned_, {});
  BlockedCommands blocked = std::exchange(blocked_, BlockedCommands());
  auto held = std::exchange(held_reads_, {});
  std::vector<Retained<cl_command_queue>> queues;
  // What still ends now is none of the client's business.
  const auto forget = [](EventEntry& event) {
    const std::lock_guard lock(event.report);
    event.released = true;
  };
  const auto fail = [](EventEntry& event) {
    if (!event.user || event.user_done || event.handle == nullptr) return;
    event.user_done = true;
    clSetUserEventStatus(event.handle, CL_OUT_OF_RESOURCES);
  };
  objects.each<EventEntry>(forget);
  for (const auto& [number, command] : blocked.all()) {
    if (command->event != nullptr) forget(*command->event);
    queues.emplace_back(command->queue->handle);
    // Should the driver run it all the same, the lease pays for it.
    if (Gate* const before = gate_of(*command)) before->entered(command->flights);
  }
  completions_.forget_all();
  objects.each<EventEntry>(fail);
  for (const auto& event : abandoned) fail(*event);
  objects.each<QueueEntry>([&](QueueEntry& queue) {
    queue.finished = queue.enqueued;
    if (queue.handle != nullptr) queues.emplace_back(queue.handle);
  });
  open_user_events_ = 0;
  busy_queues_.store(0, std::memory_order_relaxed);
  pause_.wait_for_all();
  lock_.unlock();
  for (const auto& queue : queues) clFinish(queue.get());
  settle_gates();
  queues.clear();
  callbacks_.catch_up();
  callbacks_.wait_for_all(kFreeing);
  lock_.lock();
  held.clear();
  blocked = {};
  abandoned.clear();
  objects = {};
  callbacks_.clear_buried();
  // A session that needs nothing of a GPU is nobody's rival there.
  gates_.clear();
  wait_for_freed_memory();
}

// A driver may destroy on a thread of its own. What it keeps for longer stays charged.
void Session::wait_for_freed_memory() {
  const auto deadline = std::chrono::steady_clock::now() + kFreeing;
  const auto charged = [&] {
    return std::ranges::any_of(quota_.used(slot_index_), [](auto used) { return used != 0; });
  };
  while (charged() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kLook);
    callbacks_.clear_buried();
  }
  // A device that computes on processors has its memory from this process's heap.
  ::malloc_trim(0);
}

Session::HeldRead Session::take_read(std::uint64_t ticket) {
  auto node = held_reads_.extract(ticket);
  return node.empty() ? HeldRead() : std::move(node.mapped());
}

}  // namespace tessera::worker

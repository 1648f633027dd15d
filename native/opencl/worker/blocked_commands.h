// SPDX-License-Identifier: Apache-2.0
//
// Commands that cannot run, because they wait for a user event that the client has not set.
//
// Such a command may wait for ever, so a suspend cannot wait for it: it has to be taken off the
// device and enqueued anew after the resume. So for as long as a command is blocked its whole
// message is kept, with its payload, the objects that it uses and, for a kernel, the arguments as
// they were. A command is blocked when it waits for an unset user event, or for a blocked command,
// by its wait-list, by the order of its queue, or because it waits for all before it. Nothing is
// kept, and nothing costs more than one comparison, while the session has no unset user event.
//
// Nor does such a command use the device: its gate hears of it only when it can run (`flights`). So
// other leases lose nothing by it, however many there are.
//
// What each costs does not grow with their number. In a queue without an order, a marker or barrier
// without a list waits for all before it, but the one before it did so too: it waits for that one
// and what came since.
//
// A command with a failed event in its wait-list ends at once with some drivers, and with others
// when the rest of the list has. So after a failure it is looked which have ended (free_ended).
//
// Refused: keeping every unfinished message instead of following who waits for whom. A program that
// enqueues a thousand kernels would pay for each, for the sake of the few that use user events.
//
// The session's lock is held in every function.
#pragma once

#include <CL/cl.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include "opencl/worker/early_failures.h"
#include "opencl/worker/flight.h"
#include "opencl/worker/object_table.h"
#include "opencl/worker/pinned_bulk.h"

namespace tessera::worker {

// One blocked command.
struct Blocked {
  Record message;  // without its bulk
  std::shared_ptr<PinnedBulk::Payload> payload;
  std::shared_ptr<QueueEntry> queue;
  std::shared_ptr<EventEntry> event;           // of the command; null where the client has none
  std::weak_ptr<Completion> completion;        // of the command, where there is one
  std::vector<std::shared_ptr<Entry>> waits;   // the events of its wait-list
  std::vector<Retained<cl_event>> also_waits;  // what the session put into its wait-list besides
  // Blocked commands that it was enqueued behind, in its queue or by its wait-list.
  std::vector<std::shared_ptr<Retained<cl_event>>> behind;
  std::vector<std::shared_ptr<Entry>> uses;  // memory and other objects, also as arguments
  std::shared_ptr<KernelEntry> kernel;
  std::vector<KernelEntry::Argument> arguments;  // of the kernel, when it was enqueued
  std::shared_ptr<Retained<cl_event>> handle;
  // For the gate of the queue's device, when it can run; empty where it need not know. The
  // references are that of `handle`, or those of its parts.
  std::vector<Flight> flights;
  std::vector<std::shared_ptr<Retained<cl_event>>> parts;
  bool barrier = false;
  bool waits_for_all = false;  // a marker or a barrier without a wait-list
  std::uint64_t number = 0;    // in the order of all blocked commands of the session
  std::size_t causes = 0;      // unset user events and blocked commands that it waits for
  std::vector<std::weak_ptr<Blocked>> dependents;
  std::size_t counted = 0;  // bytes, as ObjectTable::recount was told
};

class BlockedCommands {
 public:
  // What a command on `queue` would wait for that cannot end by itself.
  struct Causes {
    std::vector<std::shared_ptr<EventEntry>> user_events;
    std::vector<std::shared_ptr<Blocked>> commands;
    bool any() const { return !user_events.empty() || !commands.empty(); }
  };
  // `waits_for_all`: as Blocked::waits_for_all.
  Causes causes(const QueueEntry& queue, std::span<const std::shared_ptr<Entry>> waits,
                bool waits_for_all) const;

  // A command will be enqueued on `queue` that is blocked; marks how far the queue can run.
  void prepare(QueueEntry& queue);
  // The driver did not take it after all.
  void cancel(const QueueEntry& queue);
  // It was enqueued. A record that did not fit the session's limit is missing in `command`.
  void add(std::shared_ptr<Blocked> command, const Causes& causes);
  // A command that can run was enqueued on `queue`.
  void add_runnable(const QueueEntry& queue, cl_event event);
  using Commands = std::vector<std::shared_ptr<Blocked>>;
  // The client sets `event`, to whatever status: nothing waits for it any more. Returns the
  // commands that can run now, in the order in which they were enqueued; `others` gets those that
  // wait for something else as well.
  Commands set(EventEntry& event, Commands& others);
  // What is no user event and not blocked, and a command waits for that waits for `event` too,
  // itself or by others that it waits for; whether it has ended or not.
  std::vector<Retained<cl_event>> awaited_beside(const EventEntry& event) const;
  // The event was set to an error. Keeps what the driver may still need of those of `others` that
  // have ended with it. Returns them, and what can run now because they have.
  Commands free_ended(Commands others);

  bool any() const { return !commands_.empty(); }
  // How many of the queue's unfinished commands cannot run.
  std::size_t count(const QueueEntry& queue) const;
  // Whose queues have any.
  std::set<std::uint32_t> gpus() const;
  // In the order in which they were enqueued.
  const std::map<std::uint64_t, std::shared_ptr<Blocked>>& all() const { return commands_; }
  // What the driver has of the queues with blocked commands and can run.
  std::vector<Retained<cl_event>> runnable() const;
  // A blocked command could not be kept: the session cannot be suspended until none is blocked.
  bool incomplete() const { return incomplete_ && any(); }

 private:
  // A queue with blocked commands.
  struct HeldBack {
    std::vector<Retained<cl_event>> runnable;
    std::size_t prune_at = 256;
    std::weak_ptr<Blocked> last;
    // In a queue without an order.
    std::weak_ptr<Blocked> last_barrier;
    std::weak_ptr<Blocked> last_for_all;
    std::map<std::uint64_t, std::weak_ptr<Blocked>> since_for_all;  // by their numbers
    std::size_t blocked = 0;
  };

  Commands free(Commands ready, Commands& others);
  void keep_if_early(const Blocked& command);
  void release(Blocked& command);
  void gather_since_all();

  std::map<std::uint64_t, std::shared_ptr<Blocked>> commands_;
  std::unordered_map<const QueueEntry*, HeldBack> queues_;
  EarlyFailures early_failures_;
  std::uint64_t next_ = 0;
  bool incomplete_ = false;
};

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
//
// Ends are told in an order from which a program may draw conclusions: when it hears that a command
// is complete, the bytes of every read, the text of every kernel and the end of every event that
// the command waited for have been sent before.
//
// Nobody keeps a graph for that. Commands get numbers as they are enqueued, and a command waits for
// earlier ones only. Who is about to tell an end looks at all the unfinished commands before it,
// the latest first: what the command waited for has ended by then and is found, and what that one
// waited for is earlier still, is looked at later, and is found as well. All that was found goes at
// once, the bytes first, each kind in the order of its numbers. Two threads that look at the same
// time find two such sets, and one is sent after the other. Commands that wait for what the client
// has not set are left out until they may end: there may be very many, and for long.
//
// Refused: the graph in the client (every command pays for it, and a program that never asks lets
// it grow), and telling each end by a callback of its own (it costs the device's thread more than
// the launch of a small kernel, and the order of callbacks is the driver's).
//
// The driver is never called with a lock held: it may call back from inside.
#pragma once

#include <CL/cl.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "opencl/worker/answer.h"
#include "opencl/worker/landing.h"
#include "opencl/worker/object_table.h"
#include "opencl/worker/retained.h"

namespace tessera::worker {

class Output;

// A command whose end the client is to hear of.
struct Completion {
  Completion(cl_event handle, bool is_read) : handle(handle), is_read(is_read) {}
  // CL_QUEUED .. CL_COMPLETE, or an error.
  cl_int status() const;

  const Retained<cl_event> handle;
  const bool is_read;
  std::uint64_t number = 0;  // given once, before anybody else knows of it
  // How it ended, where the driver has said so already: some say it before its event shows it.
  std::atomic<cl_int> end{CL_QUEUED};
  // The rest is of Completions, under its locks.
  std::shared_ptr<EventEntry> event;  // null where the client has no event, or no more
  std::unique_ptr<Landing> landing;   // of a read
  std::uint64_t ticket = 0;           // of a read
  bool waited = false;                // of a read
  bool told = false;
};

// Any thread.
class Completions {
 public:
  static constexpr std::uint64_t kAll = ~std::uint64_t{0};

  Completions(Answers& answers, Output& output) : answers_(answers), output_(output) {}

  // A command was enqueued. `event`: the client's, or null. `blocked`: it does not end before
  // unblock(), and costs those that do nothing.
  std::shared_ptr<Completion> add(cl_event handle, std::shared_ptr<EventEntry> event, bool blocked);
  // The same for a read; `landing` is being filled. `waited`: the client waits for the bytes, and
  // so they go behind the ends of what the read waited for.
  std::shared_ptr<Completion> add_read(cl_event handle, std::shared_ptr<EventEntry> event,
                                       std::uint64_t ticket, std::unique_ptr<Landing> landing,
                                       bool waited, bool blocked);
  // The command may end from here on.
  void unblock(const Completion& completion);
  // The client has released the event.
  void forget(EventEntry& event);
  // Nothing of what is unfinished now is told any more.
  void forget_all();

  // Behind all that was enqueued so far.
  std::uint64_t position() const { return next_.load(std::memory_order_relaxed); }
  // Sends what has ended of all that was enqueued before `position`, and what kernels printed. To
  // be called when something before `position` is known to have ended, before the client hears of
  // it.
  // What it returns may be the last of objects of the driver, which a callback must not give back.
  using Held = std::vector<std::shared_ptr<void>>;
  Held tell(std::uint64_t position = kAll) { return tell_before(position); }
  // `completion` has ended, as the driver says in a callback: tells it, and all before it.
  Held tell_end(const std::shared_ptr<Completion>& completion, cl_int status);
  // The same for all before `completion`, which has begun to run.
  Held tell_begin(const Completion& completion);

 private:
  struct Found;
  using List = std::vector<Found>;
  std::shared_ptr<Completion> insert(std::shared_ptr<Completion> completion,
                                     std::shared_ptr<EventEntry> event, bool blocked);
  // Those before `position` that may have ended, the latest first.
  List before(std::uint64_t position);
  Held tell_before(std::uint64_t position);
  void send(const List& ended);
  void send_read(Completion& read);
  void send_events(const List& ended);
  void send_complete(std::vector<Id>& ids);
  void remove(const List& told);
  void take(const Completion& completion);

  Answers& answers_;
  Output& output_;
  std::atomic<std::uint64_t> next_{1};
  std::atomic<std::size_t> live_{0};
  std::mutex sending_;  // outside of lock_
  std::mutex lock_;
  struct Listed {
    std::uint64_t number;
    std::shared_ptr<Completion> completion;
    bool blocked;
  };
  std::vector<Listed>::iterator at(const Completion& completion);
  // By their numbers; null for those that are gone, of which there are no more than half.
  std::vector<Listed> list_;
};

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
//
// Commands that failed before all that they waited for had ended.
//
// A command may wait for a user event, which fails, and for another one that the program sets
// later. PoCL fails the command at once and forgets it, but the other event still has it on its
// list, and looks into it when it ends: by then the client may have given the last reference back.
// So the reference is kept here until the rest of the wait-list has ended.
//
// A driver tells those who wait only when the end of an event can be seen already, and no call says
// that it has. Hence a second on top, which costs nothing but the memory of an event.
#pragma once

#include <CL/cl.h>

#include <chrono>
#include <memory>
#include <vector>

#include "opencl/worker/retained.h"

namespace tessera::worker {

// The session's lock is held.
class EarlyFailures {
 public:
  using Clock = std::chrono::steady_clock;

  using Commands = std::vector<std::shared_ptr<Retained<cl_event>>>;

  // Keeps `commands` until a second after the last of `awaited` was seen to have ended.
  void keep(Commands commands, std::vector<Retained<cl_event>> awaited);
  void prune(Clock::time_point now = Clock::now());
  std::size_t size() const { return kept_.size(); }

 private:
  struct Kept {
    Commands commands;
    std::vector<Retained<cl_event>> awaited;  // what has not ended
    Clock::time_point ended;                  // when all had, as far as was seen
  };
  std::vector<Kept> kept_;
};

}  // namespace tessera::worker

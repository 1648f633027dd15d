// SPDX-License-Identifier: Apache-2.0
//
// Commands that the program takes for complete although they may still run.
//
// A blocking write is complete when the call returns. Where nothing but the order of later commands
// could show that it is not, the client does not wait for it (see docs/design/0002-waiting.md).
// That order is kept here: every later command of the context waits for it, whatever its queue.
#pragma once

#include <CL/cl.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "opencl/worker/retained.h"

namespace tessera::worker {

// The session's lock is held.
class Fences {
 public:
  // A command on the queue with this id. In order, a later one of a queue stands for an earlier
  // one.
  void add(cl_event event, std::uint64_t queue, bool in_order);
  // What a command on the queue with this id has to wait for.
  std::vector<Retained<cl_event>> before(std::uint64_t queue);
  // The first, if there are so many that each command would wait for a long list; else null.
  cl_event too_many() const {
    return fences_.size() > kMost ? fences_.front().event.get() : nullptr;
  }

 private:
  static constexpr std::size_t kMost = 16;
  struct Fence {
    Retained<cl_event> event;
    std::uint64_t queue;
    bool in_order;
  };
  void prune();
  std::vector<Fence> fences_;
};

}  // namespace tessera::worker

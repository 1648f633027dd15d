// SPDX-License-Identifier: Apache-2.0
//
// The callbacks that drivers were asked for and have not made.
//
// A driver is given a number and no pointer. Some never call back for an event that failed, and
// nothing tells that a call will not come any more: behind a pointer, memory would have to be kept
// for ever, or a late call would find it gone. So whoever takes a call out makes it: the driver's
// thread, or a thread of ours that sees the event's end first. What comes later finds nothing.
//
// Refused: waiting for each call. A suspend waited ten seconds for calls that never came.
#pragma once

#include <CL/cl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/id_table.h"

namespace tessera::worker {

class Callbacks;

// Of the process, as a driver may call at any time. Any thread; no driver is called.
class OwedCalls {
 public:
  using Held = std::vector<std::shared_ptr<void>>;
  struct Call {
    Callbacks* owner;
    cl_event event;
    Held keeps;  // the event, at least
    // Returns what only a thread of ours may let go of.
    std::function<Held(cl_int status)> make;
    std::uint64_t number = 0;
  };
  struct Seen {
    void* number;
    cl_event event;
    Held keeps;
  };

  static OwedCalls& of_this_process();

  // Its number, which is never given again.
  void* add(Call call);
  // Empty when somebody else has taken it.
  std::unique_ptr<Call> take(void* number);
  std::vector<Seen> of(const Callbacks* owner) const;

 private:
  mutable std::mutex mutex_;
  IdTable<std::unique_ptr<Call>> calls_;
  std::uint64_t last_ = 0;
};

}  // namespace tessera::worker

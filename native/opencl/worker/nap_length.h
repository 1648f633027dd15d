// SPDX-License-Identifier: Apache-2.0
//
// How long the receiver naps before it sleeps (Wait::nap).
//
// While the device works, the end of a nap takes a core from a thread that computes, where the
// device computes on the host's cores, and the other threads of its kernel wait for that one: two
// thousand naps a second cost a training step 1 %. A nap that outlasts what the device has to do
// leaves it idle, which costs more. So naps grow while the device always had more than a nap's
// work, and are short again as soon as it had not. One long nap was refused: programs that post one
// kernel at a time would wait for its end.
#pragma once

#include <algorithm>
#include <chrono>

#include "transport/channel.h"

namespace tessera::worker {

class NapLength {
 public:
  static constexpr std::chrono::nanoseconds kLongest = std::chrono::milliseconds(4);
  // While the device is idle. Who posts message after message is not stopped by a wake for each,
  // and a launch with the wait for it is one wake; a launch alone starts that much later at most.
  static constexpr std::chrono::nanoseconds kIdle = std::chrono::microseconds(100);

  // Of the nap that begins now; `worked_through`: what the device had to do when the last one began
  // has not ended yet.
  std::chrono::nanoseconds next(bool worked_through) {
    length_ = worked_through ? std::min(2 * length_, kLongest) : kShortNap;
    return length_;
  }

 private:
  std::chrono::nanoseconds length_ = kShortNap;
};

}  // namespace tessera::worker

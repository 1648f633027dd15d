// SPDX-License-Identifier: Apache-2.0
//
// How long the receiver naps while the device works (Wait::nap).
//
// The end of a nap takes a core from a thread that computes, where the device computes on the
// host's cores, and the other threads of its kernel wait for that one: two thousand naps a second
// cost a training step 1 %. A nap that outlasts what the device has to do leaves it idle, which
// costs more. So naps grow while the device always had more than a nap's work, and are short again
// as soon as it had not. One long nap was refused: programs that post one kernel at a time would
// wait for its end.
#pragma once

#include <algorithm>
#include <chrono>

#include "transport/channel.h"

namespace tessera::worker {

class NapLength {
 public:
  static constexpr std::chrono::nanoseconds kLongest = std::chrono::milliseconds(4);

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

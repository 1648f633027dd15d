// SPDX-License-Identifier: Apache-2.0
//
// Whether to burn the core for a moment before sleeping.
//
// Waking a sleeping process costs tens of microseconds, looking at a word a few nanoseconds. So a
// short wait should spin and a long one should not, and the best guess at the next wait is the
// recent ones: an exponentially weighted average. A sample is cut at kLongest, so that one long
// pause (the user thinks) does not outlaw spinning for the next thousand calls. A fixed spin time
// was refused: it is paid in full before every long wait, by a core that the embedded device
// computes on.
#pragma once

#include <sched.h>

#include <algorithm>
#include <cstdint>

namespace tessera {

class AdaptiveSpin {
 public:
  AdaptiveSpin() {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    several_cores_ = ::sched_getaffinity(0, sizeof cores, &cores) == 0 && CPU_COUNT(&cores) > 1;
  }

  // Longest time to spin in nanoseconds; 0 = sleep at once.
  std::int64_t budget_ns() const {
    return several_cores_ && average_ns_ < kWorthwhile ? kBudget : 0;
  }
  void record(std::int64_t waited_ns) {
    average_ns_ += (std::min(waited_ns, kLongest) - average_ns_) / 8;
  }

 private:
  static constexpr std::int64_t kBudget = 60'000;
  static constexpr std::int64_t kWorthwhile = 120'000;  // about two wakes of a sleeper
  static constexpr std::int64_t kLongest = 1'000'000;
  bool several_cores_ = false;
  std::int64_t average_ns_ = 0;
};

}  // namespace tessera

// SPDX-License-Identifier: Apache-2.0
//
// Whether to burn the core for a moment before sleeping.
//
// Waking a sleeping process costs tens of microseconds, looking at a word a few nanoseconds. So a
// short wait should spin and a long one should not. What decides is whether spinning has worked: a
// spin that ended without what it waited for lets the next wait pass without one, and each further
// one in a row twice as many. So a pause (the user thinks) costs one spin, and where spinning never
// works it is tried once in some hundred waits.
//
// Refused: deciding by how long recent waits were. On a core that both sides share, the one that
// spins keeps the other from doing what it waits for. The wait then ends shortly after the spin
// has, so it seems short enough to spin for, again and again.
//
// Refused too: sched_yield() while spinning. It lets only threads of the own scheduling group run,
// and the other side is in another one as a rule.
#pragma once

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace tessera {

class AdaptiveSpin {
 public:
  AdaptiveSpin() {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    several_cores_ = ::sched_getaffinity(0, sizeof cores, &cores) == 0 && CPU_COUNT(&cores) > 1;
  }

  // Whether a wait that begins now should spin. Each call counts as a wait. Any thread.
  bool is_due() {
    const std::uint32_t left = to_pass_.load(std::memory_order_relaxed);
    if (left != 0) to_pass_.store(left - 1, std::memory_order_relaxed);
    return several_cores_ && left == 0;
  }
  // A wait has spun for at most kBudgetNs; `found`: what it waited for came meanwhile.
  void record(bool found) {
    in_vain_ = found ? 0 : std::min(2 * in_vain_ + 1, kMostPassed);
    to_pass_.store(in_vain_, std::memory_order_relaxed);
  }

  static constexpr std::int64_t kBudgetNs = 50'000;

 private:
  static constexpr std::uint32_t kMostPassed = 255;
  bool several_cores_ = false;
  std::uint32_t in_vain_ = 0;  // how many waits the last spin lets pass
  std::atomic<std::uint32_t> to_pass_{0};
};

}  // namespace tessera

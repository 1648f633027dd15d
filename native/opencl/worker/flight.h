// SPDX-License-Identifier: Apache-2.0
//
// Commands under way on a device, and what they cost.
#pragma once

#include <CL/cl.h>

#include <atomic>
#include <cstdint>
#include <memory>

namespace tessera::worker {

// What a unit of some kind of command costs, learnt from commands that ended: a kernel's work-item,
// or a whole command where nothing better is known. Any thread.
class Cost {
 public:
  // Nanoseconds; 0 while nothing is known.
  std::uint64_t estimate(std::uint64_t units) const {
    return static_cast<std::uint64_t>(per_unit_.load(std::memory_order_relaxed) *
                                      static_cast<double>(units));
  }
  void learn(std::uint64_t units, std::uint64_t ns) {
    const double now = static_cast<double>(ns) / static_cast<double>(units == 0 ? 1 : units);
    const double before = per_unit_.load(std::memory_order_relaxed);
    per_unit_.store(before == 0 ? now : before + (now - before) / 4, std::memory_order_relaxed);
  }

 private:
  std::atomic<double> per_unit_{0};
};

// One command, from the driver's acceptance to its end.
struct Flight {
  cl_event event = nullptr;  // one reference, of the list that it is in
  std::shared_ptr<Cost> cost;
  std::uint64_t units = 1;
  std::uint64_t estimate_ns = 0;
};

}  // namespace tessera::worker

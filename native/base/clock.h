// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace tessera {

using Nanoseconds = std::chrono::nanoseconds;

// CLOCK_MONOTONIC, in nanoseconds.
inline std::int64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

// A point in time that waiting must not pass. A wait "for ever" becomes a year, so that nothing
// overflows.
class Deadline {
 public:
  explicit Deadline(Nanoseconds from_now)
      : at_(monotonic_ns() + std::clamp<std::int64_t>(from_now.count(), 0, kYear)) {}

  bool passed() const { return monotonic_ns() >= at_; }
  // What is left, at most `slice`, never negative.
  std::int64_t left_ns(std::int64_t slice = kYear) const {
    return std::clamp<std::int64_t>(at_ - monotonic_ns(), 0, slice);
  }

 private:
  static constexpr std::int64_t kYear = 365LL * 24 * 3600 * 1'000'000'000;
  std::int64_t at_;
};

inline timespec to_timespec(std::int64_t ns) {
  return {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}

}  // namespace tessera

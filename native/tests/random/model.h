// SPDX-License-Identifier: Apache-2.0
//
// What the standard says a program shows: every byte, every status that is certain, every line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/random/order.h"
#include "tests/random/program.h"

namespace tessera::random {

using Bytes = std::vector<std::uint8_t>;

inline constexpr std::size_t kLineBytes = 9;  // of a kernel's printf: eight digits and the end

// What holds at one moment: when a step has returned, or while a callback runs.
struct Moment {
  std::vector<int> complete;  // steps whose events must look complete
  std::vector<int> waiting;   // steps that cannot have begun
  std::size_t lines_least = 0, lines_most = 0;
};

struct Expected {
  std::vector<Bytes> seen;      // of a host_check or touch: what it finds
  std::vector<Moment> moment;   // of each step
  std::vector<Bytes> contents;  // of each object, at the end
  std::vector<std::string> lines;
};

Bytes first_contents(const Plan& plan, int object);
Expected expected_of(const Plan& plan, const Order& order);

// Steps after which the program knows that something is complete.
bool is_observing(const Step& step);

}  // namespace tessera::random

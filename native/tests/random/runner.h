// SPDX-License-Identifier: Apache-2.0
//
// Runs programs in a process of their own, many in a row, and goes on where one ends or hangs it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tests/random/program.h"

namespace tessera::random {

struct Failure {
  // "wrong": something is not as expected; "failed call", "hang", "death": the process ended there.
  std::string kind;
  std::string text;
};

// Of which sort a failure is, so that a reduced program still shows the same.
std::string sort_of(const Failure& failure);

// The n-th program.
using Source = std::function<Plan(std::uint64_t)>;
// Told of each program in turn; says whether to go on.
using Listener = std::function<bool(std::uint64_t, const std::optional<Failure>&)>;

// `patience`: after so many seconds a program hangs.
void run_programs(std::uint64_t count, const Source& source, int patience,
                  const Listener& listener);

}  // namespace tessera::random

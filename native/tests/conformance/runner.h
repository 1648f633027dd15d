// SPDX-License-Identifier: Apache-2.0
//
// How the cases are run: a supervisor that never loads a driver, and children that do.
//
// A driver under test may crash, abort, hang or leave threads behind. So the supervisor starts this
// very binary again for a stretch of cases and reads one record per case from a pipe; a child that
// dies or stands still loses only the case it was at, and the next child goes on behind it. Running
// each case in a child of its own was refused: opening a driver a thousand times costs minutes.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tests/conformance/harness.h"

namespace tessera::conformance {

enum class Outcome { ok, fail, skip };

struct Result {
  std::string name;
  Outcome outcome;
  std::string detail;
};

struct RunOptions {
  std::string self;         // this binary
  std::string filter;       // the children apply the same one
  bool deviations = false;  // also run what the bare device is known to get wrong
  int seconds_per_case = 60;
};

// In the child: runs `order` from `first` on, up to (not including) the next isolated case unless
// that is the first, and writes records to `report_fd`.
int run_child(const std::vector<const Case*>& order, std::size_t first, int report_fd,
              bool deviations);

// In the supervisor: calls `report` for each case as its result is known.
void supervise(const std::vector<const Case*>& order, const RunOptions& options,
               const std::function<void(const Result&)>& report);

}  // namespace tessera::conformance

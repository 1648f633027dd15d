// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include "arbiter/arbiter.h"
#include "arbiter/board.h"

namespace tessera::arbiter {

class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Options {
  std::string board;
  std::string gpu;
  PolicyKind policy = PolicyKind::equal;
  std::uint32_t slice_us = 0;  // 0: the default for the number of leases
  Timing timing;
  int ready_fd = -1;
};

extern const char kUsage[];

// Nothing when --print-board-layout was asked for. Throws UsageError.
std::optional<Options> parse_options(int argc, char** argv);

}  // namespace tessera::arbiter

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "arbiter/board.h"

namespace tessera::gatekeeper {

class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Gpu {
  std::string argument;  // P:D:BYTES, handed on to the worker as it is
  std::uint64_t bytes;
  std::string board;                       // path of the GPU's board, or empty
  std::uint32_t share_ppm = kWholeDevice;  // of its time, for `fixed`
};

struct Options {
  std::string lease;
  std::string listen;      // path of the unix socket
  std::string listen_tcp;  // HOST:PORT, or empty
  std::string token_file;
  std::string quota;
  std::string control;  // path of the socket for the daemon's commands
  std::string worker;
  std::vector<Gpu> gpus;
  std::uint32_t weight = kDefaultWeight;
  int after_fd = -1;  // the boards are there when this pipe ends
  int ready_fd = -1;
};

extern const char kUsage[];

// P:D:BYTES, without a board. Throws UsageError.
Gpu parse_gpu(const std::string& text);

// Nothing when --print-quota-layout was asked for. Throws UsageError.
std::optional<Options> parse_options(int argc, char** argv);

}  // namespace tessera::gatekeeper

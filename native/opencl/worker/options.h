// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace tessera::worker {

class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One --gpu P:D:BYTES: indexes of the OpenCL platform and of its device. The bytes are the
// gatekeeper's business: the limit that counts stands in the quota page and may have changed since.
struct GpuOption {
  std::uint32_t platform;
  std::uint32_t device;
};

// One --board K:FD:TENANT: the board of the K-th --gpu, and the lease's place on it.
struct BoardOption {
  std::size_t gpu;
  int fd;
  std::size_t tenant;
};

struct Options {
  int fd = -1;          // the accepted socket
  int quota_fd = -1;    // the lease's page
  int control_fd = -1;  // the gatekeeper's requests (control.h)
  int token_fd = -1;    // TCP: the secret that the client must show
  std::size_t slot = 0;
  std::vector<GpuOption> gpus;
  std::vector<BoardOption> boards;
};

extern const char kUsage[];

// P:D:BYTES. Throws UsageError.
GpuOption parse_gpu(std::string_view text);

// Throws UsageError.
Options parse_options(int argc, char** argv);

}  // namespace tessera::worker

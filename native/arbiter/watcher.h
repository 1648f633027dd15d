// SPDX-License-Identifier: Apache-2.0
//
// Notices the death of a lease's gatekeeper, which then cannot give the lease's place back itself.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>

#include "arbiter/board.h"
#include "base/unique_fd.h"

namespace tessera::arbiter {

class Watcher {
 public:
  // Throws std::system_error.
  explicit Watcher(BoardPage& board);
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // Watches tenants that have come since, forgets those that have gone.
  void follow();

 private:
  struct Watched {
    std::int32_t pid = 0;
    std::uint64_t since_ns = 0;
    UniqueFd pidfd;
  };

  void run();
  void gone(std::size_t tenant);

  BoardPage& board_;
  UniqueFd events_;
  UniqueFd stop_;
  std::array<Watched, kMaxTenants> watched_;  // of the thread that calls follow()
  std::thread thread_;
};

}  // namespace tessera::arbiter

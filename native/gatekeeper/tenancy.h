// SPDX-License-Identifier: Apache-2.0
//
// The lease's places on the boards of its GPUs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "arbiter/board.h"
#include "gatekeeper/options.h"

namespace tessera::gatekeeper {

class Tenancy {
 public:
  // Makes the lease a tenant of each of its GPUs that has a board. Throws std::system_error or
  // std::runtime_error; then it is a tenant of none.
  explicit Tenancy(const Options& options);
  ~Tenancy();
  Tenancy(const Tenancy&) = delete;
  Tenancy& operator=(const Tenancy&) = delete;

  struct PlaceOn {
    int board_fd;
    std::size_t tenant;
  };
  // The lease's place on the board of its GPU number `gpu`; empty where that has none.
  std::optional<PlaceOn> place_on(std::size_t gpu) const;
  // In a forked child: the descriptors live on over exec, and these arguments name them.
  std::vector<std::string> for_worker() const;
  // A worker ended.
  void free_seats_of(std::int32_t worker_pid);

 private:
  void leave();
  struct Place {
    std::size_t gpu;  // index within the lease
    BoardPage board;
    std::size_t tenant;
  };
  std::vector<Place> places_;
};

}  // namespace tessera::gatekeeper

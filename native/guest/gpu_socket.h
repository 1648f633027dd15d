// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <list>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "guest/lane.h"

namespace tessera::guest {

// The endpoint of the lease as programs in the guest see it: a unix socket, whose every connection
// takes a GPU port of its own for as long as it lasts.
class GpuSocket {
 public:
  // Throws std::system_error.
  explicit GpuSocket(const std::string& path);

  void add_port(int port, Slots slots) { lanes_.emplace_back(port, Lane::Connect(), slots); }
  // The poll loop waits for what watch() appends and hands the same entries to serve().
  std::size_t entries() const { return 1 + lanes_.size() * Lane::kEntries; }
  void watch(std::vector<pollfd>& entries) const;
  void serve(std::span<const pollfd> entries);

 private:
  void admit();

  UniqueFd listener_;
  std::list<Lane> lanes_;
};

}  // namespace tessera::guest

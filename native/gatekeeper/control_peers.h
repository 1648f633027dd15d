// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "gatekeeper/control.h"

namespace tessera::gatekeeper {

// One connection to the control socket: it asks, waits for its answer, and is told it.
struct ControlPeer {
  enum class Stage { asks, waits, is_told };
  std::uint64_t number;
  UniqueFd fd;
  Deadline deadline;  // of the stages in which it is the peer's turn
  Stage stage = Stage::asks;
  std::string line{};  // what has come of the request, then what is left to send of the answer
};

// Those who are connected. Answers refer to it weakly, so that one given after the end of the
// control socket goes nowhere.
class ControlPeers {
 public:
  explicit ControlPeers(std::chrono::milliseconds patience) : patience_(patience) {}

  void add(UniqueFd fd) { peers_.push_back({++last_, std::move(fd), Deadline(patience_)}); }
  bool full() const { return peers_.size() >= kMaxControlPeers; }
  const std::vector<ControlPeer>& all() const { return peers_; }

  ControlPeer* find(std::uint64_t number) {
    const auto at = std::ranges::find(peers_, number, &ControlPeer::number);
    return at == peers_.end() ? nullptr : &*at;
  }
  void drop(std::uint64_t number) {
    std::erase_if(peers_, [&](const ControlPeer& peer) { return peer.number == number; });
  }
  void drop_late() {
    std::erase_if(peers_, [](const ControlPeer& peer) {
      return peer.stage != ControlPeer::Stage::waits && peer.deadline.passed();
    });
  }
  void answer(std::uint64_t number, std::string line) {
    ControlPeer* peer = find(number);
    if (peer == nullptr) return;
    peer->stage = ControlPeer::Stage::is_told;
    peer->line = std::move(line);
    peer->deadline = Deadline(patience_);
  }

 private:
  const std::chrono::milliseconds patience_;
  std::vector<ControlPeer> peers_;
  std::uint64_t last_ = 0;
};

}  // namespace tessera::gatekeeper

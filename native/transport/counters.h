// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "transport/channel.h"

namespace tessera {

// The totals behind ChannelCounters. Over shared memory a wake is a futex wake, over a stream a
// write to the socket; a sleep is a wait in the kernel.
class LiveCounters {
 public:
  void sent(std::size_t bytes) {
    add(messages_sent_, 1);
    add(bytes_sent_, bytes);
  }
  void received(std::size_t bytes) {
    add(messages_received_, 1);
    add(bytes_received_, bytes);
  }
  void woke() { add(wakes_, 1); }
  void slept() { add(sleeps_, 1); }
  ChannelCounters read() const {
    return {messages_sent_.load(kLoose), messages_received_.load(kLoose),
            bytes_sent_.load(kLoose),    bytes_received_.load(kLoose),
            wakes_.load(kLoose),         sleeps_.load(kLoose)};
  }

 private:
  using Total = std::atomic<std::uint64_t>;
  static constexpr auto kLoose = std::memory_order_relaxed;
  static void add(Total& total, std::uint64_t amount) { total.fetch_add(amount, kLoose); }
  Total messages_sent_{0}, messages_received_{0}, bytes_sent_{0}, bytes_received_{0}, wakes_{0},
      sleeps_{0};
};

// How long one wait for room lasts: first short, so that on_stall() soon runs again, then longer.
class StallPause {
 public:
  std::int64_t next_ns() {
    const std::int64_t now = pause_;
    pause_ = pause_ < 8'000'000 ? pause_ * 2 : pause_;
    return now;
  }

 private:
  std::int64_t pause_ = 1'000'000;
};

}  // namespace tessera

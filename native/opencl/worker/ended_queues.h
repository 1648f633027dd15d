// SPDX-License-Identifier: Apache-2.0
//
// What the driver's threads have found ended, for the thread that receives: a callback must neither
// take the session's lock nor give back what is the driver's.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "opencl/worker/object_table.h"

namespace tessera::worker {

class EndedQueues {
 public:
  // All commands of the queue up to this number.
  struct Ended {
    std::weak_ptr<QueueEntry> queue;
    std::uint64_t number;
  };

  // Any thread.
  void add(Ended ended) {
    const std::lock_guard lock(mutex_);
    ended_.push_back(std::move(ended));
    any_.store(true, std::memory_order_release);
  }
  bool any() const { return any_.load(std::memory_order_acquire); }
  std::vector<Ended> take() {
    const std::lock_guard lock(mutex_);
    any_.store(false, std::memory_order_relaxed);
    return std::exchange(ended_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<Ended> ended_;
  std::atomic<bool> any_{false};
};

}  // namespace tessera::worker

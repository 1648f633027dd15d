// SPDX-License-Identifier: Apache-2.0
//
// Threads of the program that wait while another one receives for them.
//
// Each has a word of its own to sleep on, so that a message wakes whom it concerns and nobody else.
// One condition variable for all was refused: each message woke all that waited, and each of them
// took a core from a device that computes on the same ones.
//
// A mutex of the owner protects everything; those that are to wake are woken after it was given
// back, because a thread that wakes on the core of the one that wakes it would run into the lock.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "base/futex.h"

namespace tessera::client {

// Refers to a callable for the length of a call, without owning or allocating.
class Condition {
 public:
  template <class Callable>
  Condition(const Callable& callable)  // NOLINT: meant to convert
      : object_(&callable),
        call_([](const void* at) -> bool { return (*static_cast<const Callable*>(at))(); }) {}
  bool operator()() const { return call_(object_); }

 private:
  const void* object_;
  bool (*call_)(const void*);
};

class Followers {
 public:
  using Lock = std::unique_lock<std::mutex>;
  using Clock = std::chrono::steady_clock;

  bool none() const { return all_.empty(); }

  // Sleeps until it is woken, or the deadline.
  void wait(Lock& lock, Condition done, Clock::time_point deadline) {
    Follower self(done);
    all_.push_back(&self);
    lock.unlock();
    while (self.woken.load(std::memory_order_acquire) == 0) {
      const std::int64_t left = left_ns(deadline);
      if (left <= 0) break;
      futex_wait(self.woken, 0, left);
    }
    lock.lock();
    std::erase(all_, &self);
  }

  // Those that have got what they wait for. Gives the lock back.
  void wake_done(Lock lock) {
    wake(std::move(lock), [](const Follower& each) { return each.done(); });
  }
  // Those, and the first of the others, who is to receive. Gives the lock back.
  void wake_done_and_next(Lock lock) {
    bool found = false;
    wake(std::move(lock), [&](const Follower& each) {
      const bool next = !found && !each.done();
      found = found || next;
      return next || each.done();
    });
  }
  void wake_all(Lock lock) {
    wake(std::move(lock), [](const Follower&) { return true; });
  }

 private:
  struct Follower {
    explicit Follower(Condition done) : done(done) {}
    Condition done;
    std::atomic<std::uint32_t> woken{0};
  };
  static constexpr std::size_t kAtOnce = 16;
  static constexpr std::chrono::hours kLongest{1};

  static std::int64_t left_ns(Clock::time_point deadline) {
    if (deadline == Clock::time_point::max()) return std::chrono::nanoseconds(kLongest).count();
    return std::chrono::nanoseconds(deadline - Clock::now()).count();
  }

  template <class Whom>
  void wake(Lock lock, Whom whom) {
    // A follower may be gone when its word is woken; then nobody sleeps there, or somebody looks
    // once in vain.
    std::array<std::atomic<std::uint32_t>*, kAtOnce> words;
    std::size_t count = 0;
    for (Follower* each : all_) {
      if (each->woken.load(std::memory_order_relaxed) != 0 || !whom(*each)) continue;
      each->woken.store(1, std::memory_order_release);
      if (count == kAtOnce) {
        futex_wake_all(each->woken);
      } else {
        words[count++] = &each->woken;
      }
    }
    lock.unlock();
    for (std::size_t i = 0; i < count; ++i) futex_wake_all(*words[i]);
  }

  std::vector<Follower*> all_;
};

}  // namespace tessera::client

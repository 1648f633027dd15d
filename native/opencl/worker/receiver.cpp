// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/receiver.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <system_error>

#include "base/clock.h"
#include "base/scheduling.h"

namespace tessera::worker {
namespace {

using std::chrono::steady_clock;

// A receive() that nothing ends earlier; only a reason to look whether the session is over.
constexpr std::chrono::hours kLong{1};

// A thread serves one session at a time.
thread_local bool holds_token = false;

}  // namespace

Receiver::Receiver(Channel& channel, Hooks hooks)
    : channel_(channel),
      hooks_(std::move(hooks)),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)) {
  if (!timer_) throw std::system_error(errno, std::generic_category(), "timerfd_create");
}

Receiver::~Receiver() {
  for (auto& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void Receiver::run() {
  loop();
  // Threads start threads, so the list may still grow while the first ones are joined.
  for (std::size_t i = 0;; ++i) {
    std::thread next;
    {
      const std::lock_guard lock(mutex_);
      if (i == threads_.size()) return;
      next = std::move(threads_[i]);
    }
    next.join();
  }
}

void Receiver::loop() {
  while (!ended_.load()) {
    if (!holds_token && !try_take()) {
      stand_by();
      continue;
    }
    try {
      receive_while_holding();
    } catch (const ChannelClosed&) {
      end("");
    } catch (const std::exception& error) {
      end(error.what());
    }
  }
  holds_token = false;
}

void Receiver::receive_while_holding() {
  Incoming incoming;
  while (holds_token && !ended_.load()) {
    const bool device_idle = hooks_.may_spin();
    const Wait wait{.timeout = kLong, .spin = device_idle, .nap = true};
    if (channel_.receive(incoming, wait) == Received::message) {
      hooks_.handle(incoming);
      incoming.bulk.reset();
    }
  }
}

bool Receiver::try_take() {
  const std::lock_guard lock(mutex_);
  if (taken_) return false;
  taken_ = true;
  holds_token = true;
  return true;
}

bool Receiver::can_give_up() {
  const std::lock_guard lock(mutex_);
  return parked_ != 0 || threads_.size() + 1 < kMaxThreads;
}

bool Receiver::give_up() {
  // A handler that waits twice has given it up already.
  if (!holds_token) return true;
  const std::lock_guard lock(mutex_);
  if (parked_ == 0) {
    if (threads_.size() + 1 >= kMaxThreads) return false;
    ++parked_;
    threads_.emplace_back([this] {
      take_short_slices();
      {
        const std::lock_guard parked(mutex_);
        --parked_;
      }
      stand_by();
      loop();
    });
  }
  taken_ = false;
  holds_token = false;
  free_since_ = steady_clock::now();
  // An armed timer is left alone: who it wakes looks at `free_since_` and arms it again.
  if (!armed_) arm(kPatience);
  return true;
}

void Receiver::stand_by() {
  {
    const std::lock_guard lock(mutex_);
    if (ended_.load()) return;
    ++parked_;
  }
  std::uint64_t expirations = 0;
  const ssize_t got = ::read(timer_.get(), &expirations, sizeof expirations);
  const std::lock_guard lock(mutex_);
  --parked_;
  if (got != sizeof expirations || ended_.load()) return;
  armed_ = false;
  if (taken_) return;
  const auto waited = steady_clock::now() - free_since_;
  if (waited < kPatience) {
    arm(kPatience - waited);
    return;
  }
  taken_ = true;
  holds_token = true;
}

void Receiver::arm(std::chrono::nanoseconds delay) {
  itimerspec when{};
  when.it_value = to_timespec(std::max<std::int64_t>(delay.count(), 1));
  // When all is over every parked thread has to wake, and each read takes one expiration.
  if (ended_.load()) when.it_interval = when.it_value;
  ::timerfd_settime(timer_.get(), 0, &when, nullptr);
  armed_ = true;
}

void Receiver::end(const char* reason) {
  if (ended_.exchange(true)) return;
  channel_.close();
  {
    const std::lock_guard lock(mutex_);
    arm(std::chrono::milliseconds(1));
  }
  hooks_.on_end(reason);
}

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
//
// Waiting threads: a message wakes whom it concerns, and one of the others when nobody receives.
#include "opencl/client/followers.h"

#include <array>
#include <atomic>
#include <chrono>
#include <thread>

#include "check.h"

namespace tessera::test {
namespace {

using namespace std::chrono_literals;
using client::Followers;

constexpr std::size_t kThreads = 24;  // more than are woken at once

struct Waiting {
  std::mutex mutex;
  Followers followers;
  std::array<std::atomic<bool>, kThreads> done{};
  std::array<std::atomic<bool>, kThreads> waits{};
  std::array<std::atomic<int>, kThreads> woken{};
  std::array<std::thread, kThreads> threads;

  // One after the other, so that their order is known.
  void start() {
    for (std::size_t i = 0; i < kThreads; ++i) {
      threads[i] = std::thread([this, i] {
        Followers::Lock lock(mutex);
        const auto is_done = [&] { return done[i].load(); };
        while (!is_done()) {
          waits[i] = true;
          followers.wait(lock, is_done, Followers::Clock::time_point::max());
          ++woken[i];
        }
      });
      while (!waits[i]) std::this_thread::yield();
      const Followers::Lock sleeps_by_now(mutex);
    }
  }
  int sum() const {
    int all = 0;
    for (const auto& each : woken) all += each;
    return all;
  }
  void end() {
    for (auto& each : done) each = true;
    followers.wake_all(Followers::Lock(mutex));
    for (auto& thread : threads) thread.join();
  }
};

void test_only_who_is_done() {
  Waiting waiting;
  waiting.start();
  waiting.done[3] = true;
  waiting.done[20] = true;
  waiting.followers.wake_done(Followers::Lock(waiting.mutex));
  waiting.threads[3].join();
  waiting.threads[20].join();
  CHECK(waiting.sum() == 2);
  waiting.threads[3] = std::thread([] {});
  waiting.threads[20] = std::thread([] {});
  waiting.end();
}

void test_one_of_the_others_is_next() {
  Waiting waiting;
  waiting.start();
  waiting.done[1] = true;
  waiting.followers.wake_done_and_next(Followers::Lock(waiting.mutex));
  while (waiting.woken[0] == 0 || waiting.woken[1] == 0) std::this_thread::yield();
  CHECK(waiting.sum() == 2);
  waiting.end();
}

void test_all_and_none() {
  Waiting waiting;
  CHECK(waiting.followers.none());
  waiting.start();
  waiting.end();
  CHECK(waiting.followers.none());
}

void test_a_deadline() {
  Followers followers;
  std::mutex mutex;
  Followers::Lock lock(mutex);
  const auto never = [] { return false; };
  followers.wait(lock, never, Followers::Clock::now() + 5ms);
  CHECK(lock.owns_lock() && followers.none());
}

}  // namespace
}  // namespace tessera::test

int main() {
  tessera::test::test_only_who_is_done();
  tessera::test::test_one_of_the_others_is_next();
  tessera::test::test_all_and_none();
  tessera::test::test_a_deadline();
}

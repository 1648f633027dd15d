// SPDX-License-Identifier: Apache-2.0
//
// Runs the program's callbacks: on a thread of its own, outside every lock, so that a callback may
// call the API and even wait. It is started by the first expected callback. While callbacks are
// expected it also pumps the channel, because the program may never call the driver again and still
// counts on them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace tessera::client {

class Session;

class CallbackThread {
 public:
  explicit CallbackThread(Session& session) : session_(session) {}

  // A message from the worker will lead to one deliver().
  void expect();
  bool expects() const { return expected_.load(std::memory_order_relaxed) != 0; }
  // The expected callback will not come after all.
  void forget();
  // Runs `callback` soon; ends one expect(). Any thread, also inside the handling of a message.
  void deliver(std::function<void()> callback);
  // The same without an expect() before it.
  void run(std::function<void()> callback);
  // Ends the thread; what it has not run by then is dropped. For sessions of tests: a process's
  // session, and its thread, stay until the kernel takes them.
  void stop();

 private:
  void start_locked();
  void loop();
  bool has_work() const {
    return ready_.load(std::memory_order_acquire) != 0 ||
           expected_.load(std::memory_order_acquire) == 0;
  }

  Session& session_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  std::atomic<std::size_t> ready_{0};
  std::atomic<std::size_t> expected_{0};
  std::thread thread_;
  bool stopping_ = false;
};

}  // namespace tessera::client

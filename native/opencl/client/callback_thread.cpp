// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/callback_thread.h"

#include <pthread.h>
#include <signal.h>

#include "opencl/client/session.h"

namespace tessera::client {

void CallbackThread::expect() {
  const std::lock_guard lock(mutex_);
  start_locked();
  expected_.fetch_add(1, std::memory_order_release);
  changed_.notify_one();
}

void CallbackThread::forget() {
  {
    const std::lock_guard lock(mutex_);
    expected_.fetch_sub(1, std::memory_order_release);
  }
  session_.wake_waiting();
}

void CallbackThread::deliver(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(callback));
    ready_.fetch_add(1, std::memory_order_release);
    expected_.fetch_sub(1, std::memory_order_release);
    changed_.notify_one();
  }
  session_.wake_waiting();
}

void CallbackThread::run(std::function<void()> callback) {
  expect();
  deliver(std::move(callback));
}

void CallbackThread::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  session_.wake_waiting();
  if (thread_.joinable()) thread_.join();
  queue_.clear();
}

void CallbackThread::start_locked() {
  if (thread_.joinable() || stopping_) return;
  // The program's signals are for the program's own threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] { loop(); });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void CallbackThread::loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (!queue_.empty()) {
      auto callback = std::move(queue_.front());
      queue_.pop_front();
      ready_.fetch_sub(1, std::memory_order_release);
      lock.unlock();
      callback();
      callback = nullptr;  // what it held may go now, outside the lock
      lock.lock();
    } else if (expected_.load(std::memory_order_relaxed) != 0 && !session_.lost()) {
      lock.unlock();
      try {
        session_.wait_until([this] { return has_work(); });
      } catch (const SessionLost&) {
        // Whoever found out has delivered, or is about to deliver, every expected callback.
      }
      lock.lock();
    } else {
      changed_.wait(lock);
    }
  }
}

}  // namespace tessera::client

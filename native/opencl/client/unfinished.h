// SPDX-License-Identifier: Apache-2.0
//
// What a program could look at to find out that a command has not ended.
//
// A blocking call has been done when it returns, and so has all that its command waited for. Where
// nothing of this is there, only the order of later commands could show the difference, and the
// worker keeps that order: then the call need not wait for the worker. See
// docs/design/0002-waiting.md.
#pragma once

#include <atomic>
#include <cstddef>

namespace tessera::client {

class Unfinished {
 public:
  // Events that the program may ask, and that are not known to have ended.
  void add_event() { events_.fetch_add(1, std::memory_order_relaxed); }
  void end_event() { events_.fetch_sub(1, std::memory_order_relaxed); }
  // Events that only the program sets, and has not.
  void add_unset() { unset_.fetch_add(1, std::memory_order_relaxed); }
  void end_unset() { unset_.fetch_sub(1, std::memory_order_relaxed); }
  bool unset() const { return unset_.load(std::memory_order_relaxed) != 0; }
  // Reads whose bytes have not arrived.
  void add_read() { reads_.fetch_add(1, std::memory_order_relaxed); }
  void end_read() { reads_.fetch_sub(1, std::memory_order_relaxed); }
  bool reads() const { return reads_.load(std::memory_order_relaxed) != 0; }
  // From now on kernels may write to memory that the program looks at, or to its output, while they
  // run.
  void note_visible_kernels() { visible_kernels_.store(true, std::memory_order_relaxed); }

  bool none() const {
    return events_.load(std::memory_order_relaxed) == 0 &&
           reads_.load(std::memory_order_relaxed) == 0 &&
           !visible_kernels_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::size_t> events_{0};
  std::atomic<std::size_t> unset_{0};
  std::atomic<std::size_t> reads_{0};
  std::atomic<bool> visible_kernels_{false};
};

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

#include "base/unique_fd.h"
#include "transport/channel.h"

namespace tessera::worker {

// What kernels print: the driver writes it to this process's standard output, which is a pipe whose
// other end is read here. A thread reads all the time, so that a kernel that prints much is not
// stopped by a full pipe; answers read as well, so that the text arrives before the answer.
class Output {
 public:
  // `pipe` = the reading end, or none (then nothing is forwarded).
  Output(Channel& channel, UniqueFd pipe);
  ~Output();

  // A program of this session may print. Before that, answers do not look.
  void expect() { expected_.store(true, std::memory_order_relaxed); }
  // Forwards what is there now.
  void drain();

 private:
  void forward_now();
  void read_on();

  Channel& channel_;
  UniqueFd pipe_;
  UniqueFd stop_;
  std::atomic<bool> expected_{false};
  std::mutex mutex_;
  std::thread reader_;
};

}  // namespace tessera::worker

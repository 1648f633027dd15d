// SPDX-License-Identifier: Apache-2.0
//
// Where the threads of an embedded device compute.
//
// Its driver starts one thread per core and leaves it to the scheduler to keep them apart. That it
// does after a while; but when a worker that shares the GPU gets it, all of them are woken at once,
// often on the one core that is not busy for the moment, and one waited there for a whole time
// slice while another core had nothing to do. So each has a core of its own as long as others want
// the GPU too. Only where there are as many threads as cores: a driver that does otherwise has its
// reasons.
//
// Having them there always was refused. While a program feeds its GPU, it takes a core from the
// thread that must stay on it; the other threads of every kernel then wait for that one, and twice
// as much of the cores was idle as where the scheduler may move them.
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <mutex>
#include <vector>

namespace tessera::worker {

// Sorted.
std::vector<pid_t> threads_of_this_process();
// Those that are there now and were not; `before` is sorted.
std::vector<pid_t> threads_started_since(const std::vector<pid_t>& before);

// Any thread may call.
class DriverThreads {
 public:
  // The process's driver has one set of threads, whatever number of gates are before its devices.
  static DriverThreads& of_this_process();

  // Which ones they are. Before keep_apart().
  void adopt(std::vector<pid_t> threads);
  // One core for each, if there are as many as cores that this process may use, and more than one;
  // otherwise nothing happens. Until let_loose() was called as often.
  void keep_apart();
  // They may run where they might before.
  void let_loose();

 private:
  void spread();

  struct Thread {
    pid_t id;
    cpu_set_t cores;  // that it might run on before
  };
  std::mutex mutex_;
  std::vector<Thread> threads_;
  std::size_t wishes_ = 0;
};

}  // namespace tessera::worker

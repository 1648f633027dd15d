// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/driver_threads.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string>

namespace tessera::worker {

std::vector<pid_t> threads_of_this_process() {
  std::vector<pid_t> threads;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task", error)) {
    threads.push_back(std::stoi(entry.path().filename()));
  }
  std::ranges::sort(threads);
  return threads;
}

std::vector<pid_t> threads_started_since(const std::vector<pid_t>& before) {
  std::vector<pid_t> started;
  std::ranges::set_difference(threads_of_this_process(), before, std::back_inserter(started));
  return started;
}

DriverThreads& DriverThreads::of_this_process() {
  static DriverThreads threads;
  return threads;
}

void DriverThreads::adopt(std::vector<pid_t> threads) {
  const std::lock_guard lock(mutex_);
  for (const pid_t id : threads) threads_.push_back({.id = id, .cores = {}});
}

void DriverThreads::keep_apart() {
  const std::lock_guard lock(mutex_);
  if (wishes_++ == 0) spread();
}

// A thread that cannot be moved stays where the scheduler puts it.
void DriverThreads::spread() {
  cpu_set_t usable;
  CPU_ZERO(&usable);
  if (::sched_getaffinity(::getpid(), sizeof usable, &usable) != 0) return;
  const auto cores = static_cast<std::size_t>(CPU_COUNT(&usable));
  if (cores < 2 || threads_.size() != cores) return;
  int core = -1;
  for (Thread& thread : threads_) {
    do {
      ++core;
    } while (!CPU_ISSET(core, &usable));
    ::sched_getaffinity(thread.id, sizeof thread.cores, &thread.cores);
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(core, &own);
    ::sched_setaffinity(thread.id, sizeof own, &own);
  }
}

void DriverThreads::let_loose() {
  const std::lock_guard lock(mutex_);
  if (--wishes_ != 0) return;
  for (const Thread& thread : threads_) {
    if (CPU_COUNT(&thread.cores) == 0) continue;
    ::sched_setaffinity(thread.id, sizeof thread.cores, &thread.cores);
  }
}

}  // namespace tessera::worker

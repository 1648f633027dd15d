// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/driver_threads.h"

#include <sched.h>

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

void spread_over_cores(const std::vector<pid_t>& threads) {
  cpu_set_t usable;
  CPU_ZERO(&usable);
  if (::sched_getaffinity(0, sizeof usable, &usable) != 0) return;
  const auto cores = static_cast<std::size_t>(CPU_COUNT(&usable));
  if (cores < 2 || threads.size() != cores) return;
  int core = -1;
  for (const pid_t thread : threads) {
    do {
      ++core;
    } while (!CPU_ISSET(core, &usable));
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(core, &own);
    // A thread that cannot be moved stays where the scheduler puts it.
    ::sched_setaffinity(thread, sizeof own, &own);
  }
}

}  // namespace tessera::worker

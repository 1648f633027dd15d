// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <latch>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "opencl/worker/driver_threads.h"

namespace tessera::test {

// As many sleeping threads as asked for.
struct Threads {
  explicit Threads(int count) : ids(static_cast<std::size_t>(count)), named(count) {
    const auto before = worker::threads_of_this_process();
    for (pid_t& id : ids) {
      sleepers.emplace_back([&](const std::stop_token& stop) {
        id = ::gettid();
        named.count_down();
        while (!stop.stop_requested()) ::usleep(1000);
      });
    }
    named.wait();
    std::ranges::sort(ids);
    // A sanitizer may have started one as well.
    CHECK(std::ranges::includes(worker::threads_started_since(before), ids));
  }
  // What may run where, as a text of ones and zeros for each.
  std::multiset<std::string> cores() const {
    std::multiset<std::string> found;
    for (const pid_t id : ids) {
      cpu_set_t set;
      CPU_ZERO(&set);
      CHECK(::sched_getaffinity(id, sizeof set, &set) == 0);
      std::string text;
      for (int core = 0; core < CPU_SETSIZE; ++core) text += CPU_ISSET(core, &set) ? '1' : '0';
      found.insert(text);
    }
    return found;
  }
  std::vector<pid_t> ids;
  std::latch named;
  std::vector<std::jthread> sleepers;
};

inline int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  CHECK(::sched_getaffinity(0, sizeof set, &set) == 0);
  return CPU_COUNT(&set);
}

}  // namespace tessera::test

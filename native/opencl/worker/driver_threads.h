// SPDX-License-Identifier: Apache-2.0
//
// Where the threads of an embedded device compute.
//
// Its driver starts one thread per core and leaves it to the scheduler to keep them apart. That it
// does after a while; but when a worker gets the GPU, all of them are woken at once, often on the
// one core that is not busy for the moment, and one waited there for a whole time slice while
// another core had nothing to do. So each gets a core of its own, once. Only where there are as
// many threads as cores: a driver that does otherwise has its reasons.
#pragma once

#include <sys/types.h>

#include <vector>

namespace tessera::worker {

// Sorted.
std::vector<pid_t> threads_of_this_process();
// Those that are there now and were not; `before` is sorted.
std::vector<pid_t> threads_started_since(const std::vector<pid_t>& before);
// One core for each of `threads`, if there are as many as cores that this process may use, and more
// than one; otherwise nothing happens.
void spread_over_cores(const std::vector<pid_t>& threads);

}  // namespace tessera::worker

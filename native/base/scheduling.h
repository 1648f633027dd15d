// SPDX-License-Identifier: Apache-2.0
//
// Threads that only pass work on, on cores that others compute on.
//
// A thread that wakes takes the core from one that computes only if the scheduler finds it due, and
// on an embedded device whose threads fill every core, that took up to 0.4 ms: longer than the
// kernel that it was to launch. Who asks for a shorter slice is due sooner and gets no more time by
// it (Linux 6.12 and later; before, the wish is ignored). A better nice value was refused: it takes
// privileges, and time from others.
//
// Their pauses are as short as they ask for, too: the kernel may add 50 us to each, if it is let.
#pragma once

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace tessera {

// Of the calling thread, not of those that it starts.
inline void take_short_slices() {
  // sched_setattr(2). The kernel's header for it cannot be read beside the library's <sched.h>.
  struct {
    std::uint32_t size, policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t runtime_ns, deadline_ns, period_ns;
  } wish{};
  constexpr std::uint64_t kResetOnFork = 1;
  wish.size = sizeof wish;
  wish.flags = kResetOnFork;
  wish.runtime_ns = 100'000;  // the shortest there is
  ::syscall(SYS_sched_setattr, 0, &wish, 0);
  ::prctl(PR_SET_TIMERSLACK, 1000UL);
}

}  // namespace tessera

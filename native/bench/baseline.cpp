// SPDX-License-Identifier: Apache-2.0
//
// tessera-bench-baseline: the yardsticks of this machine, beside which a transport's figures are
// read.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "bench/lockstep.h"
#include "bench/peer.h"
#include "bench/yardsticks.h"

namespace tessera::bench {

long checked(long result, const char* call) {
  if (result >= 0) return result;
  std::cerr << call << " failed: " << std::strerror(errno) << '\n';
  _exit(1);
}

Peer::Peer(const std::function<void()>& work) : pid_(static_cast<pid_t>(checked(fork(), "fork"))) {
  if (pid_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  work();
  _exit(0);
}

Peer::~Peer() {
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace tessera::bench

int main(int argc, char** argv) {
  using namespace tessera::bench;
  const unsigned rounds = rounds_from(argc, argv);
  const auto round = [](Slice& slice) {
    measure_futex(slice, FutexKind::sleeping);
    // On one core a spinning side would burn whole time slices that the other needs to answer.
    if (usable_cores() > 1) {
      measure_futex(slice, FutexKind::two_cores);
      measure_futex(slice, FutexKind::spinning);
    }
    measure_pipe(slice);
    measure_memcpy(slice);
    for (const bool tcp : {false, true}) {
      measure_stream_round_trips(slice, tcp);
      measure_stream_bandwidth(slice, tcp);
    }
  };
  Slice warm_up;
  round(warm_up);
  return serve("{\"event\": \"ready\", " + process_facts() + "}", rounds, round);
}

// SPDX-License-Identifier: Apache-2.0
//
// tessera-arbiter: decides which lease may use a GPU now. One process per GPU in use.
//
// It lives in memory that it shares with workers and gatekeepers, and sleeps on one word there.
// Killing it loses nothing: grants stop for the moment until its successor has read the board, and
// workers whose arbiter stays away go on without one.
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <exception>

#include "arbiter/arbiter.h"
#include "arbiter/layout.h"
#include "arbiter/options.h"
#include "arbiter/watcher.h"
#include "base/clock.h"
#include "base/futex.h"

namespace tessera::arbiter {
namespace {

std::atomic<bool> end_asked{false};
Board* rung_by_signals = nullptr;

void on_signal(int number) {
  if (number != SIGHUP) end_asked.store(true);
  rung_by_signals->doorbell.fetch_add(1);
  futex_wake_all(rung_by_signals->doorbell);
}

void take_signals(Board& board) {
  rung_by_signals = &board;
  struct sigaction action {};
  action.sa_handler = on_signal;
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaction(number, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

// A change of hands waits for this process, so it goes before those that compute. Where that is not
// permitted it does its work as well, a little later.
void hurry() {
  ::prctl(PR_SET_TIMERSLACK, 1000UL);
  const sched_param lowest{.sched_priority = 1};
  if (::sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &lowest) != 0) {
    ::setpriority(PRIO_PROCESS, 0, -10);
  }
}

void say_ready(int fd) {
  if (fd < 0) return;
  constexpr char kReady[] = "ready\n";
  if (::write(fd, kReady, sizeof kReady - 1) < 0) ::perror("tessera-arbiter: telling readiness");
  ::close(fd);
}

void run(const Options& options) {
  BoardPage board = BoardPage::open(options.board, options.gpu);
  board->policy.store(static_cast<std::uint32_t>(options.policy));
  board->slice_us.store(options.slice_us);
  take_signals(*board);
  Watcher watcher(board);
  hurry();
  Arbiter arbiter(board, options.timing);
  board->arbiter_pid.store(::getpid());
  say_ready(options.ready_fd);
  while (!end_asked.load()) {
    const std::uint32_t rung = board->doorbell.load();
    watcher.follow();
    const std::uint64_t again = arbiter.turn(static_cast<std::uint64_t>(monotonic_ns()));
    const auto left = static_cast<std::int64_t>(again) - monotonic_ns();
    if (left > 0) futex_wait(board->doorbell, rung, left);
  }
  board->arbiter_pid.store(0);
}

}  // namespace
}  // namespace tessera::arbiter

int main(int argc, char** argv) {
  using namespace tessera::arbiter;
  try {
    const auto options = parse_options(argc, argv);
    if (!options) {
      ::fputs(tessera::board_layout_json().c_str(), stdout);
      return 0;
    }
    run(*options);
    return 0;
  } catch (const UsageError& error) {
    ::fprintf(stderr, "tessera-arbiter: %s\n%s", error.what(), kUsage);
    return 2;
  } catch (const std::exception& error) {
    ::fprintf(stderr, "tessera-arbiter: %s\n", error.what());
    return 1;
  }
}

// SPDX-License-Identifier: Apache-2.0
#include "gatekeeper/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "transport/handshake.h"

namespace tessera::gatekeeper {
namespace {

void keep_over_exec(int fd) {
  ::fcntl(fd, F_SETFD, 0);
}

void tell_end(pid_t pid, std::size_t slot, int status) {
  if (WIFSIGNALED(status) && WTERMSIG(status) != SIGTERM) {
    ::fprintf(stderr, "tessera-gatekeeper: worker %d (session %zu) was ended by signal %d (%s)\n",
              static_cast<int>(pid), slot, WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  } else if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
    ::fprintf(stderr, "tessera-gatekeeper: worker %d (session %zu) ended with code %d\n",
              static_cast<int>(pid), slot, WEXITSTATUS(status));
  }
}

}  // namespace

Workers::Workers(const Options& options, Quota& quota, Tenancy& tenancy, UniqueFd token)
    : options_(options),
      quota_(quota),
      tenancy_(tenancy),
      token_(std::move(token)),
      pids_(kMaxSessions, 0) {}

void Workers::serve(UniqueFd client, bool over_tcp) {
  const std::size_t slot = quota_.acquire_slot();
  if (slot == kMaxSessions) return refuse_channel(client.release(), HelloStatus::full);
  const pid_t gatekeeper = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) become_worker(client.get(), slot, over_tcp, gatekeeper);
  if (pid < 0) {
    ::fprintf(stderr, "tessera-gatekeeper: a worker cannot be started: %s\n", ::strerror(errno));
    quota_.free_slot(slot);
    return refuse_channel(client.release(), HelloStatus::failed);
  }
  pids_[slot] = pid;
  quota_.page().slots[slot].worker_pid = pid;
}

void Workers::become_worker(int client, std::size_t slot, bool over_tcp, pid_t gatekeeper) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The gatekeeper may have died before the line above took effect.
  if (::getppid() != gatekeeper) ::_exit(1);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  keep_over_exec(client);
  keep_over_exec(quota_.fd());
  std::vector<std::string> arguments{
      options_.worker,      "--fd",       std::to_string(client),     "--slot",
      std::to_string(slot), "--quota-fd", std::to_string(quota_.fd())};
  if (over_tcp) {
    keep_over_exec(token_.get());
    arguments.insert(arguments.end(), {"--token-fd", std::to_string(token_.get())});
  }
  for (const auto& gpu : options_.gpus) {
    arguments.insert(arguments.end(), {"--gpu", gpu.argument});
  }
  for (auto& word : tenancy_.for_worker()) arguments.push_back(std::move(word));
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::execv(options_.worker.c_str(), argv.data());
  ::fprintf(stderr, "tessera-gatekeeper: %s cannot be started: %s\n", options_.worker.c_str(),
            ::strerror(errno));
  refuse_channel(client, HelloStatus::failed);
  ::_exit(127);
}

void Workers::reap() {
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    const auto at = std::ranges::find(pids_, pid);
    if (at == pids_.end()) continue;
    const auto slot = static_cast<std::size_t>(at - pids_.begin());
    *at = 0;
    quota_.free_slot(slot);
    tenancy_.free_seats_of(pid);
    tell_end(pid, slot, status);
  }
}

bool Workers::any() const {
  return std::ranges::any_of(pids_, [](pid_t pid) { return pid != 0; });
}

void Workers::signal_all(int number) const {
  for (const pid_t pid : pids_) {
    if (pid != 0) ::kill(pid, number);
  }
}

void Workers::end_all(std::chrono::milliseconds grace) {
  sigset_t child;
  ::sigemptyset(&child);
  ::sigaddset(&child, SIGCHLD);
  const auto deadline = std::chrono::steady_clock::now() + grace;
  signal_all(SIGTERM);
  for (bool killed = false;;) {
    reap();
    if (!any()) return;
    if (!killed && std::chrono::steady_clock::now() >= deadline) {
      signal_all(SIGKILL);
      killed = true;
    }
    const timespec slice{0, 50'000'000};
    ::sigtimedwait(&child, nullptr, &slice);
  }
}

}  // namespace tessera::gatekeeper

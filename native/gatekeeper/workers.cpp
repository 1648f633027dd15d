// SPDX-License-Identifier: Apache-2.0
#include "gatekeeper/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
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

Workers::Workers(const Options& options, Quota& quota, std::optional<Tenancy>& tenancy,
                 UniqueFd token)
    : options_(options),
      quota_(quota),
      tenancy_(tenancy),
      token_(std::move(token)),
      pids_(kMaxSessions, 0),
      controls_(kMaxSessions) {}

void Workers::serve(UniqueFd client, bool over_tcp) {
  const std::size_t slot = quota_.acquire_slot();
  if (slot == kMaxSessions) return refuse_channel(client.release(), HelloStatus::full);
  const pid_t gatekeeper = ::getpid();
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    ends[0] = ends[1] = -1;
  }
  UniqueFd control(ends[0]);
  const UniqueFd workers_end(ends[1]);
  const pid_t pid = control ? ::fork() : -1;
  if (pid == 0) become_worker(client.get(), workers_end.get(), slot, over_tcp, gatekeeper);
  if (pid < 0) {
    ::fprintf(stderr, "tessera-gatekeeper: a worker cannot be started: %s\n", ::strerror(errno));
    quota_.free_slot(slot);
    return refuse_channel(client.release(), HelloStatus::failed);
  }
  pids_[slot] = pid;
  controls_[slot] = std::move(control);
  quota_.page().slots[slot].worker_pid = pid;
}

void Workers::become_worker(int client, int control, std::size_t slot, bool over_tcp,
                            pid_t gatekeeper) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The gatekeeper may have died before the line above took effect.
  if (::getppid() != gatekeeper) ::_exit(1);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  keep_over_exec(client);
  keep_over_exec(control);
  keep_over_exec(quota_.fd());
  std::vector<std::string> arguments{
      options_.worker,        "--fd",       std::to_string(client),      "--slot",
      std::to_string(slot),   "--quota-fd", std::to_string(quota_.fd()), "--control-fd",
      std::to_string(control)};
  if (over_tcp) {
    keep_over_exec(token_.get());
    arguments.insert(arguments.end(), {"--token-fd", std::to_string(token_.get())});
  }
  for (const auto& gpu : options_.gpus) {
    arguments.insert(arguments.end(), {"--gpu", gpu.argument});
  }
  for (auto& word : tenancy_->for_worker()) arguments.push_back(std::move(word));
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::execv(options_.worker.c_str(), argv.data());
  ::fprintf(stderr, "tessera-gatekeeper: %s cannot be started: %s\n", options_.worker.c_str(),
            ::strerror(errno));
  refuse_channel(client, HelloStatus::failed);
  ::_exit(127);
}

std::vector<std::size_t> Workers::slots() const {
  std::vector<std::size_t> found;
  for (std::size_t slot = 0; slot < pids_.size(); ++slot) {
    if (pids_[slot] != 0) found.push_back(slot);
  }
  return found;
}

bool Workers::ask(std::size_t slot, const std::string& words, std::span<const int> descriptors) {
  std::string text = words;
  iovec data{text.data(), text.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxGpus * sizeof(int))> extra{};
  if (!descriptors.empty()) {
    message.msg_control = extra.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* const part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    ::memcpy(CMSG_DATA(part), descriptors.data(), descriptors.size_bytes());
  }
  return ::sendmsg(controls_[slot].get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(text.size());
}

void Workers::reap(const std::function<void(std::size_t slot)>& ended) {
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    const auto at = std::ranges::find(pids_, pid);
    if (at == pids_.end()) continue;
    const auto slot = static_cast<std::size_t>(at - pids_.begin());
    *at = 0;
    controls_[slot].reset();
    quota_.free_slot(slot);
    if (tenancy_) tenancy_->free_seats_of(pid);
    ended(slot);
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
    reap([](std::size_t) {});
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

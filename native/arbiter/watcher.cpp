// SPDX-License-Identifier: Apache-2.0
#include "arbiter/watcher.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <system_error>

namespace tessera::arbiter {
namespace {

constexpr std::uint64_t kStop = kMaxTenants;

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

UniqueFd open_pidfd(std::int32_t pid) {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

}  // namespace

Watcher::Watcher(BoardPage& board)
    : board_(board), events_(::epoll_create1(EPOLL_CLOEXEC)), stop_(::eventfd(0, EFD_CLOEXEC)) {
  if (!events_ || !stop_) fail("watching gatekeepers");
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kStop}};
  if (::epoll_ctl(events_.get(), EPOLL_CTL_ADD, stop_.get(), &event) != 0) fail("epoll_ctl");
  thread_ = std::thread([this] { run(); });
}

Watcher::~Watcher() {
  const std::uint64_t one = 1;
  if (::write(stop_.get(), &one, sizeof one) == sizeof one) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

void Watcher::follow() {
  for (std::size_t i = 0; i < kMaxTenants; ++i) {
    const Tenant& tenant = board_->tenants[i];
    Watched& watched = watched_[i];
    const bool present = tenant.present.load() != 0;
    const std::uint64_t since = tenant.since_ns.load();
    if (present && watched.since_ns == since) continue;
    // Closing it takes it out of the epoll set.
    watched.pidfd.reset();
    watched.since_ns = 0;
    if (!present) continue;
    watched.since_ns = since;
    watched.pid = tenant.gatekeeper_pid;
    watched.pidfd = open_pidfd(watched.pid);
    if (!watched.pidfd) {
      if (errno == ESRCH) gone(i);
      continue;
    }
    epoll_event event{.events = EPOLLIN | EPOLLONESHOT, .data = {.u64 = i}};
    ::epoll_ctl(events_.get(), EPOLL_CTL_ADD, watched.pidfd.get(), &event);
  }
}

void Watcher::gone(std::size_t tenant) {
  board_.unregister_tenant(tenant);
}

void Watcher::run() {
  for (;;) {
    epoll_event event{};
    if (::epoll_wait(events_.get(), &event, 1, -1) != 1) continue;
    if (event.data.u64 == kStop) return;
    gone(event.data.u64);
  }
}

}  // namespace tessera::arbiter

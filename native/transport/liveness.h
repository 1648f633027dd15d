// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>
#include <sys/epoll.h>

#include "base/unique_fd.h"

namespace tessera {

// A descriptor that becomes readable when the other end of `socket` is gone, and not when data
// comes: an epoll set that watches the socket for hang-up only. Empty when the process has no
// descriptor left.
inline UniqueFd watch_hangup(int socket) {
  UniqueFd watch(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLRDHUP;
  if (watch && ::epoll_ctl(watch.get(), EPOLL_CTL_ADD, socket, &event) != 0) watch.reset();
  return watch;
}

inline bool is_hung_up(int socket) {
  pollfd poll_for{socket, POLLRDHUP, 0};
  return ::poll(&poll_for, 1, 0) > 0 && poll_for.revents != 0;
}

}  // namespace tessera

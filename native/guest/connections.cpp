// SPDX-License-Identifier: Apache-2.0
#include "guest/connections.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstring>
#include <system_error>

namespace tessera::guest {
namespace {

// Room for one descriptor beside a byte.
union Note {
  cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

UniqueFd descriptor_in(msghdr& message) {
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return {};
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return UniqueFd(fd);
}

}  // namespace

UniqueFd Connections::open() const {
  char byte = 'c';
  Note note{};
  iovec part{&byte, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (::sendmsg(command_.get(), &message, MSG_NOSIGNAL) != 1) {
    throw std::system_error(errno, std::generic_category(), "asking for a connection");
  }
  message.msg_control = note.bytes;
  message.msg_controllen = sizeof note.bytes;
  ssize_t got = 0;
  do {
    got = ::recvmsg(command_.get(), &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got != 1) throw std::system_error(errno, std::generic_category(), "waiting for a connection");
  return descriptor_in(message);
}

}  // namespace tessera::guest

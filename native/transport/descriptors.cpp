// SPDX-License-Identifier: Apache-2.0
#include "transport/descriptors.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>

namespace tessera {
namespace {

constexpr std::size_t kMostWaiting = 64;  // a peer that sends more than are asked for loses them

// Room for one descriptor beside a message.
union Note {
  cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

msghdr message_of(iovec& part, Note& note) {
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = note.bytes;
  message.msg_controllen = sizeof note.bytes;
  return message;
}

}  // namespace

bool send_tagged_descriptor(int socket, std::uint64_t tag, int fd) {
  Note note{};
  iovec part{&tag, sizeof tag};
  msghdr message = message_of(part, note);
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  for (;;) {
    const ssize_t moved = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (moved >= 0 || errno != EINTR) return moved == static_cast<ssize_t>(sizeof tag);
  }
}

bool DescriptorBox::receive_one(int socket) {
  std::uint64_t tag = 0;
  Note note{};
  iovec part{&tag, sizeof tag};
  msghdr message = message_of(part, note);
  ssize_t moved = 0;
  do {
    moved = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (moved < 0 && errno == EINTR);
  UniqueFd passed;
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (moved > 0 && header != nullptr && header->cmsg_type == SCM_RIGHTS &&
      header->cmsg_len == CMSG_LEN(sizeof(int))) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    passed.reset(fd);
  }
  if (moved != static_cast<ssize_t>(sizeof tag)) return false;
  if (passed && waiting_.size() < kMostWaiting) waiting_[tag] = std::move(passed);
  return true;
}

UniqueFd DescriptorBox::take(int socket, std::uint64_t tag) {
  const std::lock_guard lock(mutex_);
  do {
    const auto at = waiting_.find(tag);
    if (at == waiting_.end()) continue;
    UniqueFd found = std::move(at->second);
    waiting_.erase(at);
    return found;
  } while (receive_one(socket));
  return {};
}

}  // namespace tessera

// SPDX-License-Identifier: Apache-2.0
#include "transport/handshake.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstring>

namespace tessera {

namespace {

// The time taken says nothing about where the two differ.
bool same_token(std::span<const std::byte> left, std::span<const std::byte> right) {
  unsigned difference = left.size() != right.size();
  for (std::size_t i = 0; i < left.size() && i < right.size(); ++i) {
    difference |= std::to_integer<unsigned>(left[i] ^ right[i]);
  }
  return difference == 0;
}

// False when the deadline passed.
bool wait_for(int socket, short events, const Deadline& deadline) {
  for (;;) {
    pollfd poll_for{socket, events, 0};
    const timespec limit = to_timespec(deadline.left_ns());
    const int ready = ::ppoll(&poll_for, 1, &limit, nullptr);
    if (ready > 0) return true;
    if (ready < 0 && errno == EINTR) continue;
    errno = ETIMEDOUT;
    return false;
  }
}

// Runs a non-blocking transfer until it moved something; 0 = hung up or too late.
template <typename Transfer>
std::size_t transfer_some(int socket, short events, const Deadline& deadline, Transfer transfer) {
  for (;;) {
    errno = 0;
    const ssize_t moved = transfer();
    if (moved > 0) return static_cast<std::size_t>(moved);
    if (moved < 0 && errno == EINTR) continue;
    if (moved == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) return 0;
    if (!wait_for(socket, events, deadline)) return 0;
  }
}

// Room for one descriptor beside a message.
union DescriptorNote {
  cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

void keep_descriptor(msghdr& message, UniqueFd& passed) {
  const cmsghdr* note = CMSG_FIRSTHDR(&message);
  if (note == nullptr || note->cmsg_level != SOL_SOCKET || note->cmsg_type != SCM_RIGHTS ||
      note->cmsg_len != CMSG_LEN(sizeof(int))) {
    return;
  }
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(note), sizeof fd);
  passed.reset(fd);
}

}  // namespace

HelloStatus judge_hello(const Hello& hello, bool over_tcp, std::span<const std::byte> token) {
  if (hello.magic != Hello::kMagic) return HelloStatus::malformed;
  if (hello.version != kProtocolVersion) return HelloStatus::version;
  if (hello.reserved != 0 || hello.reserved_end != 0 ||
      (hello.token_bytes != 0 && hello.token_bytes != kTokenBytes)) {
    return HelloStatus::malformed;
  }
  if (token.empty() ? over_tcp : !same_token({hello.token.data(), hello.token_bytes}, token)) {
    return HelloStatus::token;
  }
  const bool wants_tcp = hello.transport == TransportKind::tcp_stream;
  const bool known = wants_tcp || hello.transport == TransportKind::shm ||
                     hello.transport == TransportKind::unix_stream;
  return known && wants_tcp == over_tcp ? HelloStatus::ok : HelloStatus::transport;
}

void refuse_channel(int fd, HelloStatus status) noexcept {
  const UniqueFd socket(fd);
  HelloReply reply;
  reply.status = status;
  // Bytes left unread would turn the close into a reset, which may overtake the reply.
  Hello ignored;
  ::recv(fd, &ignored, sizeof ignored, MSG_DONTWAIT);
  ::send(fd, &reply, sizeof reply, MSG_DONTWAIT | MSG_NOSIGNAL);
  ::shutdown(fd, SHUT_WR);
}

std::string refusal_sentence(HelloStatus status, std::uint32_t peer_version) {
  switch (status) {
    case HelloStatus::version:
      return "the worker speaks protocol version " + std::to_string(peer_version) +
             ", this driver version " + std::to_string(kProtocolVersion) +
             ": start the program and the daemon from the same release of Tessera";
    case HelloStatus::token:
      return "the lease's token is missing or wrong: use the TESSERA_TOKEN that belongs to this "
             "lease";
    case HelloStatus::transport:
      return "this endpoint does not offer the transport that was asked for: use the endpoint that "
             "`tessera show` gives for the lease";
    case HelloStatus::full:
      return "the lease has as many sessions as it can hold: end one of its programs and try again";
    case HelloStatus::malformed:
      return "the worker did not understand the hello: check that the endpoint is one of Tessera's";
    case HelloStatus::ok:
    case HelloStatus::failed:
      break;
  }
  return "the worker could not set the session up: the lease's gatekeeper.log says why";
}

bool write_all(int socket, std::span<const std::byte> bytes, const Deadline& deadline) {
  while (!bytes.empty()) {
    const std::size_t moved = transfer_some(socket, POLLOUT, deadline, [&] {
      return ::send(socket, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    });
    if (moved == 0) return false;
    bytes = bytes.subspan(moved);
  }
  return true;
}

bool read_all(int socket, std::span<std::byte> bytes, const Deadline& deadline) {
  while (!bytes.empty()) {
    const std::size_t moved = transfer_some(socket, POLLIN, deadline, [&] {
      return ::recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
    });
    if (moved == 0) return false;
    bytes = bytes.subspan(moved);
  }
  return true;
}

bool write_reply(int socket, const HelloReply& reply, int passed, const Deadline& deadline) {
  const auto bytes = std::as_bytes(std::span(&reply, 1));
  if (passed < 0) return write_all(socket, bytes, deadline);
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  DescriptorNote note{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = note.bytes;
  message.msg_controllen = sizeof note.bytes;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &passed, sizeof passed);
  const std::size_t moved = transfer_some(socket, POLLOUT, deadline, [&] {
    return ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  });
  return moved != 0 && write_all(socket, bytes.subspan(moved), deadline);
}

bool read_reply(int socket, HelloReply& reply, UniqueFd& passed, const Deadline& deadline) {
  auto bytes = std::as_writable_bytes(std::span(&reply, 1));
  while (!bytes.empty()) {
    iovec part{bytes.data(), bytes.size()};
    DescriptorNote note{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = note.bytes;
    message.msg_controllen = sizeof note.bytes;
    const std::size_t moved = transfer_some(socket, POLLIN, deadline, [&] {
      return ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    });
    if (moved == 0) return false;
    keep_descriptor(message, passed);
    bytes = bytes.subspan(moved);
  }
  return true;
}

}  // namespace tessera

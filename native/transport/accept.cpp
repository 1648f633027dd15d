// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>

#include "transport/handshake.h"
#include "transport/shm_channel.h"
#include "transport/shm_region.h"
#include "transport/stream_channel.h"

namespace tessera {

namespace {

constexpr std::chrono::seconds kHelloTime{5};

bool is_unix(int socket) {
  int domain = 0;
  socklen_t length = sizeof domain;
  return ::getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX;
}

std::int32_t peer_pid(int socket) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return 0;
  return peer.pid;
}

[[noreturn]] void refuse(UniqueFd socket, HelloStatus status, const char* why) {
  refuse_channel(socket.release(), status);
  throw ConnectError(why);
}

const char* reason(HelloStatus status) {
  switch (status) {
    case HelloStatus::version:
      return "the client speaks another protocol version";
    case HelloStatus::token:
      return "the client has not shown the lease's token";
    case HelloStatus::transport:
      return "the client asked for a transport that this socket does not carry";
    default:
      return "the client did not send a hello";
  }
}

std::unique_ptr<Channel> accept_shm(UniqueFd socket, const Deadline& deadline) {
  UniqueFd memory = ShmRegion::create();
  HelloReply reply;
  reply.region_bytes = sizeof(RegionLayout);
  if (!write_reply(socket.get(), reply, memory.get(), deadline)) {
    throw ConnectError("the client left before its session began");
  }
  return std::make_unique<ShmChannel>(Side::worker, std::move(memory), std::move(socket));
}

std::unique_ptr<Channel> accept_stream(UniqueFd socket, TransportKind kind,
                                       const Deadline& deadline) {
  if (!write_reply(socket.get(), HelloReply{}, -1, deadline)) {
    throw ConnectError("the client left before its session began");
  }
  return std::make_unique<StreamChannel>(kind, std::move(socket));
}

}  // namespace

std::unique_ptr<Channel> accept_channel(int fd, std::span<const std::byte> token,
                                        std::int32_t* client_pid) {
  UniqueFd socket(fd);
  const bool over_tcp = !is_unix(fd);
  if (client_pid != nullptr) *client_pid = over_tcp ? 0 : peer_pid(fd);
  const Deadline deadline(kHelloTime);
  Hello hello;
  if (!read_all(fd, std::as_writable_bytes(std::span(&hello, 1)), deadline)) {
    refuse(std::move(socket), HelloStatus::malformed, "the client did not send a hello in time");
  }
  const HelloStatus status = judge_hello(hello, over_tcp, token);
  if (status != HelloStatus::ok) refuse(std::move(socket), status, reason(status));
  if (hello.transport == TransportKind::shm) return accept_shm(std::move(socket), deadline);
  return accept_stream(std::move(socket), hello.transport, deadline);
}

}  // namespace tessera

// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

#include "base/error_text.h"
#include "transport/handshake.h"
#include "transport/shm_channel.h"
#include "transport/shm_region.h"
#include "transport/stream_channel.h"

namespace tessera {

namespace {

// A worker loads the device's driver before it answers, which may take a while on a cold machine.
constexpr std::chrono::seconds kConnectTime{10};

struct Endpoint {
  TransportKind kind;
  std::string text;  // as the user wrote it
  std::string path;  // of the unix socket
  std::string host;
  std::string port;
};

[[noreturn]] void fail(const Endpoint& endpoint, const std::string& why) {
  throw ConnectError("cannot open a session at " + endpoint.text + ": " + why);
}

Endpoint parse_endpoint(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view scheme = text.substr(0, colon);
  std::string_view rest = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  Endpoint endpoint{TransportKind::shm, std::string(text), std::string(rest), {}, {}};
  if (scheme == "shm" && !rest.empty()) return endpoint;
  if (scheme == "unix" && !rest.empty()) {
    endpoint.kind = TransportKind::unix_stream;
    return endpoint;
  }
  const std::size_t last = rest.rfind(':');
  if (scheme == "tcp" && last != std::string_view::npos && last != 0 && last + 1 != rest.size()) {
    endpoint.kind = TransportKind::tcp_stream;
    std::string_view host = rest.substr(0, last);
    if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    endpoint.host = host;
    endpoint.port = rest.substr(last + 1);
    return endpoint;
  }
  fail(endpoint, "an endpoint is shm:PATH, unix:PATH or tcp:HOST:PORT; `tessera show` gives it");
}

// 0 or an errno value.
int finish_connect(int socket, const Deadline& deadline) {
  pollfd poll_for{socket, POLLOUT, 0};
  const timespec limit = to_timespec(deadline.left_ns());
  if (::ppoll(&poll_for, 1, &limit, nullptr) <= 0) return ETIMEDOUT;
  int error = 0;
  socklen_t length = sizeof error;
  ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length);
  return error;
}

// 0 or an errno value. A unix listener whose queue is full says EAGAIN instead of making us wait.
int connect_within(int socket, const sockaddr* address, socklen_t length,
                   const Deadline& deadline) {
  for (;;) {
    if (::connect(socket, address, length) == 0) return 0;
    if (errno == EINPROGRESS) return finish_connect(socket, deadline);
    if (errno != EAGAIN && errno != EINTR) return errno;
    if (deadline.passed()) return ETIMEDOUT;
    ::poll(nullptr, 0, 5);
  }
}

std::string explain_connect(int error) {
  switch (error) {
    case ENOENT:
    case ECONNREFUSED:
      return "nothing is listening there; the lease has ended or its gatekeeper is not running "
             "(`tessera ps` lists the leases that are alive)";
    case EACCES:
    case EPERM:
      return "this user may not open it; run the program as the user that holds the lease";
    case ETIMEDOUT:
      return "it did not answer in time; the host is overloaded or the address is wrong";
    default:
      return error_text(error);
  }
}

UniqueFd connect_unix(const Endpoint& endpoint, const Deadline& deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (endpoint.path.size() >= sizeof address.sun_path) {
    fail(endpoint,
         "the path is longer than a unix socket allows (107 bytes); use a shorter "
         "TESSERA_RUNTIME_DIR");
  }
  std::memcpy(address.sun_path, endpoint.path.data(), endpoint.path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) fail(endpoint, error_text(errno));
  const int error = connect_within(socket.get(), reinterpret_cast<const sockaddr*>(&address),
                                   sizeof address, deadline);
  if (error != 0) fail(endpoint, explain_connect(error));
  return socket;
}

UniqueFd connect_tcp(const Endpoint& endpoint, const Deadline& deadline) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int resolved = ::getaddrinfo(endpoint.host.c_str(), endpoint.port.c_str(), &wanted, &found);
  if (resolved != 0) fail(endpoint, ::gai_strerror(resolved));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, ::freeaddrinfo);
  int error = ECONNREFUSED;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    UniqueFd socket(::socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) fail(endpoint, error_text(errno));
    error = connect_within(socket.get(), each->ai_addr, each->ai_addrlen, deadline);
    if (error == 0) return socket;
  }
  fail(endpoint, explain_connect(error));
}

Hello make_hello(const Endpoint& endpoint, std::span<const std::byte> token) {
  Hello hello;
  hello.transport = endpoint.kind;
  if (token.empty() && endpoint.kind != TransportKind::tcp_stream) return hello;
  if (token.size() != kTokenBytes) {
    fail(endpoint,
         "a token of 32 bytes is needed: set TESSERA_TOKEN to the lease's token "
         "(64 hexadecimal digits)");
  }
  hello.token_bytes = kTokenBytes;
  std::copy(token.begin(), token.end(), hello.token.begin());
  return hello;
}

UniqueFd greet(const Endpoint& endpoint, const Hello& hello, int socket, const Deadline& deadline) {
  // Even if the hello cannot be written, a refusal may be there to read.
  write_all(socket, std::as_bytes(std::span(&hello, 1)), deadline);
  HelloReply reply;
  UniqueFd memory;
  if (!read_reply(socket, reply, memory, deadline)) {
    fail(endpoint, errno == ETIMEDOUT
                       ? "the worker did not answer in time; the host is overloaded"
                       : "the worker hung up before it answered; the lease's gatekeeper.log says "
                         "why");
  }
  if (reply.magic != HelloReply::kMagic) {
    fail(endpoint, "something else than Tessera answered; check the endpoint");
  }
  if (reply.status != HelloStatus::ok) {
    fail(endpoint, refusal_sentence(reply.status, reply.version));
  }
  if (reply.version != kProtocolVersion) {
    fail(endpoint, refusal_sentence(HelloStatus::version, reply.version));
  }
  return memory;
}

}  // namespace

std::unique_ptr<Channel> connect_channel(std::string_view text, std::span<const std::byte> token) {
  const Endpoint endpoint = parse_endpoint(text);
  const Hello hello = make_hello(endpoint, token);
  const Deadline deadline(kConnectTime);
  UniqueFd socket = endpoint.kind == TransportKind::tcp_stream ? connect_tcp(endpoint, deadline)
                                                               : connect_unix(endpoint, deadline);
  UniqueFd memory = greet(endpoint, hello, socket.get(), deadline);
  if (endpoint.kind != TransportKind::shm) {
    return std::make_unique<StreamChannel>(endpoint.kind, std::move(socket));
  }
  if (!memory) fail(endpoint, "the worker sent no shared memory");
  return std::make_unique<ShmChannel>(Side::client, std::move(memory), std::move(socket));
}

}  // namespace tessera

// SPDX-License-Identifier: Apache-2.0
#include "channel_pair.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <thread>

#include "check.h"

namespace tessera::test {

namespace {

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  address.sin_port = ::htons(static_cast<std::uint16_t>(port));
  return address;
}

template <typename Address>
const sockaddr* generic(const Address& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

}  // namespace

Listener::Listener(TransportKind kind) {
  if (kind == TransportKind::tcp_stream) {
    socket_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = loopback(0);
    CHECK(::bind(socket_.get(), generic(address), sizeof address) == 0);
    socklen_t length = sizeof address;
    ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ::ntohs(address.sin_port);
    endpoint_ = "tcp:127.0.0.1:" + std::to_string(port_);
    for (int i = 0; i < 32; ++i) token_.push_back(static_cast<std::byte>(7 * i + 1));
  } else {
    char name[] = "/tmp/tessera-test-XXXXXX";
    CHECK(::mkdtemp(name) != nullptr);
    folder_ = name;
    path_ = folder_ + "/gpu.sock";
    socket_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = unix_address(path_);
    CHECK(::bind(socket_.get(), generic(address), sizeof address) == 0);
    endpoint_ = (kind == TransportKind::shm ? "shm:" : "unix:") + path_;
  }
  CHECK(::listen(socket_.get(), 16) == 0);
}

Listener::~Listener() {
  if (folder_.empty()) return;
  ::unlink(path_.c_str());
  ::rmdir(folder_.c_str());
}

int Listener::accept_fd() const {
  const int fd = ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC);
  CHECK(fd >= 0);
  return fd;
}

std::unique_ptr<Channel> Listener::accept(std::int32_t* client_pid) const {
  return accept_channel(accept_fd(), token_, client_pid);
}

std::unique_ptr<Channel> Listener::connect() const {
  return connect_channel(endpoint_, token_);
}

int Listener::raw_connection() const {
  const int family = path_.empty() ? AF_INET : AF_UNIX;
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (path_.empty()) {
    const sockaddr_in address = loopback(port_);
    CHECK(::connect(fd, generic(address), sizeof address) == 0);
  } else {
    const sockaddr_un address = unix_address(path_);
    CHECK(::connect(fd, generic(address), sizeof address) == 0);
  }
  return fd;
}

Pair make_pair(TransportKind kind) {
  const Listener listener(kind);
  Pair pair;
  std::thread worker([&] { pair.worker = listener.accept(); });
  pair.client = listener.connect();
  worker.join();
  CHECK(pair.client->kind() == kind && pair.worker->kind() == kind);
  return pair;
}

const char* name_of(TransportKind kind) {
  switch (kind) {
    case TransportKind::shm:
      return "shm";
    case TransportKind::unix_stream:
      return "unix";
    case TransportKind::tcp_stream:
      return "tcp";
  }
  return "?";
}

void must_receive(Channel& channel, Incoming& into, bool spin) {
  CHECK(channel.receive(into, {std::chrono::seconds(10), spin}) == Received::message);
}

}  // namespace tessera::test

// SPDX-License-Identifier: Apache-2.0
#include "gatekeeper/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <memory>
#include <stdexcept>
#include <system_error>

namespace tessera::gatekeeper {
namespace {

constexpr int kBacklog = 256;
constexpr int kSocketFlags = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

UnixListener::UnixListener(std::string path)
    : path_(std::move(path)), fd_(::socket(AF_UNIX, kSocketFlags, 0)) {
  if (!fd_) fail("a unix socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path) {
    throw std::runtime_error("the path " + path_ + " is too long for a unix socket");
  }
  ::memcpy(address.sun_path, path_.data(), path_.size());
  struct stat facts {};
  if (::lstat(path_.c_str(), &facts) == 0 && !S_ISSOCK(facts.st_mode)) {
    throw std::runtime_error(path_ + " exists and is no socket");
  }
  ::unlink(path_.c_str());
  // The mode comes from the umask: between bind and a chmod anybody could connect.
  const mode_t before = ::umask(0177);
  const int bound = ::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  ::umask(before);
  if (bound != 0) fail("binding " + path_);
  if (::lstat(path_.c_str(), &facts) == 0) inode_ = facts.st_ino;
  if (::listen(fd_.get(), kBacklog) != 0) fail("listening at " + path_);
}

UnixListener::~UnixListener() {
  struct stat facts {};
  if (::lstat(path_.c_str(), &facts) == 0 && facts.st_ino == inode_) ::unlink(path_.c_str());
}

TcpListener::TcpListener(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) throw std::runtime_error(address + " is not HOST:PORT");
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  // An empty host would mean every address of this machine.
  if (host.empty()) throw std::runtime_error(address + " names no host to listen at");
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &list)) {
    throw std::runtime_error(address + ": " + ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(list, &::freeaddrinfo);
  fd_ = UniqueFd(::socket(list->ai_family, kSocketFlags, 0));
  if (!fd_) fail("a TCP socket");
  const int on = 1;
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd_.get(), list->ai_addr, list->ai_addrlen) != 0) fail("binding " + address);
  if (::listen(fd_.get(), kBacklog) != 0) fail("listening at " + address);
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  if (::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&bound), &length) != 0) {
    fail("the port of " + address);
  }
  const bool v6 = bound.ss_family == AF_INET6;
  port_ = ntohs(v6 ? reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port
                   : reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
}

}  // namespace tessera::gatekeeper

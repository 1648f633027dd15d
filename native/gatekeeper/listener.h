// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/unique_fd.h"

namespace tessera::gatekeeper {

// A listening unix socket at a path, mode 0600. An existing socket there is replaced; the path is
// removed at the end if it is still this socket's. Throws std::system_error, std::runtime_error.
class UnixListener {
 public:
  explicit UnixListener(std::string path);
  ~UnixListener();
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;
  int fd() const { return fd_.get(); }

 private:
  std::string path_;
  UniqueFd fd_;
  ino_t inode_ = 0;
};

// Listens at HOST:PORT (or [HOST]:PORT) and at no other address; port 0 takes a free one.
class TcpListener {
 public:
  explicit TcpListener(const std::string& address);
  int fd() const { return fd_.get(); }
  std::uint16_t port() const { return port_; }

 private:
  UniqueFd fd_;
  std::uint16_t port_ = 0;
};

}  // namespace tessera::gatekeeper

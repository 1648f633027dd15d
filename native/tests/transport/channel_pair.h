// SPDX-License-Identifier: Apache-2.0
//
// Both ends of a channel, for tests: a listener of its own, and what a gatekeeper would do with it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "transport/channel.h"

namespace tessera::test {

// Listens on a socket in a fresh temporary folder, or on a loopback port; removes it when it goes.
class Listener {
 public:
  explicit Listener(TransportKind kind);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();

  const std::string& endpoint() const { return endpoint_; }
  // As connect_channel and accept_channel want it: 32 bytes for TCP, else empty.
  const std::vector<std::byte>& token() const { return token_; }
  int accept_fd() const;
  std::unique_ptr<Channel> accept(std::int32_t* client_pid = nullptr) const;
  std::unique_ptr<Channel> connect() const;
  int raw_connection() const;

 private:
  UniqueFd socket_;
  std::string endpoint_;
  std::string folder_;
  std::string path_;
  int port_ = 0;
  std::vector<std::byte> token_;
};

struct Pair {
  std::unique_ptr<Channel> client;
  std::unique_ptr<Channel> worker;
};

// Both ends in this process.
Pair make_pair(TransportKind kind);

inline constexpr TransportKind kAllKinds[] = {TransportKind::shm, TransportKind::unix_stream,
                                              TransportKind::tcp_stream};
const char* name_of(TransportKind kind);

// The next message within ten seconds, else the test fails.
void must_receive(Channel& channel, Incoming& into, bool spin = false);

}  // namespace tessera::test

// SPDX-License-Identifier: Apache-2.0
//
// A client's session and a worker's session over the null driver, both in this process, for tests
// and sanitizers that want to see both sides at once.
#pragma once

#include <memory>
#include <thread>

#include "channel_pair.h"
#include "generated/client_entries.h"
#include "opencl/client/context.h"
#include "opencl/client/session.h"
#include "opencl/worker/session.h"

namespace tessera::test {

inline constexpr std::uint64_t kLeaseBytes = 64 << 20;

class ClientPair {
 public:
  explicit ClientPair(TransportKind kind);
  ClientPair(const ClientPair&) = delete;
  ClientPair& operator=(const ClientPair&) = delete;
  // Every object of the session must be released by then.
  ~ClientPair();

  // What clCreateContext does, on this session instead of the process's.
  cl_context make_context();
  cl_device_id device() const;
  client::Session& session() { return *client_; }
  Quota& quota() { return quota_; }
  // As if the worker's process died.
  void kill_worker();

 private:
  std::unique_ptr<Channel> channel_;  // the worker's end
  Quota quota_;
  std::size_t slot_;
  std::unique_ptr<worker::Session> worker_;
  std::thread serving_;
  std::unique_ptr<client::Session> client_;
};

}  // namespace tessera::test

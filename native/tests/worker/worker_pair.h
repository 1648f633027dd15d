// SPDX-License-Identifier: Apache-2.0
//
// A session over the null driver and the client's end of its channel, for tests that write their
// own messages.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "channel_pair.h"
#include "generated/dispatch_to_client.h"
#include "opencl/worker/session.h"

namespace tessera::test {

inline constexpr std::uint64_t kLease = 1 << 20;  // bytes of each device

// What arrived, copied.
struct Arrived {
  wire::Opcode opcode;
  std::vector<std::byte> fields;
  std::vector<std::byte> bulk;
};

class WorkerPair {
 public:
  using Gates = std::vector<std::unique_ptr<worker::Gate>>;
  explicit WorkerPair(TransportKind kind = TransportKind::shm, std::size_t devices = 1,
                      Gates gates = {});
  WorkerPair(const WorkerPair&) = delete;
  WorkerPair& operator=(const WorkerPair&) = delete;
  // Closes the client's end and waits for the session.
  ~WorkerPair();

  template <class Message>
  std::uint64_t send(const Message& message, std::span<const std::byte> bulk = {}) {
    wire::Encoder out;
    encode(out, message);
    return send_raw(static_cast<std::uint16_t>(Message::kOpcode), out.bytes(), bulk);
  }
  std::uint64_t send_raw(std::uint16_t opcode, std::span<const std::byte> fields,
                         std::span<const std::byte> bulk = {});
  // The next message; the test fails if none comes within ten seconds.
  Arrived next();
  // Skips to the next message of type `Message`; its spans live until the next call.
  template <class Message>
  Message until() {
    for (;;) {
      last_ = next();
      if (last_.opcode != Message::kOpcode) {
        skipped_.push_back(last_.opcode);
        continue;
      }
      wire::Decoder in(last_.fields);
      Message message;
      if (!decode(in, message)) ::abort();
      return message;
    }
  }
  const std::vector<std::byte>& bulk() const { return last_.bulk; }
  // What until() passed over since this was last asked.
  std::vector<wire::Opcode> skipped() { return std::exchange(skipped_, {}); }
  // Nothing is there for a moment.
  bool quiet();

  // open_session and its answer.
  void open();
  // A context on every device, and a queue on the first.
  void make_queue(wire::Id context, wire::Id queue, cl_command_queue_properties properties = 0);

  // Why the session ended; waits for that at most ten seconds.
  std::string end_reason();
  Quota& quota() { return quota_; }
  // The first device's share, read under the page's mutex.
  GpuQuota gpu();
  std::size_t slot() const { return slot_; }
  worker::Session& session() { return *session_; }
  Channel& channel() { return *pair_.client; }

 private:
  std::size_t devices_;
  Pair pair_;
  Quota quota_;
  std::size_t slot_;
  std::mutex mutex_;
  std::string reason_ = "not ended";
  std::vector<wire::Opcode> skipped_;
  Arrived last_{};
  std::unique_ptr<worker::Session> session_;
  std::thread thread_;
};

}  // namespace tessera::test

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CL/cl.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "generated/messages_context.h"
#include "generated/messages_event.h"
#include "generated/messages_kernel.h"
#include "generated/messages_program.h"
#include "generated/messages_session.h"
#include "lease/quota.h"
#include "transport/channel.h"

namespace tessera::worker {

class Output;

// Sends to the client. Any thread.
class Answers {
 public:
  Answers(Channel& channel, Quota& quota, SessionSlot& slot, Output& output)
      : channel_(channel), quota_(quota), slot_(slot), output_(output) {}

  template <class Message>
  void send(const Message& message, Bulk bulk = {}) {
    wire::Encoder out;
    encode(out, message);
    channel_.send(static_cast<std::uint16_t>(Message::kOpcode), out.bytes(), std::move(bulk));
  }

  // What the client is being told of the lease's limits; a later change is told before a reply.
  struct Limits {
    std::uint64_t resizes;
    std::vector<std::uint64_t> memory;  // bytes, by the GPU's place in the lease
  };
  Limits take_limits();

  // Answers the call with sequence number `of`; what kernels printed so far goes first.
  void reply(std::uint64_t of, cl_int status, std::span<const std::uint64_t> values = {},
             wire::Blob data = {}, Bulk bulk = {});
  // The end of a read: `bulk` has the bytes, or is empty when the command failed. `waited`: the
  // client waits for it now.
  void read_done(std::uint64_t ticket, cl_int status, Bulk bulk, bool waited);
  // build_done ends a build; counts it as a call answered. build_log and kernel_facts go by send().
  void build_done(const wire::BuildDone& message);
  // A posted message about `target` failed.
  void deferred_error(std::uint64_t target, cl_int status, wire::Opcode opcode);

  Channel& channel() { return channel_; }

 private:
  void count_round_trip();
  void tell_limits();

  Channel& channel_;
  Quota& quota_;
  std::atomic<std::uint64_t> told_{0};  // QuotaPage::resizes of the limits that the client knows
  SessionSlot& slot_;
  Output& output_;
};

}  // namespace tessera::worker

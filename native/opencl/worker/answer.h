// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CL/cl.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "generated/messages_context.h"
#include "generated/messages_event.h"
#include "generated/messages_kernel.h"
#include "generated/messages_program.h"
#include "generated/messages_session.h"
#include "lease/quota.h"
#include "opencl/long_message.h"
#include "transport/channel.h"

namespace tessera::worker {

class Output;

// Sends to the client. Any thread.
class Answers {
 public:
  Answers(Channel& channel, Quota& quota, SessionSlot& slot, Output& output)
      : channel_(channel), quota_(quota), slot_(slot), output_(output) {}

  // What the calling thread answers is not sent as long as this lives: the client has had it,
  // before a suspend.
  class Muted {
   public:
    explicit Muted(Answers& answers) : answers_(answers) {
      answers_.first_error_ = CL_SUCCESS;
      answers_.muted_thread_.store(std::this_thread::get_id());
    }
    Muted(const Muted&) = delete;
    Muted& operator=(const Muted&) = delete;
    ~Muted() { answers_.muted_thread_.store(std::thread::id()); }
    // The first error that would have been told.
    cl_int status() const { return answers_.first_error_; }

   private:
    Answers& answers_;
  };
  bool muted() const {
    return muted_thread_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }

  template <class Message>
  void send(const Message& message, Bulk bulk = {}) {
    if (!muted()) push(message, std::move(bulk));
  }
  // News of an event, which is no answer.
  template <class Message>
  void push(const Message& message, Bulk bulk = {}) {
    wire::Encoder out;
    encode(out, message);
    constexpr auto kOpcode = static_cast<std::uint16_t>(Message::kOpcode);
    if (is_long(out.bytes(), bulk)) {
      long_answers_.send(channel_, kOpcode, out.bytes(), {bulk.data(), bulk.size()});
    } else {
      channel_.send(kOpcode, out.bytes(), std::move(bulk));
    }
  }

  // What the client is being told of the lease's limits; a later change is told before a reply.
  struct Limits {
    std::uint64_t resizes;
    std::vector<std::uint64_t> memory;  // bytes, by the GPU's place in the lease
  };
  Limits take_limits();

  // Payload memory with a copy of the bytes; more than kMaxBulk are lent: they must stay until the
  // answer was sent.
  Bulk bulk_of(std::span<const std::byte> bytes);

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
  // False: the answer has to be sent.
  bool hold_back(cl_int status);
  void count_round_trip();
  void tell_limits();

  Channel& channel_;
  LongSender<wire::LongAnswerPiece, wire::LongAnswer> long_answers_;
  Quota& quota_;
  std::atomic<std::uint64_t> told_{0};  // QuotaPage::resizes of the limits that the client knows
  SessionSlot& slot_;
  Output& output_;
  std::atomic<std::thread::id> muted_thread_{};
  cl_int first_error_ = CL_SUCCESS;  // of the muted thread
};

}  // namespace tessera::worker

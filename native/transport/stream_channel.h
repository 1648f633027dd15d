// SPDX-License-Identifier: Apache-2.0
//
// A channel over one stream socket, unix or TCP (or whatever else is a stream, later).
//
// Two lanes, one socket. Commands and bulk are logical lanes: a payload is cut into fragments of
// 256 KiB, and messages of other threads pass between them, so a command waits for one fragment and
// never for a whole copy. Two sockets were refused. Behind a forking gatekeeper the second one must
// find the right worker, which over TCP means a second port, a one-time secret, and a firewall rule
// for it; a virtio-serial port has no second stream at all; and since a message is delivered in
// order and with its bulk, the second socket would win nothing that the fragments do not.
//
// Credits. A sender may have kBulkWindow bytes of bulk unconsumed; the receiver returns credit when
// a payload is dropped. Credit is read from the same stream as messages, so a thread that waits for
// it must read: what it finds ahead of the credit is stashed for the next receive(). Thus a worker
// with a single thread can wait in reserve() without waiting for itself.
//
// Copies. The socket costs one on each side, and there are no others where it can be helped: a
// payload is sent from the program's memory (lend) and received straight into it (on_place), or by
// the worker into the memory that the driver reads. Foreign memory is touched by system calls only
// while send() runs, or until the message is received or the channel closed.
//
// Writing. Nobody holds a lock while waiting for the socket. A small message goes out at once when
// the line has been quiet for a moment, and is gathered otherwise; whoever next sends, flushes or
// goes to sleep in receive() writes what was gathered.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "base/unique_fd.h"
#include "transport/channel.h"
#include "transport/counters.h"
#include "transport/stream_decoder.h"
#include "transport/stream_output.h"

namespace tessera {

class StreamChannel final : public Channel {
 public:
  // Throws ConnectError when the process has no descriptor left.
  StreamChannel(TransportKind kind, UniqueFd socket);
  ~StreamChannel() override;

  TransportKind kind() const override { return kind_; }
  Bulk reserve(std::size_t bytes) override;
  // A block beyond what the pool keeps costs more than moving its bytes.
  std::size_t bulk_ahead() const override { return BlockPool::kKept; }
  Bulk lend(std::span<const std::byte> bytes) override;
  std::uint64_t send(std::uint16_t opcode, std::span<const std::byte> fields, Bulk bulk) override;
  void flush() override;
  Received receive(Incoming& into, Wait wait) override;
  void interrupt() override;
  // The next message will do: nobody naps here, and a wake would be for that alone.
  void nudge() override {}
  void on_stall(std::function<void()> handler) override;
  void on_place(Place place) override;
  int liveness_fd() const override { return hangup_watch_.get(); }
  void close() noexcept override;
  void abandon_after_fork() noexcept override;
  ChannelCounters counters() const override { return counters_.read(); }

 private:
  using Lock = std::unique_lock<std::mutex>;
  struct Stashed {
    FrameHeader header;
    std::vector<std::byte> fields;
    Block* bulk;
  };

  static void drop_unsent(void* owner, std::uint64_t token) noexcept;
  static void drop_received(void* owner, std::uint64_t token) noexcept;

  void take_window(std::size_t bytes);

  // Under out_mutex_.
  void pump() noexcept;
  void pump_if_due() noexcept;
  std::uint64_t queue_message(FrameHeader header, std::span<const std::byte> fields,
                              std::span<const std::byte> bulk);
  void send_fragments(Lock& lock, FrameHeader& header, std::span<const std::byte> fields,
                      const Bulk& bulk);
  template <typename HasRoom>
  void wait_for_room(Lock& lock, HasRoom has_room);

  // Under in_mutex_.
  bool next_message(Incoming& into);
  bool read_socket();
  void apply_credit(std::uint64_t bytes);
  void deliver(Incoming& into, const FrameHeader& header, std::span<const std::byte> fields,
               Block* bulk);

  void stall(std::int64_t pause_ns);
  bool read_ahead();
  void sleep_for_message(std::int64_t ns, bool output_waits);
  void signal_receiver() noexcept;
  void check_open() const;
  void check_may_send() const;
  template <typename Step>
  auto ending_on_nonsense(Step step);

  const TransportKind kind_;
  UniqueFd socket_;
  UniqueFd hangup_watch_;
  UniqueFd wake_;  // eventfd: ends the poll of receive()
  LiveCounters counters_;
  BlockPool blocks_;
  std::atomic<bool> closed_{false};
  std::atomic<bool> peer_gone_{false};
  std::atomic<bool> abandoned_{false};
  std::atomic<bool> interrupted_{false};

  std::mutex bulk_turn_;  // one large payload at a time; taken before out_mutex_
  std::mutex out_mutex_;  // taken after in_mutex_ where both are
  StreamOutput output_;
  std::uint64_t next_to_send_ = 1;
  std::int64_t last_write_ns_ = 0;
  std::uint64_t reserved_ = 0;   // bytes of bulk that are not sent yet
  std::uint64_t in_flight_ = 0;  // bytes of bulk sent and not yet consumed by the peer

  std::atomic<std::uint64_t> held_{0};         // bytes of the peer's bulk, not yet consumed
  std::atomic<std::uint64_t> credit_owed_{0};  // bytes consumed, and the peer does not know yet

  std::mutex in_mutex_;
  StreamDecoder decoder_;
  std::deque<Stashed> stash_;
  std::size_t stashed_bytes_ = 0;
  bool ended_ = false;
  std::unique_ptr<std::uint64_t[]> fields_;  // 8-aligned room for one message's fields

  std::mutex handler_mutex_;
  std::function<void()> stall_handler_;
};

}  // namespace tessera

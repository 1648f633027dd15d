// SPDX-License-Identifier: Apache-2.0
//
// A channel over shared memory: a ring and an arena for each direction.
//
// The unix socket that brought the memfd stays open and almost silent (descriptors.h): its hang-up
// is how the death of the peer is noticed. A sleeper wakes every tenth of a second to look at it; a
// watcher thread for each channel was refused, because this library lives in other people's
// programs.
//
// No lock is held while a sender waits for room: other senders go on, on_stall() may receive, and
// close() is never kept waiting.
#pragma once

#include <memory>
#include <mutex>

#include "base/unique_fd.h"
#include "transport/adaptive_spin.h"
#include "transport/arena.h"
#include "transport/block_pool.h"
#include "transport/channel.h"
#include "transport/counters.h"
#include "transport/descriptors.h"
#include "transport/ring.h"
#include "transport/shm_region.h"

namespace tessera {

enum class Side { client, worker };

class ShmChannel final : public Channel {
 public:
  // `memory` is the memfd (mapped, then closed), `socket` the connection it came over. Throws
  // ConnectError.
  ShmChannel(Side side, UniqueFd memory, UniqueFd socket);
  ~ShmChannel() override;

  TransportKind kind() const override { return TransportKind::shm; }
  Bulk reserve(std::size_t bytes) override;
  // Half of the arena is left to others. Less would stay in a cache that both cores share, and is
  // faster where they do share one; where they do not, a piece that is written again before it has
  // left the other core's cache is slower than one in no cache.
  std::size_t bulk_ahead() const override { return kArenaBytes / 2; }
  std::uint64_t send(std::uint16_t opcode, std::span<const std::byte> fields, Bulk bulk) override;
  void flush() override;
  Received receive(Incoming& into, Wait wait) override;
  void nap_for(std::function<std::chrono::nanoseconds()> length,
               std::function<void()> ended) override;
  void interrupt() override;
  void nudge() override;
  void on_stall(std::function<void()> handler) override;
  int liveness_fd() const override { return hangup_watch_.get(); }
  void close() noexcept override;
  void abandon_after_fork() noexcept override;
  ChannelCounters counters() const override { return counters_.read(); }
  bool passes_descriptors() const override { return true; }
  bool send_descriptor(std::uint64_t tag, int fd) override;
  UniqueFd take_descriptor(std::uint64_t tag) override;

 private:
  static void drop_block(void* owner, std::uint64_t token) noexcept;
  static void drop_reserved(void* owner, std::uint64_t token) noexcept;
  static void drop_received(void* owner, std::uint64_t token) noexcept;

  void place_bulk(FrameHeader& header, const Bulk& bulk);
  bool try_send(FrameHeader& header, std::span<const std::byte> fields,
                std::span<const std::byte> in_frame);
  bool has_send_room(std::size_t bytes);
  void look_after_peer();
  template <typename HasRoom>
  void wait_for_room(StallPause& pause, HasRoom has_room);
  bool run_stall_handler();

  bool take(Incoming& into);
  void spin_for_record(std::int64_t budget_ns);
  Received wait_for(Incoming& into, Wait wait);
  void check_peer_left_more();
  bool peer_is_gone();
  void check_open() const;
  void check_may_send() const;
  template <typename Step>
  auto ending_on_nonsense(Step step);
  void wake(SharedWord& word);

  ShmRegion region_;
  UniqueFd socket_;
  UniqueFd hangup_watch_;
  DirectionControl* tx_control_;
  DirectionControl* rx_control_;
  std::byte* tx_arena_;
  std::byte* rx_arena_;
  LiveCounters counters_;
  DescriptorBox descriptors_;
  BlockPool blocks_;
  std::atomic<bool> closed_{false};
  std::atomic<bool> peer_gone_{false};
  std::atomic<bool> abandoned_{false};
  std::atomic<bool> interrupted_{false};

  std::mutex send_mutex_;
  RingProducer producer_;
  std::uint64_t next_to_send_ = 1;
  std::atomic<std::int64_t> sender_looked_ns_{0};
  std::atomic<bool> left_napping_{false};  // a message was sent and its receiver not woken
  ArenaSender arena_;

  RingConsumer consumer_;
  std::uint64_t next_to_receive_ = 1;
  std::unique_ptr<std::uint64_t[]> fields_;  // 8-aligned room for one message's fields
  AdaptiveSpin spin_;
  std::int64_t peer_checked_ns_ = 0;
  std::function<std::chrono::nanoseconds()> nap_length_ = [] { return kShortNap; };
  std::function<void()> nap_ended_;

  std::mutex handler_mutex_;
  std::function<void()> stall_handler_;
};

}  // namespace tessera

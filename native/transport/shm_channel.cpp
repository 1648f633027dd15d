// SPDX-License-Identifier: Apache-2.0
#include "transport/shm_channel.h"

#include <sys/socket.h>

#include <utility>

#include "base/clock.h"
#include "base/futex.h"
#include "transport/liveness.h"

namespace tessera {

namespace {

constexpr std::int64_t kSlice = 100'000'000;       // longest sleep before the peer is looked at
constexpr std::int64_t kLookEvery = 20'000'000;    // for callers that never sleep
constexpr std::uint64_t kArenaToken = 1ULL << 63;  // no pointer to a Block has this bit

std::uint64_t token_of(ArenaRun run) {
  return kArenaToken | (static_cast<std::uint64_t>(run.first) << 16) | run.count;
}
ArenaRun run_of(std::uint64_t token) {
  return {static_cast<std::uint32_t>(token >> 16) & 0xffff,
          static_cast<std::uint32_t>(token & 0xffff)};
}

[[noreturn]] void throw_peer_gone() {
  throw ChannelClosed("the other side of the session is gone");
}

}  // namespace

ShmChannel::ShmChannel(Side side, UniqueFd memory, UniqueFd socket)
    : region_(memory.get()),
      socket_(std::move(socket)),
      hangup_watch_(watch_hangup(socket_.get())),
      tx_control_(side == Side::client ? &region_.layout().to_worker : &region_.layout().to_client),
      rx_control_(side == Side::client ? &region_.layout().to_client : &region_.layout().to_worker),
      tx_arena_(side == Side::client ? region_.layout().arena_to_worker
                                     : region_.layout().arena_to_client),
      rx_arena_(side == Side::client ? region_.layout().arena_to_client
                                     : region_.layout().arena_to_worker),
      producer_(
          tx_control_->ring,
          side == Side::client ? region_.layout().ring_to_worker : region_.layout().ring_to_client,
          kRingBytes),
      arena_(tx_control_->consumed),
      consumer_(
          rx_control_->ring,
          side == Side::client ? region_.layout().ring_to_client : region_.layout().ring_to_worker,
          kRingBytes),
      fields_(std::make_unique_for_overwrite<std::uint64_t[]>(kMaxFields / 8)) {
  if (!hangup_watch_) throw ConnectError("no descriptor is left to watch the session's peer");
}

ShmChannel::~ShmChannel() {
  close();
}

// What is left in the ring of a peer that breaks the protocol is not worth reading.
template <typename Step>
auto ShmChannel::ending_on_nonsense(Step step) {
  try {
    return step();
  } catch (const ChannelClosed&) {
    close();
    throw;
  }
}

// --- descriptors --------------------------------------------------------------------------------

bool ShmChannel::send_descriptor(std::uint64_t tag, int fd) {
  check_open();
  return send_tagged_descriptor(socket_.get(), tag, fd);
}

UniqueFd ShmChannel::take_descriptor(std::uint64_t tag) {
  check_open();
  return descriptors_.take(socket_.get(), tag);
}

// --- bulk ---------------------------------------------------------------------------------------

void ShmChannel::drop_block(void* owner, std::uint64_t token) noexcept {
  auto* self = static_cast<ShmChannel*>(owner);
  if (self->abandoned_) return BlockPool::give_after_fork(Block::of(token));
  self->blocks_.give(Block::of(token));
}

void ShmChannel::drop_reserved(void* owner, std::uint64_t token) noexcept {
  auto* self = static_cast<ShmChannel*>(owner);
  if (self->abandoned_) return;
  self->arena_.give_back(run_of(token));
  // Another thread of this process may wait for just this room.
  self->wake(self->tx_control_->ring.producer_sleeps);
}

void ShmChannel::drop_received(void* owner, std::uint64_t token) noexcept {
  auto* self = static_cast<ShmChannel*>(owner);
  if (self->abandoned_) return;
  mark_consumed(self->rx_control_->consumed[run_of(token).first]);
  self->wake(self->rx_control_->ring.producer_sleeps);
}

Bulk ShmChannel::reserve(std::size_t bytes) {
  if (bytes < 1 || bytes > kMaxBulk) throw std::length_error("bulk of a wrong length");
  check_may_send();
  if (bytes <= kInlineBulk) {
    Block* block = blocks_.take(bytes);
    return Bulk(block->data(), bytes, drop_block, this, block->token());
  }
  ArenaRun run;
  const auto take_run = [&] { return arena_.try_take(bytes, run); };
  bool taken = take_run();
  for (StallPause pause; !taken;) wait_for_room(pause, [&] { return taken = take_run(); });
  return Bulk(tx_arena_ + run.offset(), bytes, drop_reserved, this, token_of(run));
}

void ShmChannel::place_bulk(FrameHeader& header, const Bulk& bulk) {
  header.bulk_size = static_cast<std::uint32_t>(bulk.size());
  if ((bulk.token() & kArenaToken) == 0) {
    header.bulk_in = BulkIn::frame;
    return;
  }
  const ArenaRun run = run_of(bulk.token());
  if (bulk.data() != tx_arena_ + run.offset()) {
    throw std::invalid_argument("this bulk was not reserved on this channel");
  }
  header.bulk_in = BulkIn::apart;
  header.bulk_at = run.offset();
  // Before the message is published: from then on the receiver may set the mark.
  arena_.sent(run);
}

// --- sending ------------------------------------------------------------------------------------

std::uint64_t ShmChannel::send(std::uint16_t opcode, std::span<const std::byte> fields, Bulk bulk) {
  if (fields.size() > kMaxFields) throw std::length_error("fields are too long");
  check_may_send();
  FrameHeader header;
  header.opcode = opcode;
  header.fields_size = static_cast<std::uint32_t>(fields.size());
  std::span<const std::byte> in_frame;
  if (bulk) {
    place_bulk(header, bulk);
    if (header.bulk_in == BulkIn::frame) {
      in_frame = {bulk.data(), bulk.size()};
    } else {
      bulk.forget();
    }
  }
  bool sent = try_send(header, fields, in_frame);
  for (StallPause pause; !sent;) {
    wait_for_room(pause, [&] { return has_send_room(frame_bytes(header)); });
    sent = try_send(header, fields, in_frame);
  }
  counters_.sent(sizeof header + header.fields_size + header.bulk_size);
  // Bulk keeps room of the arena for as long as it lies.
  SharedWord& sleeps = tx_control_->ring.consumer_sleeps;
  if (header.bulk_in == BulkIn::apart || !is_napping(sleeps)) {
    wake(sleeps);
  } else {
    left_napping_.store(true);
  }
  look_after_peer();
  return header.sequence;
}

// Only out of a nap: who was woken by a send may have taken the message and sleep again by now.
void ShmChannel::flush() {
  if (left_napping_.load(std::memory_order_relaxed) && left_napping_.exchange(false)) {
    wake(tx_control_->ring.consumer_sleeps);
  }
}

// A program that only posts never waits, and so would fill the ring before it learnt that nobody
// reads it any more.
void ShmChannel::look_after_peer() {
  const std::int64_t now = monotonic_ns();
  if (now - sender_looked_ns_.load(std::memory_order_relaxed) < kSlice) return;
  sender_looked_ns_.store(now, std::memory_order_relaxed);
  if (peer_is_gone()) throw_peer_gone();
}

bool ShmChannel::try_send(FrameHeader& header, std::span<const std::byte> fields,
                          std::span<const std::byte> in_frame) {
  const std::scoped_lock lock(send_mutex_);
  header.sequence = next_to_send_;
  if (!ending_on_nonsense([&] { return producer_.try_push(header, fields, in_frame); }))
    return false;
  ++next_to_send_;
  return true;
}

bool ShmChannel::has_send_room(std::size_t bytes) {
  const std::scoped_lock lock(send_mutex_);
  return ending_on_nonsense([&] { return producer_.has_room(bytes); });
}

template <typename HasRoom>
void ShmChannel::wait_for_room(StallPause& pause, HasRoom has_room) {
  const bool handled = run_stall_handler();
  flush();
  SharedWord& word = tx_control_->ring.producer_sleeps;
  announce_sleep(word);
  // The announcement is not taken back: it may by now be another sender's as well.
  if (has_room()) return;
  check_may_send();
  if (peer_is_gone()) throw_peer_gone();
  counters_.slept();
  futex_wait(word, kAsleep, handled ? pause.next_ns() : kSlice);
}

bool ShmChannel::run_stall_handler() {
  std::function<void()> handler;
  {
    const std::scoped_lock lock(handler_mutex_);
    handler = stall_handler_;
  }
  if (handler) handler();
  return static_cast<bool>(handler);
}

void ShmChannel::on_stall(std::function<void()> handler) {
  const std::scoped_lock lock(handler_mutex_);
  stall_handler_ = std::move(handler);
}

void ShmChannel::wake(SharedWord& word) {
  if (!ring_needs_wakeup(word) || !take_wakeup(word)) return;
  counters_.woke();
  futex_wake_all(word);
}

// --- receiving ----------------------------------------------------------------------------------

bool ShmChannel::take(Incoming& into) {
  FrameHeader header;
  if (!consumer_.pop_header(header)) return false;
  require(header.sequence == next_to_receive_, "a message is missing or repeated");
  ++next_to_receive_;
  into.opcode = header.opcode;
  into.sequence = header.sequence;
  consumer_.copy(fields_.get(), header.fields_size);
  into.fields = {reinterpret_cast<const std::byte*>(fields_.get()), header.fields_size};
  if (header.bulk_in == BulkIn::frame) {
    Block* block = blocks_.take(header.bulk_size);
    into.bulk = Bulk(block->data(), header.bulk_size, drop_block, this, block->token());
    consumer_.copy(block->data(), header.bulk_size);
  } else if (header.bulk_in == BulkIn::apart) {
    const ArenaRun run = checked_run(header.bulk_at, header.bulk_size);
    into.bulk =
        Bulk(rx_arena_ + run.offset(), header.bulk_size, drop_received, this, token_of(run));
  }
  consumer_.finish();
  counters_.received(sizeof header + header.fields_size + header.bulk_size);
  wake(rx_control_->ring.producer_sleeps);
  return true;
}

void ShmChannel::spin_for_record(std::int64_t budget_ns) {
  const std::int64_t until = monotonic_ns() + budget_ns;
  do {
    for (int i = 0; i < 64; ++i) {
      if (consumer_.has_record()) return spin_.record(true);
      cpu_relax();
    }
    if (interrupted_ || closed_) return;
  } while (monotonic_ns() < until);
  spin_.record(false);
}

Received ShmChannel::receive(Incoming& into, Wait wait) {
  into.fields = {};
  into.bulk.reset();
  check_open();
  return ending_on_nonsense([&] { return take(into) ? Received::message : wait_for(into, wait); });
}

Received ShmChannel::wait_for(Incoming& into, Wait wait) {
  const Deadline deadline(wait.timeout);
  if (wait.spin && wait.timeout.count() > 0 && spin_.is_due()) {
    spin_for_record(deadline.left_ns(AdaptiveSpin::kBudgetNs));
  }
  SharedWord& word = rx_control_->ring.consumer_sleeps;
  bool napped = false;
  for (std::int64_t nap = wait.nap ? nap_length_().count() : 0;; nap = 0) {
    const std::uint32_t how = nap != 0 ? kNapping : kAsleep;
    announce_sleep(word, how);
    // Behind the announcement: who nudges from here on wakes.
    if (std::exchange(napped, nap != 0) && nap_ended_) nap_ended_();
    const bool ready = consumer_.has_record();
    const bool interrupted = !ready && interrupted_.exchange(false);
    const std::int64_t left = deadline.left_ns(kSlice);
    if (ready || interrupted || closed_ || left == 0) {
      cancel_sleep(word);
      check_open();
      if (!ready && monotonic_ns() - peer_checked_ns_ > kLookEvery) check_peer_left_more();
      return take(into) ? Received::message : Received::timeout;
    }
    // After a nap without a message comes a sleep, and with it the look.
    if (nap == 0) check_peer_left_more();
    if (consumer_.has_record()) continue;
    counters_.slept();
    futex_wait(word, how, nap != 0 ? std::min(left, nap) : left);
  }
}

void ShmChannel::nap_for(std::function<std::chrono::nanoseconds()> length,
                         std::function<void()> ended) {
  nap_length_ = std::move(length);
  nap_ended_ = std::move(ended);
}

void ShmChannel::nudge() {
  if (!is_napping(rx_control_->ring.consumer_sleeps) || spin_.is_due()) interrupt();
}

void ShmChannel::interrupt() {
  if (abandoned_) return;
  interrupted_ = true;
  wake(rx_control_->ring.consumer_sleeps);
}

// --- the end ------------------------------------------------------------------------------------

void ShmChannel::check_open() const {
  if (closed_) throw ChannelClosed("the session is closed");
}

void ShmChannel::check_may_send() const {
  check_open();
  if (peer_gone_) throw_peer_gone();
}

bool ShmChannel::peer_is_gone() {
  if (peer_gone_ || is_closed(region_.layout().closed) || is_hung_up(socket_.get())) {
    peer_gone_ = true;
  }
  return peer_gone_;
}

// The receiver's look. The order matters: first the sign of the peer's end, then once more the
// ring.
void ShmChannel::check_peer_left_more() {
  peer_checked_ns_ = monotonic_ns();
  if (peer_is_gone() && !consumer_.has_record()) throw_peer_gone();
}

void ShmChannel::close() noexcept {
  if (abandoned_ || closed_.exchange(true)) return;
  publish_closed(region_.layout().closed);
  for (DirectionControl* control : {tx_control_, rx_control_}) {
    for (SharedWord* word : {&control->ring.consumer_sleeps, &control->ring.producer_sleeps}) {
      // Taken even where nobody announced a sleep yet: who does so later sees the flag.
      take_wakeup(*word);
      futex_wake_all(*word);
    }
  }
  ::shutdown(socket_.get(), SHUT_RDWR);
}

void ShmChannel::abandon_after_fork() noexcept {
  abandoned_ = true;
  closed_ = true;
  region_.abandon();
  hangup_watch_.reset();
  socket_.reset();
}

}  // namespace tessera

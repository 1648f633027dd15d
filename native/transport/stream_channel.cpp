// SPDX-License-Identifier: Apache-2.0
#include "transport/stream_channel.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cstring>

#include "base/clock.h"
#include "transport/liveness.h"

namespace tessera {

namespace {

constexpr std::int64_t kQuiet = 50'000;           // ns since the last write: write at once
constexpr std::size_t kGatherUpTo = 16 * 1024;    // bytes
constexpr std::uint64_t kCreditBatch = 1 << 20;   // bytes
constexpr std::size_t kStash = 16 * 1024 * 1024;  // bytes; more than sockets hold in flight
constexpr int kUnixBuffer = 1024 * 1024;          // bytes; the kernel may grant less

void set_option(int socket, int level, int name, int value) {
  ::setsockopt(socket, level, name, &value, sizeof value);
}

void tune(int socket, TransportKind kind) {
  if (kind != TransportKind::tcp_stream) {
    set_option(socket, SOL_SOCKET, SO_SNDBUF, kUnixBuffer);
    return;
  }
  set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  // A peer whose host vanished is noticed within half a minute.
  set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, 10);
  set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, 4);
}

// Memory of the program may be guarded by a handler of SIGSEGV, which a system call does not run
// but answers with EFAULT: touched from here, it is opened, or the program ends as without Tessera.
constexpr std::size_t kPage = 4096;  // bytes; larger pages are touched more than once

template <typename Byte, typename Access>
bool touch_pages(std::span<Byte> bytes, Access access) {
  for (std::size_t at = 0; at < bytes.size(); at += kPage) access(bytes[at]);
  if (!bytes.empty()) access(bytes.back());
  return !bytes.empty();
}

// False where there is nothing to touch.
bool touch(std::span<const std::byte> bytes) {
  return touch_pages(
      bytes, [](const volatile std::byte& byte) { [[maybe_unused]] const std::byte seen = byte; });
}

bool touch_to_write(std::span<std::byte> bytes) {
  return touch_pages(bytes, [](volatile std::byte& byte) {
    const std::byte same = byte;
    byte = same;
  });
}

}  // namespace

StreamChannel::StreamChannel(TransportKind kind, UniqueFd socket)
    : kind_(kind),
      socket_(std::move(socket)),
      hangup_watch_(watch_hangup(socket_.get())),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      decoder_(blocks_, held_),
      fields_(std::make_unique_for_overwrite<std::uint64_t[]>(kMaxFields / 8)) {
  if (!hangup_watch_ || !wake_) throw ConnectError("no descriptor is left for the session");
  tune(socket_.get(), kind_);
}

StreamChannel::~StreamChannel() {
  close();
  for (const Stashed& stashed : stash_) {
    if (stashed.bulk != nullptr) BlockPool::give_after_fork(stashed.bulk);
  }
}

// What is left of the stream of a peer that breaks the protocol is not worth reading.
template <typename Step>
auto StreamChannel::ending_on_nonsense(Step step) {
  try {
    return step();
  } catch (const ChannelClosed&) {
    close();
    throw;
  }
}

// --- bulk ---------------------------------------------------------------------------------------

void StreamChannel::drop_unsent(void* owner, std::uint64_t token) noexcept {
  auto* self = static_cast<StreamChannel*>(owner);
  Block* block = Block::of(token);
  if (self->abandoned_) return BlockPool::give_after_fork(block);
  {
    const Lock lock(self->out_mutex_);
    self->reserved_ -= block->size;
  }
  self->blocks_.give(block);
}

void StreamChannel::drop_received(void* owner, std::uint64_t token) noexcept {
  auto* self = static_cast<StreamChannel*>(owner);
  Block* block = Block::of(token);
  if (self->abandoned_) return BlockPool::give_after_fork(block);
  const std::uint64_t size = block->size;
  self->blocks_.give(block);
  // First the room, then the news of it: the peer's next bytes may follow at once.
  self->held_ -= size;
  if ((self->credit_owed_ += size) < kCreditBatch) return;
  const Lock lock(self->out_mutex_);
  self->pump();
}

void StreamChannel::take_window(std::size_t bytes) {
  if (bytes < 1 || bytes > kMaxBulk) throw std::length_error("bulk of a wrong length");
  check_may_send();
  Lock lock(out_mutex_);
  wait_for_room(lock, [&] { return reserved_ + in_flight_ + bytes <= kBulkWindow; });
  reserved_ += bytes;
}

Bulk StreamChannel::lend(std::span<const std::byte> bytes) {
  // A small payload is copied into the frame and may leave after send() has returned.
  if (bytes.size() <= kInlineBulk) return {};
  take_window(bytes.size());
  auto* place = const_cast<std::byte*>(bytes.data());
  Block* block = blocks_.take_for(place, bytes.size());
  return Bulk(place, bytes.size(), drop_unsent, this, block->token());
}

Bulk StreamChannel::reserve(std::size_t bytes) {
  take_window(bytes);
  Block* block = blocks_.take(bytes);
  return Bulk(block->data(), bytes, drop_unsent, this, block->token());
}

// --- sending ------------------------------------------------------------------------------------

std::uint64_t StreamChannel::send(std::uint16_t opcode, std::span<const std::byte> fields,
                                  Bulk bulk) {
  if (fields.size() > kMaxFields) throw std::length_error("fields are too long");
  check_may_send();
  FrameHeader header;
  header.opcode = opcode;
  header.fields_size = static_cast<std::uint32_t>(fields.size());
  header.bulk_size = static_cast<std::uint32_t>(bulk.size());
  const std::span<const std::byte> payload{bulk.data(), bulk.size()};
  {
    Lock lock(out_mutex_, std::defer_lock);
    if (bulk.size() > kInlineBulk) {
      header.bulk_in = BulkIn::apart;
      const Lock turn(bulk_turn_);
      lock.lock();
      send_fragments(lock, header, fields, bulk);
    } else {
      header.bulk_in = bulk ? BulkIn::frame : BulkIn::nothing;
      lock.lock();
      wait_for_room(lock, [&] { return output_.has_room(); });
      header.sequence = queue_message(header, fields, payload);
      pump_if_due();
    }
  }
  if (bulk) {
    blocks_.give(Block::of(bulk.token()));
    bulk.forget();
  }
  counters_.sent(sizeof header + header.fields_size + header.bulk_size);
  return header.sequence;
}

std::uint64_t StreamChannel::queue_message(FrameHeader header, std::span<const std::byte> fields,
                                           std::span<const std::byte> bulk) {
  header.sequence = next_to_send_++;
  // Before anything can be written: the credit may come back faster than this thread goes on.
  reserved_ -= header.bulk_size;
  in_flight_ += header.bulk_size;
  output_.add(header, fields, bulk);
  return header.sequence;
}

void StreamChannel::send_fragments(Lock& lock, FrameHeader& header,
                                   std::span<const std::byte> fields, const Bulk& bulk) {
  const std::span<const std::byte> payload{bulk.data(), bulk.size()};
  FrameHeader fragment;
  fragment.kind = FrameKind::fragment;
  fragment.bulk_size = header.bulk_size;
  try {
    for (std::size_t at = 0; at < payload.size(); at += kFragment) {
      const auto piece = payload.subspan(at, std::min(kFragment, payload.size() - at));
      fragment.bulk_at = at;
      fragment.sequence = at == 0 ? bulk.tag() : 0;
      fragment.fields_size = static_cast<std::uint32_t>(piece.size());
      wait_for_room(lock, [&] { return output_.has_room(); });
      output_.add_fragment(fragment, piece);
      // Behind the last fragment at once, so that both leave in one write.
      if (at + piece.size() == payload.size()) header.sequence = queue_message(header, fields, {});
      pump();
      wait_for_room(lock, [&] { return !output_.has_fragment(); });
    }
  } catch (...) {
    // The stream ends in the middle of a frame: nothing sensible can follow, and the fragment's
    // memory is about to go.
    if (!lock.owns_lock()) lock.lock();
    output_.forget_fragment();
    peer_gone_ = true;
    lock.unlock();
    close();
    throw;
  }
}

void StreamChannel::flush() {
  check_may_send();
  Lock lock(out_mutex_);
  const std::uint64_t target = output_.queued();
  pump();
  wait_for_room(lock, [&] { return output_.written() >= target; });
}

void StreamChannel::pump_if_due() noexcept {
  if (output_.gathered() >= kGatherUpTo || monotonic_ns() - last_write_ns_ > kQuiet) pump();
}

void StreamChannel::pump() noexcept {
  if (credit_owed_ != 0 && output_.has_room()) {
    FrameHeader credit;
    credit.kind = FrameKind::credit;
    credit.bulk_at = credit_owed_.exchange(0);
    output_.add(credit, {}, {});
  }
  while (!output_.empty() && !peer_gone_) {
    std::array<iovec, 3> from;
    msghdr message{};
    message.msg_iov = from.data();
    message.msg_iovlen = output_.vectors(from);
    const ssize_t wrote = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (wrote < 0) {
      if (errno == EINTR || (errno == EFAULT && touch(output_.fragment()))) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) peer_gone_ = true;
      return;
    }
    counters_.woke();
    output_.wrote(static_cast<std::size_t>(wrote));
    last_write_ns_ = monotonic_ns();
  }
}

template <typename HasRoom>
void StreamChannel::wait_for_room(Lock& lock, HasRoom has_room) {
  for (StallPause pause; !has_room();) {
    pump();
    if (has_room()) return;
    check_may_send();
    lock.unlock();
    stall(pause.next_ns());
    lock.lock();
    check_may_send();
  }
}

void StreamChannel::stall(std::int64_t pause_ns) {
  std::function<void()> handler;
  {
    const Lock lock(handler_mutex_);
    handler = stall_handler_;
  }
  if (handler) handler();
  const bool may_read = read_ahead();
  bool output_waits = false;
  {
    const Lock lock(out_mutex_);
    output_waits = !output_.empty();
  }
  short events = 0;
  if (may_read) events |= POLLIN;
  if (output_waits) events |= POLLOUT;
  pollfd poll_for{socket_.get(), events, 0};
  const timespec limit = to_timespec(pause_ns);
  counters_.slept();
  ::ppoll(&poll_for, 1, &limit, nullptr);
  // Where reading ahead would find the end of the stream, it does.
  if (!may_read && (poll_for.revents & (POLLHUP | POLLERR)) != 0) peer_gone_ = true;
}

void StreamChannel::on_stall(std::function<void()> handler) {
  const Lock lock(handler_mutex_);
  stall_handler_ = std::move(handler);
}

void StreamChannel::on_place(Place place) {
  const Lock lock(in_mutex_);
  decoder_.set_place(std::move(place));
}

// --- receiving ----------------------------------------------------------------------------------

// False when there is nothing to read, now or (ended_) ever.
bool StreamChannel::read_socket() {
  if (ended_) return false;
  std::array<iovec, 3> places;
  msghdr message{};
  message.msg_iov = places.data();
  message.msg_iovlen = decoder_.vectors(places);
  for (;;) {
    const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT);
    if (got > 0) {
      decoder_.filled(static_cast<std::size_t>(got));
      return true;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EFAULT && touch_to_write(decoder_.foreign())) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    ended_ = true;
    peer_gone_ = true;
    return false;
  }
}

void StreamChannel::apply_credit(std::uint64_t bytes) {
  const Lock lock(out_mutex_);
  require(bytes <= in_flight_, "a credit that was never owed");
  in_flight_ -= bytes;
}

void StreamChannel::deliver(Incoming& into, const FrameHeader& header,
                            std::span<const std::byte> fields, Block* bulk) {
  into.opcode = header.opcode;
  into.sequence = header.sequence;
  if (!fields.empty()) std::memcpy(fields_.get(), fields.data(), fields.size());
  into.fields = {reinterpret_cast<const std::byte*>(fields_.get()), fields.size()};
  if (bulk != nullptr) {
    into.bulk = Bulk(bulk->data(), bulk->size, drop_received, this, bulk->token());
    into.bulk.set_tag(bulk->tag);
  }
  counters_.received(sizeof header + header.fields_size + header.bulk_size);
}

bool StreamChannel::next_message(Incoming& into) {
  if (!stash_.empty()) {
    const Stashed& first = stash_.front();
    deliver(into, first.header, first.fields, first.bulk);
    stashed_bytes_ -= sizeof(Stashed) + first.fields.size();
    stash_.pop_front();
    return true;
  }
  for (;;) {
    StreamDecoder::Message message;
    switch (decoder_.next(message)) {
      case StreamDecoder::Item::message:
        deliver(into, message.header, message.fields, message.bulk);
        return true;
      case StreamDecoder::Item::credit:
        apply_credit(message.header.bulk_at);
        break;
      case StreamDecoder::Item::nothing:
        if (!read_socket()) return false;
    }
  }
}

// Reads what has come, for the credits in it. False when no more may be read ahead.
bool StreamChannel::read_ahead() {
  return ending_on_nonsense([&] {
    const Lock lock(in_mutex_);
    const std::size_t before = stash_.size();
    while (stashed_bytes_ < kStash) {
      StreamDecoder::Message message;
      const auto item = decoder_.next(message);
      if (item == StreamDecoder::Item::credit) {
        apply_credit(message.header.bulk_at);
      } else if (item == StreamDecoder::Item::message) {
        stash_.push_back(
            {message.header, {message.fields.begin(), message.fields.end()}, message.bulk});
        stashed_bytes_ += sizeof(Stashed) + message.fields.size();
      } else if (!read_socket()) {
        break;
      }
    }
    if (stash_.size() != before) signal_receiver();
    return stashed_bytes_ < kStash && !ended_;
  });
}

Received StreamChannel::receive(Incoming& into, Wait wait) {
  into.fields = {};
  into.bulk.reset();
  check_open();
  const Deadline deadline(wait.timeout);
  for (;;) {
    const bool got = ending_on_nonsense([&] {
      const Lock lock(in_mutex_);
      if (next_message(into)) return true;
      if (ended_) throw ChannelClosed("the other side of the session is gone");
      return false;
    });
    if (got) return Received::message;
    bool output_waits = false;
    {
      const Lock lock(out_mutex_);
      pump();
      output_waits = !output_.empty() && !peer_gone_;
    }
    const std::int64_t left = deadline.left_ns();
    if (interrupted_.exchange(false) || left == 0) return Received::timeout;
    sleep_for_message(left, output_waits);
    check_open();
  }
}

void StreamChannel::sleep_for_message(std::int64_t ns, bool output_waits) {
  pollfd poll_for[2] = {
      {socket_.get(), static_cast<short>(POLLIN | (output_waits ? POLLOUT : 0)), 0},
      {wake_.get(), POLLIN, 0}};
  const timespec limit = to_timespec(ns);
  counters_.slept();
  ::ppoll(poll_for, 2, &limit, nullptr);
  if (poll_for[1].revents == 0) return;
  eventfd_t ignored;
  ::eventfd_read(wake_.get(), &ignored);
}

void StreamChannel::signal_receiver() noexcept {
  ::eventfd_write(wake_.get(), 1);
}

void StreamChannel::interrupt() {
  if (abandoned_) return;
  interrupted_ = true;
  signal_receiver();
}

// --- the end ------------------------------------------------------------------------------------

void StreamChannel::check_open() const {
  if (closed_) throw ChannelClosed("the session is closed");
}

void StreamChannel::check_may_send() const {
  check_open();
  if (peer_gone_) throw ChannelClosed("the other side of the session is gone");
}

void StreamChannel::close() noexcept {
  if (abandoned_) return;
  if (!closed_.exchange(true)) {
    {
      const Lock lock(out_mutex_);
      pump();
    }
    ::shutdown(socket_.get(), SHUT_RDWR);
    signal_receiver();
  }
  // Who calls second relies on it, too, and may be faster than the first.
  const Lock lock(in_mutex_);
  decoder_.forget_places();
  ended_ = true;
}

void StreamChannel::abandon_after_fork() noexcept {
  abandoned_ = true;
  closed_ = true;
  hangup_watch_.reset();
  wake_.reset();
  socket_.reset();
}

}  // namespace tessera

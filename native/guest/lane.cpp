// SPDX-License-Identifier: Apache-2.0
#include "guest/lane.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>

namespace tessera::guest {
namespace {

// More than any pipe or terminal holds: a process that was left behind and writes for ever is cut
// off.
constexpr std::size_t kMaxFinish = 1 << 20;
// Less than this costs no more in a frame than a slot does, which has to be returned.
constexpr std::size_t kMinLent = 16 * 1024;
// Room for `open`, `close` and slots that are returned behind a frame of data.
constexpr std::size_t kOutput = kHeader + kMaxData + 32 * kHeader;

bool try_later() {
  return errno == EAGAIN || errno == EINTR;
}

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

Lane::Lane(int port, Connect connect, Slots slots)
    : port_(port), connect_(std::move(connect)), slots_(slots), output_(kOutput) {}

void Lane::join(UniqueFd source, UniqueFd sink) {
  source_ = std::move(source);
  sink_ = std::move(sink);
  state_ = State::joined;
}

void Lane::open(UniqueFd socket) {
  UniqueFd other(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 0));
  if (!other) fail("another descriptor for a socket");
  say(Kind::open);
  join(std::move(socket), std::move(other));
}

void Lane::finish() {
  if (!source_) return leave();
  finishing_ = true;
  left_to_finish_ = kMaxFinish;
}

void Lane::watch(std::vector<pollfd>& entries) const {
  // Where only this end opens, a free port has nothing to say, and an emulated kernel has fewer to
  // look at.
  const bool listens = port_may_speak() && (state_ != State::free || connect_);
  const short port_events = static_cast<short>((listens ? POLLIN : 0) | (end_ == 0 ? 0 : POLLOUT));
  const bool reads = source_ && end_ == 0 && can_read_source();
  // A pipe that nobody reads any more tells so to those who ask for nothing.
  const bool writes = sink_ && (sink_waits() || !source_);
  entries.push_back({port_events == 0 ? -1 : port_, port_events, 0});
  entries.push_back({reads ? source_.get() : -1, POLLIN, 0});
  entries.push_back({writes ? sink_.get() : -1, static_cast<short>(sink_waits() ? POLLOUT : 0), 0});
}

void Lane::serve(std::span<const pollfd> entries) {
  if (entries[2].revents != 0) {
    if (sink_waits()) {
      write_sink();
    } else {
      leave();
    }
  }
  if ((entries[0].revents & POLLIN) != 0 && port_may_speak()) read_port();
  decode();
  if (entries[1].revents != 0 && end_ == 0 && can_read_source()) read_source();
  if (end_ != 0) write_port();
  // No poll tells of the end of what finish() speaks of.
  while (finishing_ && source_ && end_ == 0 && can_read_source()) {
    read_source();
    if (end_ != 0) write_port();
  }
  // What was held back while there was no room for an answer: no poll would tell of it.
  decode();
}

void Lane::say(Kind kind, std::span<const std::uint32_t> numbers) {
  const auto frame = make_frame(kind, numbers);
  if (output_.size() - end_ < frame.size()) throw BadFrame("who speaks and never listens");
  std::ranges::copy(frame, output_.begin() + static_cast<std::ptrdiff_t>(end_));
  end_ += frame.size();
}

bool Lane::can_read_source() const {
  if (!source_) return false;
  return !slots_.there() || lent_.find_free() || !port_may_speak();
}

void Lane::read_source() {
  const auto slot = slots_.there() ? lent_.find_free() : std::nullopt;
  if (slot) return read_into_slot(*slot);
  read_into_frame();
}

void Lane::read_into_frame() {
  const ssize_t got = ::read(source_.get(), output_.data() + kHeader, kMaxData);
  if (got > 0) {
    const auto size = static_cast<std::size_t>(got);
    std::ranges::copy(frame_header(Kind::data, size), output_.begin());
    end_ = kHeader + size;
  }
  take_source(got);
}

void Lane::read_into_slot(std::uint32_t slot) {
  const auto room = slots_.outgoing(slot);
  const ssize_t got = ::read(source_.get(), room.data(), room.size());
  if (got >= static_cast<ssize_t>(kMinLent)) {
    lent_.set(slot, true);
    say(Kind::lent, std::array{slot, static_cast<std::uint32_t>(got)});
  } else if (got > 0) {
    const auto size = static_cast<std::size_t>(got);
    std::ranges::copy(frame_header(Kind::data, size), output_.begin());
    std::ranges::copy(room.first(size), output_.begin() + kHeader);
    end_ = kHeader + size;
  }
  take_source(got);
}

void Lane::take_source(ssize_t got) {
  if (got > 0) {
    if (!finishing_) return;
    left_to_finish_ -= std::min(left_to_finish_, static_cast<std::size_t>(got));
    if (left_to_finish_ == 0) leave();
    return;
  }
  // A terminal whose programs are gone says EIO, a socket whose peer was killed ECONNRESET.
  if (got == 0 || finishing_ || !try_later()) leave();
}

void Lane::write_port() {
  const ssize_t put = ::write(port_, output_.data() + begin_, end_ - begin_);
  if (put < 0 && !try_later()) fail("a virtio-serial port");
  if (put > 0) begin_ += static_cast<std::size_t>(put);
  if (begin_ == end_) begin_ = end_ = 0;
}

void Lane::read_port() {
  const auto room = decoder_.room();
  const ssize_t got = ::read(port_, room.data(), room.size());
  if (got < 0 && !try_later()) fail("a virtio-serial port");
  if (got > 0) decoder_.filled(static_cast<std::size_t>(got));
}

void Lane::decode() {
  while (port_may_speak()) {
    const auto frame = decoder_.next();
    if (!frame) return;
    take(*frame);
  }
}

void Lane::take(const Frame& frame) {
  switch (frame.kind) {
    case Kind::open:
      return take_open();
    case Kind::close:
      return take_close();
    case Kind::lent:
      return take_lent(frame.number(0), frame.number(1));
    case Kind::returned:
      return take_returned(frame.number(0));
    case Kind::data:
      break;
    default:
      throw BadFrame("a frame for another port");
  }
  if (state_ == State::left) return;
  if (state_ == State::free) throw BadFrame("data on a port that nobody uses");
  const std::size_t given = give_sink(frame.payload);
  if (state_ != State::joined) return;
  kept_.assign(frame.payload.begin() + static_cast<std::ptrdiff_t>(given), frame.payload.end());
  pending_ = kept_;
}

void Lane::take_lent(std::uint32_t slot, std::uint32_t bytes) {
  if (!slots_.there() || slot >= kSlots || bytes == 0 || bytes > kSlotBytes) {
    throw BadFrame("a slot that cannot be");
  }
  if (state_ == State::left) return;
  if (state_ == State::free) throw BadFrame("a slot on a port that nobody uses");
  borrowed_ = slot;
  pending_ = slots_.incoming(slot).first(bytes);
  write_sink();
}

void Lane::take_returned(std::uint32_t slot) {
  if (slot >= kSlots || !lent_.has(slot)) throw BadFrame("a slot that was not lent");
  lent_.set(slot, false);
}

void Lane::take_open() {
  if (!connect_ || state_ != State::free) throw BadFrame("a connection that cannot be");
  UniqueFd socket = connect_();
  UniqueFd other(socket ? ::fcntl(socket.get(), F_DUPFD_CLOEXEC, 0) : -1);
  state_ = State::joined;
  if (!other) return leave();
  join(std::move(socket), std::move(other));
}

void Lane::take_close() {
  if (state_ == State::free) throw BadFrame("the end of no connection");
  leave();
  state_ = State::free;
  // Whoever had one of these slots has said by its `close` that it has none any more.
  lent_.clear();
}

std::size_t Lane::give_sink(std::span<const std::byte> bytes) {
  const ssize_t put = sink_ ? ::write(sink_.get(), bytes.data(), bytes.size()) : -1;
  if (put >= 0) return static_cast<std::size_t>(put);
  if (!sink_ || !try_later()) leave();
  return 0;
}

void Lane::write_sink() {
  const std::size_t given = give_sink(pending_);
  if (state_ != State::joined) return;
  pending_ = pending_.subspan(given);
  if (pending_.empty()) return_slot();
}

void Lane::return_slot() {
  if (!borrowed_) return;
  say(Kind::returned, std::array{*borrowed_});
  borrowed_.reset();
}

void Lane::leave() {
  if (state_ == State::joined) {
    say(Kind::close);
    state_ = State::left;
  }
  drop();
}

void Lane::drop() {
  source_.reset();
  sink_.reset();
  pending_ = {};
  borrowed_.reset();
}

}  // namespace tessera::guest

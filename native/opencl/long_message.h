// SPDX-License-Identifier: Apache-2.0
//
// Messages that no frame can carry: a list of ten thousand events, a source of 17 MiB.
//
// Fields past kMaxFields or a bulk past kMaxBulk are cut into pieces, which are messages of their
// own, and a last message says what they make. One long message is under way at a time in each
// direction; other messages may pass between its pieces, and its place in the order is that of the
// last one, whose sequence number it has. Larger frames were refused: a ring has to have room for
// the largest, and a stream's receiver buffers for it.
//
// A peer must not fill this process's memory. What a LongReceiver holds, half-received or handed
// out and not dropped yet, is bounded (kMost); the whole size is said in the first piece and judged
// before a byte is kept. Senders take turns, and handlers drop bulk and fields soon, so only a
// hostile peer gets there.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>

#include "generated/messages_session.h"
#include "transport/channel.h"
#include "wire/codec.h"

namespace tessera {

inline bool is_long(std::span<const std::byte> fields, const Bulk& bulk) {
  return fields.size() > kMaxFields || bulk.size() > kMaxBulk;
}

// A payload that no channel can reserve: the caller's own bytes, which must stay until it was sent.
inline Bulk long_payload(const void* bytes, std::size_t size) {
  return Bulk(const_cast<std::byte*>(static_cast<const std::byte*>(bytes)), size, nullptr, nullptr,
              0);
}

// The sending side. `Piece` and `Last`: the two messages of this direction.
template <class Piece, class Last>
class LongSender {
 public:
  // Sends the message, and returns the sequence number that its answer will name. Any thread.
  // Throws what Channel::send does, and wire::TooLong for what no message may have.
  std::uint64_t send(Channel& channel, std::uint16_t opcode, std::span<const std::byte> fields,
                     std::span<const std::byte> bulk) {
    if (fields.size() > wire::kMaxMessageFields || bulk.size() > wire::kMaxMessageBulk) {
      throw wire::TooLong();
    }
    const std::lock_guard turn(turn_);
    ++number_;
    send_pieces(channel, fields, fields.size() + bulk.size());
    send_pieces(channel, bulk, fields.size() + bulk.size());
    Last last;
    last.number = number_;
    last.opcode = opcode;
    last.fields_size = fields.size();
    return send_one(channel, last, {});
  }

 private:
  void send_pieces(Channel& channel, std::span<const std::byte> bytes, std::size_t size) {
    Piece piece;
    piece.number = number_;
    piece.size = size;
    for (; !bytes.empty(); bytes = bytes.subspan(std::min(bytes.size(), kPiece))) {
      Bulk bulk = channel.reserve(std::min(bytes.size(), kPiece));
      std::memcpy(bulk.data(), bytes.data(), bulk.size());
      send_one(channel, piece, std::move(bulk));
    }
  }
  template <class Message>
  static std::uint64_t send_one(Channel& channel, const Message& message, Bulk bulk) {
    wire::Encoder out;
    encode(out, message);
    return channel.send(static_cast<std::uint16_t>(Message::kOpcode), out.bytes(), std::move(bulk));
  }

  std::mutex turn_;  // taken before the channel's own locks
  std::uint64_t number_ = 0;
};

// The receiving side. One thread at a time, but for the bulks that it handed out.
class LongReceiver {
 public:
  static constexpr std::size_t kMost = wire::kMaxMessageBulk + wire::kMaxMessageBulk / 2;  // bytes
  enum class Taken { yes, refused };

  // The next piece. Refused: it does not fit those before it, or more is held than may be.
  Taken add(std::uint64_t number, std::uint64_t size, std::span<const std::byte> bytes) {
    if (under_way_ == nullptr || number != number_) {
      under_way_ = nullptr;
      if (size > kMost || held_->load() > kMost - size) return Taken::refused;
      under_way_ = std::make_shared<Bytes>(held_, size);
      number_ = number;
    }
    Bytes& whole = *under_way_;
    if (size != whole.size || bytes.empty() || bytes.size() > whole.size - whole.filled) {
      return Taken::refused;
    }
    std::memcpy(whole.data.get() + whole.filled, bytes.data(), bytes.size());
    whole.filled += bytes.size();
    return Taken::yes;
  }

  // The whole message, once all its pieces are here. Its fields live as long as `fields`, its bulk
  // until it is dropped.
  Taken take(std::uint64_t number, std::uint32_t opcode, std::uint64_t fields_size,
             std::uint64_t sequence, Incoming& into, std::shared_ptr<const void>& fields) {
    const bool whole = under_way_ != nullptr && number == number_ &&
                       under_way_->filled == under_way_->size && opcode <= 0xffff &&
                       fields_size <= under_way_->size && fields_size <= wire::kMaxMessageFields &&
                       under_way_->size - fields_size <= wire::kMaxMessageBulk;
    if (!whole) return Taken::refused;
    std::shared_ptr<Bytes> bytes = std::move(under_way_);
    into.opcode = static_cast<std::uint16_t>(opcode);
    into.sequence = sequence;
    into.bulk = {};
    if (const std::size_t rest = bytes->size - fields_size; rest != 0) {
      auto owner = std::make_unique<std::shared_ptr<Bytes>>(bytes);
      into.bulk = Bulk(bytes->data.get() + fields_size, rest, drop, owner.get(), 0);
      owner.release();  // NOLINT: the bulk has it now
      // A handler may be long at work when it has dropped the bulk: the fields do not keep that.
      const std::span<const std::byte> front(bytes->data.get(), fields_size);
      bytes = std::make_shared<Bytes>(held_, fields_size);
      if (!front.empty()) std::memcpy(bytes->data.get(), front.data(), front.size());
    }
    into.fields = {bytes->data.get(), fields_size};
    fields = std::move(bytes);
    return Taken::yes;
  }

  // Bytes that are held now.
  std::size_t held() const { return held_->load(); }

 private:
  struct Bytes {
    Bytes(std::shared_ptr<std::atomic<std::size_t>> held, std::size_t size)
        : held(std::move(held)), size(size), data(new std::byte[size]) {
      *this->held += size;
    }
    Bytes(const Bytes&) = delete;
    Bytes& operator=(const Bytes&) = delete;
    ~Bytes() { *held -= size; }

    const std::shared_ptr<std::atomic<std::size_t>> held;
    const std::size_t size;
    // Not cleared: pages that nothing was written to cost nothing.
    const std::unique_ptr<std::byte[]> data;
    std::size_t filled = 0;
  };

  static void drop(void* owner, std::uint64_t) noexcept {
    delete static_cast<std::shared_ptr<Bytes>*>(owner);
  }

  const std::shared_ptr<std::atomic<std::size_t>> held_ =
      std::make_shared<std::atomic<std::size_t>>(0);
  std::shared_ptr<Bytes> under_way_;
  std::uint64_t number_ = 0;
};

}  // namespace tessera

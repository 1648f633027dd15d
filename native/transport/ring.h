// SPDX-License-Identifier: Apache-2.0
//
// A byte ring in shared memory: one producer process, one consumer process.
//
// Head and tail count bytes since the start and never wrap (2^64 bytes do not pass in a lifetime),
// so "full" and "empty" need no spare slot. A record is a frame (frame.h) and may wrap at the end
// of the ring; it is copied in and out in two parts then. Padding the rest of the ring instead, so
// that records are contiguous, was refused: the consumer must copy anyway, because the peer may
// change the bytes while they are parsed.
//
// Each side keeps its own index privately and only publishes it; what it reads of the other side is
// checked and used once. A peer that writes nonsense ends its own session (ChannelClosed) and
// nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "transport/frame.h"
#include "transport/ring_memory_order.h"

namespace tessera {

// In shared memory, zero at the start. Each word is on its own cache line: the two sides write
// different ones.
struct RingControl {
  alignas(64) SharedIndex head;            // written by the producer
  alignas(64) SharedIndex tail;            // written by the consumer
  alignas(64) SharedWord consumer_sleeps;  // futex: the consumer waits for a record
  alignas(64) SharedWord producer_sleeps;  // futex: a producer waits for room, here or in the arena
};

// Not thread-safe: the channel serialises the senders of one process.
class RingProducer {
 public:
  // `capacity` is a power of two and more than kMaxFrame.
  RingProducer(RingControl& control, std::byte* data, std::size_t capacity)
      : control_(control), data_(data), capacity_(capacity) {}

  // Room for a frame of `bytes`? Throws ChannelClosed when the peer's tail is impossible.
  bool has_room(std::size_t bytes);
  // Publishes one frame whole, or does nothing and returns false while there is no room.
  bool try_push(const FrameHeader& header, std::span<const std::byte> fields,
                std::span<const std::byte> bulk);

 private:
  std::uint64_t write(std::uint64_t at, const void* from, std::size_t bytes);

  RingControl& control_;
  std::byte* data_;
  std::size_t capacity_;
  std::uint64_t head_ = 0;
  std::uint64_t tail_seen_ = 0;
};

// One thread at a time. pop_header(), then copy() for each part in order, then finish().
class RingConsumer {
 public:
  RingConsumer(RingControl& control, const std::byte* data, std::size_t capacity)
      : control_(control), data_(data), capacity_(capacity) {}

  bool has_record();
  // Copies and checks the next header; false when the ring is empty. Throws ChannelClosed.
  bool pop_header(FrameHeader& header);
  // Copies the next part (`bytes` without its padding) of the record.
  void copy(void* to, std::size_t bytes);
  // Gives the record's room back.
  void finish();

 private:
  void read(std::uint64_t at, void* to, std::size_t bytes) const;

  RingControl& control_;
  const std::byte* data_;
  std::size_t capacity_;
  std::uint64_t tail_ = 0;
  std::uint64_t head_seen_ = 0;
  std::uint64_t part_ = 0;
  std::uint64_t record_end_ = 0;
};

}  // namespace tessera

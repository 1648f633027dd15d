// SPDX-License-Identifier: Apache-2.0
//
// Bytes of a stream in, frames out; no system call, so that a fuzzer can drive it.
//
// Small frames pass through an input buffer. The bytes of a fragment are received straight into the
// payload's own memory: vectors() names the places in the order of the stream, and what follows the
// fragment lands at the start of the then empty input buffer. Only one bulk is under way at a time
// (the sender takes turns), so a peer can make us hold at most its window and never a table. A
// payload whose tag is known goes straight to where it belongs, which saves a copy of every read.
#pragma once

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "transport/block_pool.h"
#include "transport/frame.h"

namespace tessera {

// Not thread-safe.
class StreamDecoder {
 public:
  enum class Item { nothing, message, credit };
  struct Message {
    FrameHeader header;
    std::span<const std::byte> fields;  // valid until the next call of vectors()
    Block* bulk = nullptr;              // the taker's to give back to the pool
  };

  using Place = Channel::Place;

  // `held` counts the bytes of bulk received and not yet consumed; the decoder adds to it and
  // refuses to pass kBulkWindow.
  StreamDecoder(BlockPool& blocks, std::atomic<std::uint64_t>& held);
  StreamDecoder(const StreamDecoder&) = delete;
  StreamDecoder& operator=(const StreamDecoder&) = delete;
  ~StreamDecoder();

  // Who knows places for tagged payloads; without it tags are ignored.
  void set_place(Place place) { place_ = std::move(place); }
  // Nothing is written to foreign memory any more. The stream cannot be decoded further.
  void forget_places() noexcept;
  // The rest of the fragment under way, if it goes to foreign memory.
  std::span<std::byte> foreign() const;

  // Where the next bytes go; the number of places. Call after next() has said `nothing`.
  std::size_t vectors(std::array<iovec, 3>& places);
  void filled(std::size_t bytes);
  // The next whole message, or a credit in header.bulk_at. Throws ChannelClosed.
  Item next(Message& message);

 private:
  static constexpr std::size_t kBuffer = 128 * 1024;
  static_assert(kBuffer >= kMaxFrame);
  static constexpr std::size_t kBehindFragment = 2048;  // bytes; most messages are shorter

  Item message(const FrameHeader& header, Message& message);
  void begin_fragment(const FrameHeader& header);
  void feed_fragment();
  Block* take_bulk(std::size_t bytes, std::uint64_t tag);

  BlockPool& blocks_;
  std::atomic<std::uint64_t>& held_;
  Place place_;
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  Block* open_ = nullptr;  // the bulk under way, or complete and waiting for its message
  std::size_t open_filled_ = 0;
  std::size_t fragment_left_ = 0;  // bytes of the fragment that are still to come
  std::size_t padding_left_ = 0;
  std::array<std::byte, 8> padding_{};
  std::uint64_t next_sequence_ = 1;
};

// Throws ChannelClosed unless the header of any frame of a stream makes sense by itself.
void check_stream_frame(const FrameHeader& header);

}  // namespace tessera

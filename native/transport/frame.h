// SPDX-License-Identifier: Apache-2.0
//
// The header in front of everything that crosses a channel; the same 32 bytes on a ring and on a
// stream. protocol/wire-format.md says it in prose.
//
// Every part of a frame is padded to 8 bytes, so a receiver can hand out aligned fields without
// looking at what they are. The checks are here, once, for both carriers and for the fuzzers.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "transport/channel.h"

namespace tessera {

static_assert(std::endian::native == std::endian::little, "the wire is little endian");

inline constexpr std::size_t kInlineBulk = 4096;        // bytes; a larger payload travels apart
inline constexpr std::size_t kFragment = 256 * 1024;    // bytes of bulk in one frame of a stream
inline constexpr std::uint64_t kBulkWindow = 32 << 20;  // bytes sent and not yet consumed

enum class FrameKind : std::uint8_t {
  message = 1,   // fields, then a bulk if bulk_in says that it is in the frame
  fragment = 2,  // streams only: `fields_size` bytes of the bulk under way
  credit = 3,    // streams only: `bulk_at` bytes of bulk were consumed
};

enum class BulkIn : std::uint8_t {
  nothing = 0,
  frame = 1,  // behind the fields
  apart = 2,  // ring: in the arena at `bulk_at`; stream: in the fragments that came before
};

struct FrameHeader {
  std::uint16_t opcode = 0;
  FrameKind kind = FrameKind::message;
  BulkIn bulk_in = BulkIn::nothing;
  std::uint32_t fields_size = 0;  // bytes, without padding
  std::uint64_t sequence = 0;     // messages only; 1, 2, ... for each direction
  std::uint32_t bulk_size = 0;    // bytes, without padding; a fragment: of the whole bulk
  std::uint32_t reserved = 0;
  std::uint64_t bulk_at = 0;  // arena offset, offset of a fragment in its bulk, or credit
};
static_assert(sizeof(FrameHeader) == 32);

inline constexpr std::size_t padded(std::size_t bytes) {
  return (bytes + 7) & ~std::size_t{7};
}

// Bytes of header, fields and bulk that lie together on the carrier.
inline std::size_t frame_bytes(const FrameHeader& header) {
  return sizeof header + padded(header.fields_size) +
         (header.bulk_in == BulkIn::frame ? padded(header.bulk_size) : 0);
}
inline constexpr std::size_t kMaxFrame = sizeof(FrameHeader) + kMaxFields + kInlineBulk;

inline void require(bool sane, const char* what) {
  if (!sane) throw ChannelClosed(std::string("the peer broke the protocol: ") + what);
}

// Throws ChannelClosed unless a header of kind `message` makes sense by itself.
inline void check_message(const FrameHeader& header) {
  require(header.kind == FrameKind::message, "frame of unknown kind");
  require(header.reserved == 0, "reserved bits are set");
  require(header.fields_size <= kMaxFields, "fields are too long");
  switch (header.bulk_in) {
    case BulkIn::nothing:
      require(header.bulk_size == 0 && header.bulk_at == 0, "bulk where none was announced");
      return;
    case BulkIn::frame:
      require(header.bulk_size >= 1 && header.bulk_size <= kInlineBulk && header.bulk_at == 0,
              "bulk of a wrong length in the frame");
      return;
    case BulkIn::apart:
      require(header.bulk_size >= 1 && header.bulk_size <= kMaxBulk, "bulk of a wrong length");
      return;
  }
  require(false, "bulk in an unknown place");
}

}  // namespace tessera

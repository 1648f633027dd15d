// SPDX-License-Identifier: Apache-2.0
//
// Large reads and writes travel in pieces; here is how a region is cut, and how a piece, which is
// tightly packed on the wire, lies in the program's memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

#include "opencl/client/event.h"
#include "opencl/client/mem.h"
#include "opencl/client/object.h"
#include "transport/channel.h"
#include "wire/codec.h"

namespace tessera::client {

// A box of bytes in the program's memory. `Byte` is std::byte or const std::byte.
template <class Byte>
struct HostBox {
  Byte* at = nullptr;
  std::size_t row_bytes = 0;
  std::size_t rows = 1;
  std::size_t slices = 1;
  std::size_t row_pitch = 0;    // bytes; 0 where there is one row
  std::size_t slice_pitch = 0;  // bytes; 0 where there is one slice
  std::size_t bytes() const { return row_bytes * rows * slices; }
};
using ReadBox = HostBox<std::byte>;
using WriteBox = HostBox<const std::byte>;

// From its first byte to behind its last one.
template <class Byte>
std::size_t extent(const HostBox<Byte>& box) {
  if (box.bytes() == 0) return 0;
  return (box.slices - 1) * box.slice_pitch + (box.rows - 1) * box.row_pitch + box.row_bytes;
}

// One stretch of memory, without gaps?
template <class Byte>
bool is_whole(const HostBox<Byte>& box) {
  const bool rows_join = box.rows <= 1 || box.row_pitch == box.row_bytes;
  return rows_join && (box.slices <= 1 || box.slice_pitch == box.row_bytes * box.rows);
}

// `past_caches`: see copy_bulk().
void unpack(const ReadBox& to, const std::byte* packed, bool past_caches);
void pack(std::byte* packed, const WriteBox& from, bool past_caches);

// One piece: x in elements, y in rows, z in slices, relative to the whole region.
struct Piece {
  wire::Id3 offset;
  wire::Id3 region;
};

// How a region is cut into pieces of at most kPiece bytes.
class Cutting {
 public:
  Cutting(const wire::Id3& region, std::size_t element_bytes);
  std::size_t count() const { return count_; }
  Piece at(std::size_t index) const;

 private:
  wire::Id3 region_;
  wire::Id3 step_;  // elements, rows, slices of one piece
  wire::Id3 steps_;
  std::size_t count_;
};

template <class Byte>
HostBox<Byte> part_of(const HostBox<Byte>& whole, const Piece& piece, std::size_t element_bytes) {
  HostBox<Byte> part = whole;
  part.at += piece.offset[2] * whole.slice_pitch + piece.offset[1] * whole.row_pitch +
             piece.offset[0] * element_bytes;
  part.row_bytes = piece.region[0] * element_bytes;
  part.rows = piece.region[1];
  part.slices = piece.region[2];
  return part;
}

// What one read of the API still waits for. Lives until its last piece arrived.
struct ReadState {
  Ref<Event> event;  // may be empty
  Ref<Queue> queue;
  Ref<Mem> keeps;  // whose shadow is written, and has to stay; may be empty
  std::uint64_t number = 0;
  bool past_caches = false;
  std::atomic<std::size_t> left{0};
  std::atomic<cl_int> status{CL_SUCCESS};
  std::atomic<bool> landed{
      false};  // nothing is written any more; true before the event is complete
  std::atomic<bool> finished{false};  // the event knows it too
};

// One piece of it under way.
class Transfer {
 public:
  Transfer(std::shared_ptr<ReadState> read, const ReadBox& to) : read_(std::move(read)), to_(to) {}
  // The program's memory itself, where `size` bytes may be received straight into it; else nullptr.
  // Once.
  std::byte* place(std::size_t size);
  // The worker ends the read while its bytes are still being received.
  bool is_under_way(const Bulk& bulk) const { return placed_ && bulk.tag() == 0; }
  // `bulk` is empty for a failed command. False if the worker broke the rules.
  bool arrive(cl_int status, const Bulk& bulk);
  // Ends the piece without bytes.
  void fail(cl_int status);
  // Some of its bytes may belong in [at, at + size), and are not there yet.
  bool goes_to(const std::byte* at, std::size_t size) const;

 private:
  void end(cl_int status);
  std::shared_ptr<ReadState> read_;
  ReadBox to_;
  bool placed_ = false;
};

}  // namespace tessera::client

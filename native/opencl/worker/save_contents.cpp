// SPDX-License-Identifier: Apache-2.0
//
// Contents of memory, copied from the device into the state piece by piece: a gigabyte of them
// never lies in this process twice. The device copies one piece while the one before is summed up
// and written.
#include <algorithm>
#include <optional>

#include "opencl/worker/copy_under_way.h"
#include "opencl/worker/save.h"
#include "opencl/worker/session.h"

namespace tessera::worker {
namespace {

// Large enough for a device's copy engine, small enough to stay in the processor's cache between
// the copy, the checksum and the write.
constexpr std::size_t kContentsPiece = 4 * 1024 * 1024;  // bytes

struct Piece {
  ContentsPlace place;
  std::size_t bytes;
};

[[noreturn]] void fail(const MemEntry& mem, cl_int status) {
  throw StateError(state_error::kFailed, "the driver does not give the contents of memory object " +
                                             std::to_string(mem.id) + " (error " +
                                             std::to_string(status) + ")");
}

std::vector<Piece> pieces_of_buffer(const MemEntry& mem) {
  std::vector<Piece> pieces;
  for (std::uint64_t at = 0; at < mem.shape.size; at += kContentsPiece) {
    pieces.push_back(
        {{mem.id, at, {}, {}}, std::min<std::uint64_t>(kContentsPiece, mem.shape.size - at)});
  }
  return pieces;
}

std::vector<Piece> pieces_of_image(const MemEntry& mem) {
  std::vector<Piece> pieces;
  const auto& [width, height, depth] = mem.shape.pixels;
  const std::uint64_t row = width * mem.shape.element;
  if (row == 0 || row > kContentsPiece) fail(mem, CL_INVALID_IMAGE_SIZE);
  const std::uint64_t rows = std::min(kContentsPiece / row, height);
  for (std::uint64_t z = 0; z < depth; ++z) {
    for (std::uint64_t y = 0; y < height; y += rows) {
      const wire::Id3 region{width, std::min(rows, height - y), 1};
      pieces.push_back({{mem.id, 0, {0, y, z}, region}, region[1] * row});
    }
  }
  return pieces;
}

cl_int read(cl_command_queue queue, const MemEntry& mem, const Piece& piece, std::byte* into,
            cl_event* event) {
  const ContentsPlace& place = piece.place;
  return mem.shape.image() ? clEnqueueReadImage(queue, mem.handle, CL_FALSE, place.origin.data(),
                                                place.region.data(), 0, 0, into, 0, nullptr, event)
                           : clEnqueueReadBuffer(queue, mem.handle, CL_FALSE, place.offset,
                                                 piece.bytes, into, 0, nullptr, event);
}

}  // namespace

void Saver::write_contents() {
  for (const auto& [id, entry] : entries_) {
    if (entry->kind == Kind::mem && entry->poison == CL_SUCCESS) {
      write_contents(static_cast<const MemEntry&>(*entry));
    }
  }
  staging_ = {};
}

void Saver::write_contents(const MemEntry& mem) {
  if (mem.parent != nullptr) return;
  cl_int status = CL_SUCCESS;
  const cl_command_queue queue = session_.internal_queue(*mem.context, &status);
  if (status != CL_SUCCESS) fail(mem, status);
  for (auto& staging : staging_) {
    if (staging == nullptr) staging.reset(new std::byte[kContentsPiece]);
  }
  const auto pieces = mem.shape.image() ? pieces_of_image(mem) : pieces_of_buffer(mem);
  CopyUnderWay copy;
  for (std::size_t i = 0; i <= pieces.size(); ++i) {
    cl_event next = nullptr;
    if (i < pieces.size()) {
      status = session_.start_metered(
          mem.context->gpu, queue,
          [&](cl_event* event) {
            return read(queue, mem, pieces[i], staging_[i % 2].get(), event);
          },
          &next);
      if (status != CL_SUCCESS) fail(mem, status);
    }
    status = copy.follow_with(next);
    if (status != CL_SUCCESS) fail(mem, status);
    if (i > 0) write_piece(pieces[i - 1].place, {staging_[(i - 1) % 2].get(), pieces[i - 1].bytes});
  }
  session_.settle_gates();
}

void Saver::write_piece(const ContentsPlace& place, std::span<const std::byte> bytes) {
  wire::Encoder fields;
  encode(fields, place);
  out_->write({.type = FrameType::contents, .fields = fields.bytes(), .bulk = bytes});
}

}  // namespace tessera::worker

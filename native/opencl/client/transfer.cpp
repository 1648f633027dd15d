// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/transfer.h"

#include <algorithm>

#include "opencl/client/session.h"
#include "transport/bulk_copy.h"

namespace tessera::client {
namespace {

// Calls visit(host, packed, bytes) for each stretch that is contiguous on both sides.
template <class Byte, class Visit>
void each_stretch(const HostBox<Byte>& box, Visit&& visit) {
  if (is_whole(box)) return visit(box.at, std::size_t{0}, box.bytes());
  const bool rows_join = box.rows <= 1 || box.row_pitch == box.row_bytes;
  std::size_t packed = 0;
  for (std::size_t z = 0; z < box.slices; ++z) {
    Byte* slice = box.at + z * box.slice_pitch;
    if (rows_join) {
      visit(slice, packed, box.row_bytes * box.rows);
      packed += box.row_bytes * box.rows;
      continue;
    }
    for (std::size_t y = 0; y < box.rows; ++y, packed += box.row_bytes) {
      visit(slice + y * box.row_pitch, packed, box.row_bytes);
    }
  }
}

std::uint64_t parts(std::uint64_t whole, std::uint64_t step) {
  return (whole + step - 1) / step;
}

}  // namespace

void unpack(const ReadBox& to, const std::byte* packed, bool past_caches) {
  each_stretch(to, [&](std::byte* host, std::size_t at, std::size_t size) {
    copy_bulk(host, packed + at, size, past_caches);
  });
}

void pack(std::byte* packed, const WriteBox& from, bool past_caches) {
  each_stretch(from, [&](const std::byte* host, std::size_t at, std::size_t size) {
    copy_bulk(packed + at, host, size, past_caches);
  });
}

Cutting::Cutting(const wire::Id3& region, std::size_t element_bytes)
    : region_(region), step_(region) {
  const std::uint64_t row = region[0] * element_bytes;
  if (row > kPiece) {
    step_ = {kPiece / element_bytes, 1, 1};
  } else if (row * region[1] > kPiece) {
    step_ = {region[0], kPiece / row, 1};
  } else if (row * region[1] * region[2] > kPiece) {
    step_ = {region[0], region[1], kPiece / (row * region[1])};
  }
  for (int i = 0; i < 3; ++i) steps_[i] = parts(region[i], step_[i]);
  count_ = steps_[0] * steps_[1] * steps_[2];
}

Piece Cutting::at(std::size_t index) const {
  const wire::Id3 which = {index % steps_[0], index / steps_[0] % steps_[1],
                           index / steps_[0] / steps_[1]};
  Piece piece{};
  for (int i = 0; i < 3; ++i) {
    piece.offset[i] = which[i] * step_[i];
    piece.region[i] = std::min(step_[i], region_[i] - piece.offset[i]);
  }
  return piece;
}

std::byte* Transfer::place(std::size_t size) {
  if (placed_ || !is_whole(to_) || to_.bytes() != size) return nullptr;
  placed_ = true;
  return to_.at;
}

bool Transfer::arrive(cl_int status, const Bulk& bulk) {
  if (status >= 0 && bulk.size() != to_.bytes()) {
    end(CL_OUT_OF_RESOURCES);
    return false;
  }
  if (status >= 0 && bulk.tag() == 0) unpack(to_, bulk.data(), read_->past_caches);
  end(std::min(status, CL_SUCCESS));
  return true;
}

void Transfer::fail(cl_int status) {
  end(status);
}

bool Transfer::goes_to(const std::byte* at, std::size_t size) const {
  const bool landed = read_->landed.load(std::memory_order_acquire);
  return !landed && to_.at < at + size && at < to_.at + extent(to_);
}

void Transfer::end(cl_int status) {
  ReadState& read = *read_;
  cl_int good = CL_SUCCESS;
  if (status < 0) read.status.compare_exchange_strong(good, status);
  if (read.left.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  read.queue->read_ends(read.number);
  read.queue->session().unfinished().end_read();
  read.landed.store(true, std::memory_order_release);
  if (read.event) read.event->on_transfer_done(read.status.load());
  read.finished.store(true, std::memory_order_release);
}

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
#include "transport/stream_decoder.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace tessera {

void check_stream_frame(const FrameHeader& header) {
  if (header.kind == FrameKind::message) {
    check_message(header);
    require(header.bulk_at == 0, "an offset in a stream's message");
    return;
  }
  require(header.opcode == 0 && header.reserved == 0 && header.bulk_in == BulkIn::nothing,
          "a frame carries what its kind does not have");
  if (header.kind == FrameKind::credit) {
    require(header.sequence == 0 && header.fields_size == 0 && header.bulk_size == 0 &&
                header.bulk_at >= 1 && header.bulk_at <= kBulkWindow,
            "a credit that was never owed");
    return;
  }
  require(header.kind == FrameKind::fragment, "frame of unknown kind");
  require(header.bulk_size >= 1 && header.bulk_size <= kMaxBulk, "bulk of a wrong length");
  require(header.fields_size >= 1 && header.fields_size <= kFragment &&
              header.bulk_at < header.bulk_size &&
              header.fields_size <= header.bulk_size - header.bulk_at,
          "a fragment outside its bulk");
}

StreamDecoder::StreamDecoder(BlockPool& blocks, std::atomic<std::uint64_t>& held)
    : blocks_(blocks), held_(held), buffer_(std::make_unique_for_overwrite<std::byte[]>(kBuffer)) {}

StreamDecoder::~StreamDecoder() {
  if (open_ != nullptr) BlockPool::give_after_fork(open_);
}

std::size_t StreamDecoder::vectors(std::array<iovec, 3>& places) {
  if (begin_ != 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  std::size_t count = 0;
  if (fragment_left_ != 0) places[count++] = {open_->data() + open_filled_, fragment_left_};
  if (padding_left_ != 0) places[count++] = {padding_.data(), padding_left_};
  // The bytes of the next fragment that come along have to be copied, so few may.
  const std::size_t room = count == 0 ? kBuffer - end_ : kBehindFragment;
  places[count++] = {buffer_.get() + end_, room};
  return count;
}

void StreamDecoder::filled(std::size_t bytes) {
  const std::size_t direct = std::min(bytes, fragment_left_);
  fragment_left_ -= direct;
  open_filled_ += direct;
  bytes -= direct;
  const std::size_t padding = std::min(bytes, padding_left_);
  padding_left_ -= padding;
  end_ += bytes - padding;
}

void StreamDecoder::feed_fragment() {
  const std::size_t direct = std::min(end_ - begin_, fragment_left_);
  if (direct != 0) {
    std::memcpy(open_->data() + open_filled_, buffer_.get() + begin_, direct);
    begin_ += direct;
    open_filled_ += direct;
    fragment_left_ -= direct;
  }
  const std::size_t padding = std::min(end_ - begin_, padding_left_);
  begin_ += padding;
  padding_left_ -= padding;
}

StreamDecoder::Item StreamDecoder::next(Message& out) {
  for (;;) {
    feed_fragment();
    if (fragment_left_ != 0 || padding_left_ != 0) return Item::nothing;
    if (end_ - begin_ < sizeof(FrameHeader)) return Item::nothing;
    FrameHeader header;
    std::memcpy(&header, buffer_.get() + begin_, sizeof header);
    check_stream_frame(header);
    if (header.kind == FrameKind::fragment) {
      begin_ += sizeof header;
      begin_fragment(header);
      continue;
    }
    if (end_ - begin_ < frame_bytes(header)) return Item::nothing;
    if (header.kind == FrameKind::message) return message(header, out);
    begin_ += sizeof header;
    out.header = header;
    return Item::credit;
  }
}

StreamDecoder::Item StreamDecoder::message(const FrameHeader& header, Message& out) {
  require(header.sequence == next_sequence_, "a message is missing or repeated");
  ++next_sequence_;
  const std::byte* at = buffer_.get() + begin_ + sizeof header;
  out.header = header;
  out.fields = {at, header.fields_size};
  out.bulk = nullptr;
  if (header.bulk_in == BulkIn::frame) {
    out.bulk = take_bulk(header.bulk_size, 0);
    std::memcpy(out.bulk->data(), at + padded(header.fields_size), header.bulk_size);
  } else if (header.bulk_in == BulkIn::apart) {
    require(open_ != nullptr && open_->size == header.bulk_size && open_filled_ == open_->size,
            "a message announces a bulk that did not come");
    out.bulk = std::exchange(open_, nullptr);
  }
  begin_ += frame_bytes(header);
  return Item::message;
}

void StreamDecoder::begin_fragment(const FrameHeader& header) {
  require(header.sequence == 0 || header.bulk_at == 0, "a tag where none may be");
  if (header.bulk_at == 0) {
    require(open_ == nullptr, "two bulks at a time");
    open_ = take_bulk(header.bulk_size, header.sequence);
    open_filled_ = 0;
  }
  require(open_ != nullptr && open_->size == header.bulk_size && open_filled_ == header.bulk_at,
          "a fragment out of order");
  fragment_left_ = header.fields_size;
  padding_left_ = padded(header.fields_size) - header.fields_size;
}

Block* StreamDecoder::take_bulk(std::size_t bytes, std::uint64_t tag) {
  const std::uint64_t held = held_.fetch_add(bytes) + bytes;
  require(held <= kBulkWindow, "more bulk than the window allows");
  std::byte* place = tag == 0 || !place_ ? nullptr : place_(tag, bytes);
  return place == nullptr ? blocks_.take(bytes) : blocks_.take_for(place, bytes, tag);
}

std::span<std::byte> StreamDecoder::foreign() const {
  if (open_ == nullptr || !open_->is_foreign()) return {};
  return {open_->data() + open_filled_, fragment_left_};
}

void StreamDecoder::forget_places() noexcept {
  place_ = nullptr;
  if (open_ == nullptr || !open_->is_foreign()) return;
  fragment_left_ = padding_left_ = 0;
  blocks_.give(std::exchange(open_, nullptr));
}

}  // namespace tessera

// SPDX-License-Identifier: Apache-2.0
#include "transport/ring.h"

#include <algorithm>
#include <cstring>

namespace tessera {

bool RingProducer::has_room(std::size_t bytes) {
  if (capacity_ - (head_ - tail_seen_) >= bytes) return true;
  const std::uint64_t tail = observe_tail(control_.tail);
  require(head_ - tail <= head_ - tail_seen_, "the ring's tail went astray");
  tail_seen_ = tail;
  return capacity_ - (head_ - tail_seen_) >= bytes;
}

std::uint64_t RingProducer::write(std::uint64_t at, const void* from, std::size_t bytes) {
  const std::size_t begin = at & (capacity_ - 1);
  const std::size_t first = std::min(bytes, capacity_ - begin);
  const auto* source = static_cast<const std::byte*>(from);
  if (first != 0) std::memcpy(data_ + begin, source, first);
  if (first != bytes) std::memcpy(data_, source + first, bytes - first);
  return at + padded(bytes);
}

bool RingProducer::try_push(const FrameHeader& header, std::span<const std::byte> fields,
                            std::span<const std::byte> bulk) {
  if (!has_room(frame_bytes(header))) return false;
  std::uint64_t at = write(head_, &header, sizeof header);
  at = write(at, fields.data(), fields.size());
  at = write(at, bulk.data(), bulk.size());
  head_ = at;
  publish_head(control_.head, head_);
  return true;
}

bool RingConsumer::has_record() {
  if (head_seen_ != tail_) return true;
  const std::uint64_t head = observe_head(control_.head);
  require(head - tail_ <= capacity_ && head % 8 == 0, "the ring's head went astray");
  head_seen_ = head;
  return head_seen_ != tail_;
}

bool RingConsumer::pop_header(FrameHeader& header) {
  if (!has_record()) return false;
  const std::uint64_t available = head_seen_ - tail_;
  require(available >= sizeof header, "a record is cut short");
  read(tail_, &header, sizeof header);
  check_message(header);
  require(frame_bytes(header) <= available, "a record is longer than the ring holds");
  part_ = tail_ + sizeof header;
  record_end_ = tail_ + frame_bytes(header);
  return true;
}

void RingConsumer::copy(void* to, std::size_t bytes) {
  read(part_, to, bytes);
  part_ += padded(bytes);
}

void RingConsumer::finish() {
  tail_ = record_end_;
  publish_tail(control_.tail, tail_);
}

void RingConsumer::read(std::uint64_t at, void* to, std::size_t bytes) const {
  const std::size_t begin = at & (capacity_ - 1);
  const std::size_t first = std::min(bytes, capacity_ - begin);
  auto* target = static_cast<std::byte*>(to);
  if (first != 0) copy_from_shared(target, data_ + begin, first);
  if (first != bytes) copy_from_shared(target + first, data_, bytes - first);
}

}  // namespace tessera

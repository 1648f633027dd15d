// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/pinned_bulk.h"

#include <cstring>

namespace tessera::worker {

PinnedBulk::Payload::Payload(PinnedBulk& owner, Bulk bulk)
    : owner_(owner), bulk_(std::move(bulk)), size_(bulk_.size()) {
  const std::lock_guard lock(owner_.mutex_);
  owner_.pinned_ += size_;
}

PinnedBulk::Payload::Payload(PinnedBulk& owner, std::unique_ptr<std::byte[]> copy, std::size_t size)
    : owner_(owner), copy_(std::move(copy)), size_(size) {
  const std::lock_guard lock(owner_.mutex_);
  owner_.copied_ += size_;
}

PinnedBulk::Payload::~Payload() {
  bulk_.reset();
  const std::lock_guard lock(owner_.mutex_);
  (copy_ != nullptr ? owner_.copied_ : owner_.pinned_) -= size_;
  owner_.stuck_ = false;
  owner_.moved_.notify_all();
}

bool PinnedBulk::wait_for_room(std::size_t size) {
  std::unique_lock lock(mutex_);
  const auto room = [&] { return pinned_ + size <= kMaxPinned; };
  if (room()) return true;
  if (!stuck_) stuck_ = !moved_.wait_for(lock, kPatience, room);
  return room() || copied_ + size > kMaxCopied;
}

std::shared_ptr<PinnedBulk::Payload> PinnedBulk::hold(Bulk bulk) {
  const std::size_t size = bulk.size();
  if (size > kSmallWrite && wait_for_room(size)) {
    return std::make_shared<Payload>(*this, std::move(bulk));
  }
  std::unique_ptr<std::byte[]> copy(new std::byte[size]);
  if (size != 0) std::memcpy(copy.get(), bulk.data(), size);
  return std::make_shared<Payload>(*this, std::move(copy), size);
}

}  // namespace tessera::worker

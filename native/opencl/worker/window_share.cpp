// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/window_share.h"

#include "transport/arena.h"

namespace tessera::worker {
namespace {

// What a payload costs the window: over shared memory whole chunks.
std::size_t room_of(std::size_t size) {
  return chunks_for(size) * kChunkBytes;
}

}  // namespace

WindowShare::Part::~Part() {
  const std::lock_guard lock(share_.mutex_);
  if (aside_) {
    share_.aside_ -= size_;
    return;
  }
  share_.kept_ -= size_;
  share_.stuck_ = false;
  share_.given_back_.notify_all();
}

WindowShare::Part WindowShare::take(std::size_t size) {
  const std::size_t room = room_of(size);
  std::unique_lock lock(mutex_);
  const auto fits = [&] { return kept_ == 0 || kept_ + room <= most_; };
  if (!fits() && !stuck_) stuck_ = !given_back_.wait_for(lock, kPatience, fits);
  const bool aside = !fits() && aside_ + size <= kMaxAside;
  (aside ? aside_ : kept_) += aside ? size : room;
  return Part(*this, aside ? size : room, aside);
}

WindowShare::Part WindowShare::take_aside(std::size_t size) {
  const std::lock_guard lock(mutex_);
  aside_ += size;
  return Part(*this, size, true);
}

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
//
// The payloads of writes that the driver has not read yet.
//
// Handing the received memory itself to the driver saves a copy, but keeps a part of the client's
// window for as long as the command waits, and a command may wait for an event that the client sets
// only after more writes than the window holds. So at most half of the window is pinned. A write
// beyond that waits a moment for an earlier one to end; if none does, the payload is copied to
// private memory, and the next ones are copied at once until something moves again.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>

#include "transport/channel.h"

namespace tessera::worker {

inline constexpr std::size_t kMaxPinned = 16 * 1024 * 1024;  // bytes
// Copies of gated writes; past it the window is pinned all the same and holds the client back.
inline constexpr std::size_t kMaxCopied = std::size_t{4} * 1024 * 1024 * 1024;  // bytes
// Small writes are always copied, so that their place in the window is free at once.
inline constexpr std::size_t kSmallWrite = 4096;  // bytes

class PinnedBulk {
 public:
  // Bytes that stay where they are until this is dropped; any thread.
  class Payload {
   public:
    Payload(PinnedBulk& owner, Bulk bulk);
    Payload(PinnedBulk& owner, std::unique_ptr<std::byte[]> copy, std::size_t size);
    Payload(const Payload&) = delete;
    Payload& operator=(const Payload&) = delete;
    ~Payload();
    std::byte* data() const { return copy_ != nullptr ? copy_.get() : bulk_.data(); }
    std::size_t size() const { return size_; }

   private:
    PinnedBulk& owner_;
    Bulk bulk_;
    std::unique_ptr<std::byte[]> copy_;
    std::size_t size_;
  };

  // May wait a moment.
  std::shared_ptr<Payload> hold(Bulk bulk);

 private:
  static constexpr std::chrono::milliseconds kPatience{5};
  bool wait_for_room(std::size_t size);

  std::mutex mutex_;
  std::condition_variable moved_;
  std::size_t pinned_ = 0;
  std::size_t copied_ = 0;
  bool stuck_ = false;
};

}  // namespace tessera::worker

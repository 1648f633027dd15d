// SPDX-License-Identifier: Apache-2.0
//
// The payloads of writes that the driver has not read yet: where they were received, or aside.
#pragma once

#include <cstddef>
#include <memory>

#include "opencl/worker/window_share.h"
#include "transport/channel.h"

namespace tessera::worker {

inline constexpr std::size_t kMaxPinned = 16 * 1024 * 1024;  // bytes, half of the window
// Small writes are always copied, so that their place in the window is free at once.
inline constexpr std::size_t kSmallWrite = 4096;  // bytes

class PinnedBulk {
 public:
  // Bytes that stay where they are until this is dropped; any thread.
  class Payload {
   public:
    // May wait a moment.
    Payload(WindowShare& share, Bulk bulk);
    std::byte* data() const { return copy_ != nullptr ? copy_.get() : bulk_.data(); }
    std::size_t size() const { return size_; }

   private:
    const std::size_t size_;
    const WindowShare::Part part_;
    Bulk bulk_;
    std::unique_ptr<std::byte[]> copy_;
  };

  // May wait a moment.
  std::shared_ptr<Payload> hold(Bulk bulk) {
    return std::make_shared<Payload>(share_, std::move(bulk));
  }

 private:
  WindowShare share_{kMaxPinned};
};

}  // namespace tessera::worker

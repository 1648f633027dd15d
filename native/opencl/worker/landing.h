// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

#include "opencl/worker/window_share.h"
#include "transport/channel.h"

namespace tessera::worker {

// Where the driver puts the bytes of one read: memory of the channel, from which they are sent as
// they lie, or aside.
class Landing {
 public:
  // `size` is 1..kMaxBulk bytes. May wait a moment, or for the client to take what was sent before.
  // Throws ChannelClosed.
  Landing(WindowShare& share, Channel& channel, std::size_t size);
  std::byte* data() const { return aside_ != nullptr ? aside_.get() : bulk_.data(); }
  // The bytes, once the driver has put them there, for a send before which this is not dropped. May
  // wait for the client to take what was sent before; throws ChannelClosed.
  Bulk payload();

 private:
  const WindowShare::Part part_;
  Channel& channel_;
  const std::size_t size_;
  Bulk bulk_;
  std::unique_ptr<std::byte[]> aside_;
};

}  // namespace tessera::worker

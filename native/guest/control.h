// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "guest/frame.h"

namespace tessera::guest {

// The control port: whole frames both ways, without waiting.
class Control {
 public:
  // `port` must not block, and belongs to somebody who keeps it open.
  explicit Control(int port) : port_(port) {}

  void say(std::vector<std::byte> frame);
  pollfd entry() const;
  // Hands every frame that has come to `obey`. Throws BadFrame, and std::system_error when the port
  // is gone.
  void serve(const pollfd& entry, const std::function<void(const Frame&)>& obey);

 private:
  void write();

  const int port_;
  FrameDecoder decoder_;
  std::vector<std::byte> output_;
};

}  // namespace tessera::guest

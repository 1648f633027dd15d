// SPDX-License-Identifier: Apache-2.0
//
// How much of a window the transfers under way may keep.
//
// Handing the window's own memory to the driver saves a copy, but keeps a part of the window for as
// long as the command waits, and a command may wait for an event that the client sets only after
// more transfers than the window holds. So only a part of it is kept, half or less, and the payload
// of a message that ends the wait still finds room. A transfer beyond that waits a moment for an
// earlier one to end; if none does, it lies aside, in private memory, and so do the next ones, at
// once, until something that was kept is given back.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace tessera::worker {

// Past it the window is kept all the same, and holds the client back.
inline constexpr std::size_t kMaxAside = std::size_t{4} * 1024 * 1024 * 1024;  // bytes

class WindowShare {
 public:
  // Of one transfer, until this is dropped; any thread.
  class Part {
   public:
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;
    ~Part();
    // The bytes lie in private memory.
    bool is_aside() const { return aside_; }

   private:
    friend class WindowShare;
    Part(WindowShare& share, std::size_t size, bool aside)
        : share_(share), size_(size), aside_(aside) {}
    WindowShare& share_;
    const std::size_t size_;
    const bool aside_;
  };

  // At most `most` bytes are kept, or one transfer that is larger.
  explicit WindowShare(std::size_t most) : most_(most) {}

  // A place for `size` bytes. May wait a moment.
  Part take(std::size_t size);
  Part take_aside(std::size_t size);

 private:
  static constexpr std::chrono::milliseconds kPatience{5};

  const std::size_t most_;
  std::mutex mutex_;
  std::condition_variable given_back_;
  std::size_t kept_ = 0;
  std::size_t aside_ = 0;
  bool stuck_ = false;
};

}  // namespace tessera::worker

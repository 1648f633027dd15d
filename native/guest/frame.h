// SPDX-License-Identifier: Apache-2.0
//
// What crosses a virtio-serial port between a guest and its host: frames. protocol/guest.md has the
// bytes.
//
// A port is a pipe in each direction and nothing more: it has no ends that could be seen from the
// other side, and one port is used by one program after another. So what a socket says by being
// opened and closed is said here in words, in the order of the data around it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace tessera::guest {

inline constexpr std::size_t kHeader = 8;               // bytes
inline constexpr std::size_t kMaxPayload = 256 * 1024;  // bytes; more than one word of a command
inline constexpr std::size_t kMaxData = 64 * 1024;      // bytes that a lane puts into one frame
inline constexpr std::uint32_t kGuestProtocol = 4;

enum class Kind : std::uint8_t {
  data = 1,       // on every port but the control port, both ways
  open = 2,       // GPU ports: a program has connected
  close = 3,      // nothing follows until the next `open`; each side says it once
  hello = 4,      // control, guest to host: version, then the kernel's release
  word = 5,       // control, host to guest: NAME=VALUE, a part of what is to be run
  start = 6,      // control, host to guest: all words were said
  started = 7,    // control, guest to host: the program runs
  failed = 8,     // control, guest to host: errno, then what could not be done
  signal = 9,     // control, host to guest: a signal's number
  size = 10,      // control, host to guest: rows and columns of the terminal
  exit = 11,      // control, guest to host: exit code and ending signal, one of them 0
  end = 12,       // control, host to guest: everything has arrived, power off
  time = 13,      // control, host to guest: what the real-time clock is to show
  lent = 14,      // GPU ports, both ways: a slot of the shared memory holds so many bytes
  returned = 15,  // GPU ports, both ways: a slot's bytes were taken
};

// The peer did not keep to the protocol.
class BadFrame : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Frame {
  Kind kind;
  std::span<const std::byte> payload;  // valid until the next call of the decoder
  // The 32-bit number at `index`; check_frame() has seen that it is there.
  std::uint32_t number(std::size_t index) const;
  std::string text(std::size_t from = 0) const;
};

// Bytes in, frames out; no system call, so that a fuzzer can drive it.
class FrameDecoder {
 public:
  FrameDecoder() : buffer_(kHeader + kMaxPayload) {}
  // Where the next bytes go, never empty after next() has said that there is no whole frame.
  std::span<std::byte> room();
  void filled(std::size_t bytes) { end_ += bytes; }
  // The next whole frame. Throws BadFrame.
  std::optional<Frame> next();

 private:
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// Throws BadFrame unless a payload of `size` bytes makes sense for `kind`.
void check_frame(std::uint8_t kind, std::size_t size);

std::array<std::byte, kHeader> frame_header(Kind kind, std::size_t payload);
// A whole frame of numbers, then text.
std::vector<std::byte> make_frame(Kind kind, std::span<const std::uint32_t> numbers = {},
                                  const std::string& text = {});

}  // namespace tessera::guest

// SPDX-License-Identifier: Apache-2.0
//
// What waits to be written to a stream: `before`, then one fragment of somebody's bulk, then
// `after`.
//
// A fragment is written from where it lies, by the thread that owns it or by any other that gets
// the socket first. While it is under way, messages of other threads gather in `after`; when it is
// done, `after` becomes `before` and goes out ahead of the next fragment. That is how commands pass
// between the pieces of a large copy on one socket. Not thread-safe.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "transport/frame.h"

namespace tessera {

class StreamOutput {
 public:
  StreamOutput() {
    before_.bytes.reserve(kReserved);
    after_.bytes.reserve(kReserved);
  }

  // Room for one more frame, whatever its size? Never allocates while callers ask first.
  bool has_room() const { return tail().bytes.size() < kGathered; }
  bool empty() const { return gathered() == 0 && fragment_.empty(); }
  bool has_fragment() const { return !fragment_.empty(); }
  std::span<const std::byte> fragment() const { return fragment_; }
  std::size_t gathered() const { return before_.left() + after_.left(); }
  // Bytes ever queued, and bytes ever written: flush() waits until the second reaches the first.
  std::uint64_t queued() const { return queued_; }
  std::uint64_t written() const { return written_; }

  void add(const FrameHeader& header, std::span<const std::byte> fields,
           std::span<const std::byte> bulk) {
    append(&header, sizeof header, sizeof header);
    append(fields.data(), fields.size(), padded(fields.size()));
    append(bulk.data(), bulk.size(), padded(bulk.size()));
  }
  // `bytes` must stay where they are until has_fragment() is false again.
  void add_fragment(const FrameHeader& header, std::span<const std::byte> bytes) {
    append(&header, sizeof header, sizeof header);
    fragment_ = bytes;
    queued_ += bytes.size();
    append(nullptr, 0, padded(bytes.size()) - bytes.size());
  }
  // The owner of the fragment gives up; nothing can be written any more.
  void forget_fragment() { fragment_ = {}; }

  std::size_t vectors(std::array<iovec, 3>& from) const {
    std::size_t count = 0;
    const auto add_part = [&](const std::byte* data, std::size_t size) {
      if (size != 0) from[count++] = {const_cast<std::byte*>(data), size};
    };
    add_part(before_.bytes.data() + before_.start, before_.left());
    add_part(fragment_.data(), fragment_.size());
    add_part(after_.bytes.data() + after_.start, after_.left());
    return count;
  }

  void wrote(std::size_t bytes) {
    written_ += bytes;
    bytes -= before_.skip(bytes);
    const std::size_t direct = std::min(bytes, fragment_.size());
    fragment_ = fragment_.subspan(direct);
    bytes -= direct;
    after_.skip(bytes);
    if (before_.left() != 0 || !fragment_.empty()) return;
    before_.clear();
    std::swap(before_, after_);
    if (before_.left() == 0) before_.clear();
  }

 private:
  struct Gather {
    std::vector<std::byte> bytes;
    std::size_t start = 0;
    std::size_t left() const { return bytes.size() - start; }
    std::size_t skip(std::size_t count) {
      const std::size_t skipped = std::min(count, left());
      start += skipped;
      return skipped;
    }
    void clear() {
      bytes.clear();
      start = 0;
    }
  };
  static constexpr std::size_t kGathered = 64 * 1024;
  static constexpr std::size_t kReserved = kGathered + kMaxFrame + 8 * sizeof(FrameHeader);

  Gather& tail() { return fragment_.empty() ? before_ : after_; }
  const Gather& tail() const { return fragment_.empty() ? before_ : after_; }
  void append(const void* data, std::size_t size, std::size_t with_padding) {
    auto& bytes = tail().bytes;
    const auto* from = static_cast<const std::byte*>(data);
    bytes.insert(bytes.end(), from, from + size);
    bytes.resize(bytes.size() + with_padding - size);
    queued_ += with_padding;
  }

  Gather before_;
  Gather after_;
  std::span<const std::byte> fragment_;
  std::uint64_t queued_ = 0;
  std::uint64_t written_ = 0;
};

}  // namespace tessera

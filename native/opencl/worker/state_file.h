// SPDX-License-Identifier: Apache-2.0
//
// The bytes of a saved session: the same in a file and in memory.
//
// A preamble (magic, version of the format) and frames. A frame is a head of 40 bytes, its fields
// and its bulk, padded to 8 bytes each. The head has the checksum of what follows it and one of
// itself, which begins with the frame's number, so that a frame that is lost, repeated or moved is
// found as well as one that was changed. The last frame is the trailer, with the number of frames;
// nothing comes after it. Both ends are little endian, like the wire.
//
// A reader trusts nothing: not a length, not an order, not that two passes see the same bytes. A
// resume reads everything once before it touches a device, and checks everything again while it
// reads for the second time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "opencl/worker/state.h"

namespace tessera::worker {

inline constexpr std::uint32_t kStateVersion = 2;

enum class FrameType : std::uint32_t {
  header = 1,    // StateHeader
  message = 2,   // as it came from the client, or as a handler would take it
  contents = 3,  // of a buffer or an image: ContentsPlace; bulk = the bytes
  poisoned = 4,  // an object whose creation failed: PoisonedObject
  ended = 5,     // an event that has ended: EndedEvent
  pending = 6,   // what the client was told of an event that has not: PendingEvent
  queue = 7,     // QueueCounters
  unset = 8,     // UnsetArgument
  trailer = 9,   // fields: u64 number of frames before it
};

// A message that failed before, too: its replay may fail.
inline constexpr std::uint32_t kMayFail = 1;

struct Frame {
  FrameType type = FrameType::trailer;
  std::uint32_t flags = 0;
  std::uint32_t opcode = 0;  // of a message
  std::span<const std::byte> fields{};
  std::span<const std::byte> bulk{};
};

// Throws StateError(StateFileDamaged).
[[noreturn]] void damaged(const std::string& what);

// Writes into a descriptor. Throws StateError(SuspendFailed) with the system's reason.
class StateWriter {
 public:
  // `fd` is at its beginning; the caller keeps it.
  explicit StateWriter(int fd);
  void write(const Frame& frame);
  // The trailer; nothing may be written after it.
  void finish();
  std::uint64_t frames() const { return frames_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  void put(std::span<const std::byte> bytes);
  int fd_;
  std::uint64_t frames_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t handed_on_ = 0;  // bytes that the disk was told to write
  std::vector<std::byte> small_;
};

// Reads from a descriptor, from the beginning. Throws StateError(StateFileDamaged) for whatever a
// writer of this version does not write, StateError(StateFileOtherVersion) for one of another.
class StateReader {
 public:
  explicit StateReader(int fd);
  // The next frame, whose spans live until the second next call, so that a device may still read
  // one while the next is fetched; false after the trailer.
  bool next(Frame& frame);
  std::uint64_t frames() const { return frames_; }

 private:
  void get(std::span<std::byte> into);
  int fd_;
  std::uint64_t size_;
  std::uint64_t at_ = 0;
  std::uint64_t frames_ = 0;
  struct Body {
    std::unique_ptr<std::byte[]> bytes;
    std::size_t capacity = 0;
  };
  std::array<Body, 2> bodies_;  // by turns
};

// A file that is there whole or not at all: written under another name, made durable, and renamed.
class NewStateFile {
 public:
  // Mode 0600. Throws StateError(SuspendFailed).
  explicit NewStateFile(const std::string& path);
  NewStateFile(const NewStateFile&) = delete;
  NewStateFile& operator=(const NewStateFile&) = delete;
  // Removes what was written, unless keep() came before.
  ~NewStateFile();
  int fd() const { return fd_.get(); }
  void keep();

 private:
  std::string path_;
  std::string temporary_;
  UniqueFd fd_;
};

// The saved state, opened for reading. Throws StateError(StateFileDamaged) when it is gone.
UniqueFd open_state(const SavedState& state);

}  // namespace tessera::worker

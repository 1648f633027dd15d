// SPDX-License-Identifier: Apache-2.0
//
// The bulk arena of one direction: payloads are written once by the sender and read in place by the
// receiver.
//
// It is cut into chunks; a payload takes a run of neighbouring ones. Which chunks are taken is
// known to the sender alone, in private memory. The only thing shared is one word per chunk, by
// which the receiver says of a run's first chunk "consumed". So a hostile receiver can at worst
// have its own payload overwritten, and a hostile sender can at worst name a place that the
// receiver's check refuses. A free list in shared memory was refused for that reason.
//
// First fit from the bottom, on purpose: a session that moves one piece at a time uses the same few
// pages again and again; they stay in the cache, and the rest of the arena is never touched.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "transport/ring_memory_order.h"

namespace tessera {

inline constexpr std::size_t kArenaBytes = 32 * 1024 * 1024;
inline constexpr std::size_t kChunkBytes = 64 * 1024;
inline constexpr std::size_t kChunks = kArenaBytes / kChunkBytes;

using ConsumedMarks = std::array<SharedWord, kChunks>;

// A run of chunks, as 64 bits that fit a Bulk's token.
struct ArenaRun {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  std::size_t offset() const { return first * kChunkBytes; }
};

inline constexpr std::size_t chunks_for(std::size_t bytes) {
  return (bytes + kChunkBytes - 1) / kChunkBytes;
}

// The sender's side; any thread.
class ArenaSender {
 public:
  explicit ArenaSender(ConsumedMarks& marks) : marks_(marks) { in_flight_.reserve(kChunks); }

  // False while no run of that length is free.
  bool try_take(std::size_t bytes, ArenaRun& run);
  // Before the message that names the run is published.
  void sent(ArenaRun run);
  // The payload was not sent after all.
  void give_back(ArenaRun run) noexcept;

 private:
  void collect() noexcept;
  void set(ArenaRun run, bool taken) noexcept;

  std::mutex mutex_;
  ConsumedMarks& marks_;
  std::array<bool, kChunks> taken_{};
  std::vector<ArenaRun> in_flight_;
};

// The receiver's check of a place that the peer named. Throws ChannelClosed.
ArenaRun checked_run(std::uint64_t offset, std::size_t bytes);

}  // namespace tessera

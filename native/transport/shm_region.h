// SPDX-License-Identifier: Apache-2.0
//
// The shared memory of one session: two rings, two arenas, one sealed memfd.
//
// The worker makes it and seals its size, so that neither side can shrink it under the other's
// hands (which would kill the reader with SIGBUS); the client checks the seals before it maps.
// Pages are touched when they are first used, so an idle session costs a few of them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/unique_fd.h"
#include "transport/arena.h"
#include "transport/ring.h"

namespace tessera {

inline constexpr std::size_t kRingBytes = 512 * 1024;
static_assert(kRingBytes > 4 * kMaxFrame);

// One page of shared words for each direction.
struct alignas(4096) DirectionControl {
  RingControl ring;
  ConsumedMarks consumed;
};
static_assert(sizeof(DirectionControl) == 4096);

// The memory as both sides see it; offsets are part of the protocol.
struct RegionLayout {
  alignas(4096) SharedWord closed;
  DirectionControl to_worker;
  DirectionControl to_client;
  alignas(4096) std::byte ring_to_worker[kRingBytes];
  std::byte ring_to_client[kRingBytes];
  std::byte arena_to_worker[kArenaBytes];
  std::byte arena_to_client[kArenaBytes];
};
static_assert(offsetof(RegionLayout, to_worker) == 4096);
static_assert(offsetof(RegionLayout, ring_to_worker) == 12288);
static_assert(offsetof(RegionLayout, arena_to_worker) == 12288 + 2 * kRingBytes);
static_assert(sizeof(RegionLayout) == 68'169'728);  // protocol/wire-format.md

// A mapping. Not inherited by fork.
class ShmRegion {
 public:
  // A fresh sealed memfd. Throws ConnectError.
  static UniqueFd create();
  // Throws ConnectError unless `fd` has the right size and seals.
  explicit ShmRegion(int fd);
  ShmRegion(const ShmRegion&) = delete;
  ShmRegion& operator=(const ShmRegion&) = delete;
  ~ShmRegion();

  RegionLayout& layout() const { return *layout_; }
  // In a forked child, where the mapping does not exist.
  void abandon() noexcept { layout_ = nullptr; }

 private:
  RegionLayout* layout_;
};

}  // namespace tessera

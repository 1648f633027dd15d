// SPDX-License-Identifier: Apache-2.0
//
// Private memory for payloads that do not lie in an arena. A few blocks are kept: a fresh one of a
// megabyte costs 256 page faults, more than moving the bytes.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace tessera {

struct Block {
  Block* next;
  std::size_t size;   // bytes asked for
  std::size_t order;  // the block has room for 2^order bytes
  std::byte* place;   // the payload: behind the header, or memory of somebody else
  std::uint64_t tag;  // by which that memory was found, else 0
  std::byte* data() { return place; }
  std::byte* own() { return reinterpret_cast<std::byte*>(this) + kHeader; }
  bool is_foreign() { return place != own(); }
  std::uint64_t token() const { return reinterpret_cast<std::uintptr_t>(this); }
  static Block* of(std::uint64_t token) { return reinterpret_cast<Block*>(token); }
  static constexpr std::size_t kHeader = 64;
};

class BlockPool {
 public:
  static constexpr std::size_t kKept = 8 * 1024 * 1024;  // bytes
  BlockPool() = default;
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;
  ~BlockPool();

  // `size` is 1..kMaxBulk bytes. Throws std::bad_alloc.
  Block* take(std::size_t size);
  // A block that stands for `size` bytes at `place`.
  Block* take_for(std::byte* place, std::size_t size, std::uint64_t tag = 0);
  void give(Block* block) noexcept;
  // Without the lock, which another thread may have held when the process forked.
  static void give_after_fork(Block* block) noexcept;

 private:
  static constexpr std::size_t kMinOrder = 9;
  static constexpr std::size_t kMaxOrder = 24;
  std::mutex mutex_;
  std::array<Block*, kMaxOrder + 1> free_{};
  std::size_t kept_ = 0;
};

}  // namespace tessera

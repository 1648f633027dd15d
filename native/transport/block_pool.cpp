// SPDX-License-Identifier: Apache-2.0
#include "transport/block_pool.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

namespace tessera {

BlockPool::~BlockPool() {
  for (Block* block : free_) {
    while (block != nullptr) std::free(std::exchange(block, block->next));
  }
}

Block* BlockPool::take(std::size_t size) {
  const std::size_t order = std::max<std::size_t>(kMinOrder, std::bit_width(size - 1));
  {
    const std::scoped_lock lock(mutex_);
    if (Block* block = free_.at(order)) {
      free_[order] = block->next;
      kept_ -= std::size_t{1} << order;
      block->size = size;
      block->place = block->own();
      block->tag = 0;
      return block;
    }
  }
  void* memory = std::aligned_alloc(Block::kHeader, Block::kHeader + (std::size_t{1} << order));
  if (memory == nullptr) throw std::bad_alloc();
  auto* block = new (memory) Block{nullptr, size, order, nullptr, 0};
  block->place = block->own();
  return block;
}

Block* BlockPool::take_for(std::byte* place, std::size_t size, std::uint64_t tag) {
  Block* block = take(1);
  block->size = size;
  block->place = place;
  block->tag = tag;
  return block;
}

void BlockPool::give(Block* block) noexcept {
  const std::size_t bytes = std::size_t{1} << block->order;
  {
    const std::scoped_lock lock(mutex_);
    if (kept_ + bytes <= kKept) {
      kept_ += bytes;
      block->next = free_[block->order];
      free_[block->order] = block;
      return;
    }
  }
  std::free(block);
}

void BlockPool::give_after_fork(Block* block) noexcept {
  std::free(block);
}

}  // namespace tessera

// SPDX-License-Identifier: Apache-2.0
//
// Pages that another process maps too, laid over memory that is already in use here.
//
// A driver for processors hands out fine-grain shared memory from its own heap, which no other
// process can map. So the pages it gave are replaced, in place, by pages of a memfd; the driver
// keeps its address and never notices. Before the memory goes back to the driver's heap private
// pages are put there again: what the heap keeps in freed memory must not lie where a client can
// write. The memfd is sealed, because a client that could shorten it would kill this process by its
// next access.
#pragma once

#include <cstddef>
#include <optional>

#include "base/unique_fd.h"

namespace tessera::worker {

class SharedPages {
 public:
  // `at` and `size` are whole pages. Empty when the system has no room for it.
  static std::optional<SharedPages> lay_over(void* at, std::size_t size);

  // For the other process; may be closed once it was sent.
  UniqueFd& fd() { return fd_; }
  // False: the shared pages are still there, and the memory must never be used again.
  bool put_private_pages_back() noexcept;

 private:
  SharedPages(void* at, std::size_t size, UniqueFd fd) : at_(at), size_(size), fd_(std::move(fd)) {}

  void* at_;
  std::size_t size_;
  UniqueFd fd_;
};

}  // namespace tessera::worker

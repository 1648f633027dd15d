// SPDX-License-Identifier: Apache-2.0
//
// Pages of this process at addresses that somebody else chose.
//
// The worker's driver may give two small allocations parts of one page, so the first and the last
// page of a range are counted; the pages between belong to one range alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

namespace tessera::client {

class SvmPages {
 public:
  // False when something else of the process lies there; nothing is taken then. `readable`: the
  // program may look at it; else only the place is taken. Addresses that no program has, because a
  // device's lie beyond them, need no pages.
  bool take(std::uintptr_t base, std::size_t size, bool readable = true);
  void give_back(std::uintptr_t base, std::size_t size) noexcept;
  // The same with pages that are the worker's as well; such a range begins with a page of its own.
  bool take_shared(std::uintptr_t base, std::size_t size, int fd);
  void give_back_shared(std::uintptr_t base, std::size_t size) noexcept;

 private:
  bool take_edge(std::uintptr_t page, int access);
  void drop_edge(std::uintptr_t page) noexcept;

  std::map<std::uintptr_t, std::size_t> edges_;  // page -> ranges that use it
};

}  // namespace tessera::client

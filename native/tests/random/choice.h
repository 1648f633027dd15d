// SPDX-License-Identifier: Apache-2.0
//
// Random choices that are the same everywhere: the standard library's distributions are not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera::random {

class Choice {
 public:
  explicit Choice(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  // Below `limit`, which is not 0.
  std::size_t below(std::size_t limit) { return next() % limit; }
  std::size_t between(std::size_t low, std::size_t high) { return low + below(high - low + 1); }
  bool in(unsigned percent) { return below(100) < percent; }
  template <class T>
  const T& of(const std::vector<T>& list) {
    return list[below(list.size())];
  }

 private:
  std::uint64_t state_;
};

}  // namespace tessera::random

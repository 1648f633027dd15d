// SPDX-License-Identifier: Apache-2.0
//
// Copies of every length and alignment, and not a byte more.
#include "transport/bulk_copy.h"

#include <algorithm>
#include <vector>

#include "check.h"

namespace tessera::test {
namespace {

constexpr std::size_t kMargin = 128;
constexpr std::byte kUntouched{0xEE};

std::vector<std::byte> pattern(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  return bytes;
}

void test_copy(std::size_t size, std::size_t from_at, std::size_t to_at, bool past_caches) {
  const std::vector<std::byte> from = pattern(size + kMargin);
  std::vector<std::byte> to(size + 2 * kMargin, kUntouched);
  copy_bulk(to.data() + to_at, from.data() + from_at, size, past_caches);
  const auto begin = to.begin() + static_cast<std::ptrdiff_t>(to_at);
  const auto end = begin + static_cast<std::ptrdiff_t>(size);
  CHECK(std::equal(begin, end, from.begin() + static_cast<std::ptrdiff_t>(from_at)));
  const auto untouched = [](std::byte byte) { return byte == kUntouched; };
  CHECK(std::all_of(to.begin(), begin, untouched) && std::all_of(end, to.end(), untouched));
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  for (const bool past_caches : {false, true}) {
    for (const std::size_t size : {0, 1, 63, 2047, 2048, 2049, 2111, 4096, 65536, 300'001}) {
      for (const std::size_t from_at : {0, 1, 16, 63}) {
        for (std::size_t to_at = 0; to_at < 65; to_at += size < 5000 ? 1 : 16) {
          test_copy(size, from_at, to_at, past_caches);
        }
      }
    }
  }
  return 0;
}

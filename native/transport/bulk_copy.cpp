// SPDX-License-Identifier: Apache-2.0
#include "transport/bulk_copy.h"

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tessera {

#if defined(__SSE2__)
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kShort = 2048;  // bytes, from here on the loop pays

template <bool kPastCaches>
void store(__m128i* to, __m128i bytes) {
  if constexpr (kPastCaches) {
    _mm_stream_si128(to, bytes);
  } else {
    _mm_store_si128(to, bytes);
  }
}

// `to` is the beginning of a line.
template <bool kPastCaches>
void copy_lines(std::byte* to, const std::byte* from, std::size_t lines) {
  for (; lines != 0; --lines, to += kLine, from += kLine) {
    const auto* source = reinterpret_cast<const __m128i*>(from);
    auto* target = reinterpret_cast<__m128i*>(to);
    const __m128i a = _mm_loadu_si128(source);
    const __m128i b = _mm_loadu_si128(source + 1);
    const __m128i c = _mm_loadu_si128(source + 2);
    const __m128i d = _mm_loadu_si128(source + 3);
    store<kPastCaches>(target, a);
    store<kPastCaches>(target + 1, b);
    store<kPastCaches>(target + 2, c);
    store<kPastCaches>(target + 3, d);
  }
}

}  // namespace

void copy_bulk(std::byte* to, const std::byte* from, std::size_t size, bool past_caches) {
  if (size < kShort) {
    std::memcpy(to, from, size);
    return;
  }
  const std::size_t head = -reinterpret_cast<std::uintptr_t>(to) % kLine;
  const std::size_t lines = (size - head) / kLine;
  const std::size_t tail = head + lines * kLine;
  std::memcpy(to, from, head);
  if (past_caches) {
    copy_lines<true>(to + head, from + head, lines);
    // Such stores are not ordered with the one that publishes them.
    _mm_sfence();
  } else {
    copy_lines<false>(to + head, from + head, lines);
  }
  std::memcpy(to + tail, from + tail, size - tail);
}
#else
void copy_bulk(std::byte* to, const std::byte* from, std::size_t size, bool) {
  std::memcpy(to, from, size);
}
#endif

}  // namespace tessera

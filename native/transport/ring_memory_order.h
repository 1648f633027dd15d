// SPDX-License-Identifier: Apache-2.0
//
// The only place that orders memory between the two processes of a session.
//
// There are two rules, and each function below says which one it serves.
//   Hand-over: who sees an index (or a mark) move must also see the bytes that it stands for.
//   Sleep: one side publishes progress and then looks whether the other sleeps; the other announces
//     its sleep and then looks for progress. At least one of the two must see the other, or both
//     would wait for ever. Release and acquire do not give that: a store may still be passed by a
//     later load of another address. Sequential consistency of all four accesses does.
//
// Stand-alone fences with weaker accesses were refused: on x86 the cost is the same locked
// instruction, and the thread sanitizer does not understand fences.
//
// The last part copies bytes out of memory that a hostile peer can still write: once, into private
// memory, behind a compiler barrier, so that no later use can read the shared original again.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tessera {

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

using SharedIndex = std::atomic<std::uint64_t>;
using SharedWord = std::atomic<std::uint32_t>;

// Hand-over: the consumer that reads this head must see every byte of the records before it.
// Sleep: ordered before the producer's look at the consumer's sleep word.
inline void publish_head(SharedIndex& head, std::uint64_t value) {
  head.store(value, std::memory_order_seq_cst);
}
// Hand-over: bytes read after this are at least as new as the head. Sleep: ordered after the
// consumer's announcement.
inline std::uint64_t observe_head(const SharedIndex& head) {
  return head.load(std::memory_order_seq_cst);
}

// Hand-over: the producer that reads this tail may overwrite what lies before it, so all reads of
// those bytes must be done. Sleep: ordered before the consumer's look at the producer's sleep word.
inline void publish_tail(SharedIndex& tail, std::uint64_t value) {
  tail.store(value, std::memory_order_seq_cst);
}
// Hand-over: writes made after this cannot reach bytes that the consumer still reads. Sleep:
// ordered after the producer's announcement.
inline std::uint64_t observe_tail(const SharedIndex& tail) {
  return tail.load(std::memory_order_seq_cst);
}

// Hand-over: the sender that sees the mark may reuse the chunks, so the receiver's reads must be
// done. Sleep: ordered before the look at the producer's sleep word.
inline void mark_consumed(SharedWord& mark) {
  mark.store(1, std::memory_order_seq_cst);
}
inline bool is_consumed(const SharedWord& mark) {
  return mark.load(std::memory_order_seq_cst) != 0;
}
// Nothing to order: the receiver learns of these chunks by a later publish_head.
inline void clear_consumed(SharedWord& mark) {
  mark.store(0, std::memory_order_relaxed);
}

// What a sleep word says. A nap is short and ends by itself, so that only who waits for the sleeper
// needs to end it.
inline constexpr std::uint32_t kAwake = 0;
inline constexpr std::uint32_t kAsleep = 1;
inline constexpr std::uint32_t kNapping = 2;

// Sleep: the peer must see this, or its progress is seen by the check that follows.
inline void announce_sleep(SharedWord& word, std::uint32_t how = kAsleep) {
  word.store(how, std::memory_order_seq_cst);
}
// The peer may still pay for one needless wake; nothing else depends on it.
inline void cancel_sleep(SharedWord& word) {
  word.store(kAwake, std::memory_order_relaxed);
}
// Sleep: looked at after progress was published.
inline bool ring_needs_wakeup(const SharedWord& word) {
  return word.load(std::memory_order_seq_cst) != kAwake;
}
inline bool is_napping(const SharedWord& word) {
  return word.load(std::memory_order_seq_cst) == kNapping;
}
// True for one caller only, who then owes the wake.
inline bool take_wakeup(SharedWord& word) {
  return word.exchange(kAwake, std::memory_order_seq_cst) != kAwake;
}

// Hand-over: who sees the session closed must see every head published before it.
inline void publish_closed(SharedWord& closed) {
  closed.store(1, std::memory_order_seq_cst);
}
inline bool is_closed(const SharedWord& closed) {
  return closed.load(std::memory_order_seq_cst) != 0;
}

// The one read of these shared bytes.
inline void copy_from_shared(void* to, const std::byte* from, std::size_t bytes) {
  std::memcpy(to, from, bytes);
  asm volatile("" : : : "memory");
}

}  // namespace tessera

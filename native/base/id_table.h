// SPDX-License-Identifier: Apache-2.0
//
// Object of an id: a flat table with linear probing. The standard's maps were refused: they
// allocate at every event of a hot loop, and a lookup follows three pointers, each to memory that
// whoever computes on the same core has pushed out of its caches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace tessera {

// Spreads what differs anywhere over all bits (the end of MurmurHash3).
inline std::uint64_t scattered(std::uint64_t x) {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccd;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53;
  return x ^ (x >> 33);
}

// For ids that are handed out 1, 2, 3, ... by this process. Four that follow each other lie side by
// side, because they are used together; the fours are scattered. Ids as they are would be one run
// of everything that lives: to take its first one out is to look at all of it.
struct OwnIds {
  std::size_t operator()(std::uint64_t id) const { return scattered(id / 4) * 4 + id % 4; }
};

// For ids that somebody else chooses: without the seed they could be steered into one place.
struct ForeignIds {
  std::uint64_t seed = 0;
  std::size_t operator()(std::uint64_t id) const { return scattered((id / 4) ^ seed) * 4 + id % 4; }
};

// `Value` is a pointer of some kind; an empty one is no value.
template <class Value, class Hash = OwnIds>
class IdTable {
 public:
  explicit IdTable(Hash hash = {}) : hash_(hash), slots_(kFewest) {}

  // Empty if there is none. The reference holds until the next change of the table.
  const Value& find(std::uint64_t id) const { return slots_[place_of(id)].value; }
  // The id must be new, and the value not empty.
  void insert(std::uint64_t id, Value value) {
    if ((used_ + 1) * 2 > slots_.size()) resize(slots_.size() * 2);
    slots_[place_of(id)] = {id, std::move(value)};
    ++used_;
  }
  // The value, which the table has no more; empty if there was none.
  Value take(std::uint64_t id) {
    const std::size_t at = place_of(id);
    if (slots_[at].value == nullptr) return {};
    Value value = std::move(slots_[at].value);
    close_gap(at);
    --used_;
    if (slots_.size() > kFewest && used_ * 8 < slots_.size()) resize(slots_.size() / 2);
    return value;
  }
  std::size_t size() const { return used_; }
  // In no order. `visit` must not change the table.
  template <class Visit>
  void each(Visit&& visit) const {
    for (const Slot& slot : slots_) {
      if (slot.value != nullptr) visit(slot.value);
    }
  }

 private:
  static constexpr std::size_t kFewest = 64;
  struct Slot {
    std::uint64_t id = 0;
    Value value{};
  };

  std::size_t wanted(std::uint64_t id) const { return hash_(id) & (slots_.size() - 1); }
  std::size_t next(std::size_t at) const { return (at + 1) & (slots_.size() - 1); }
  // Where the id is, or where it would go.
  std::size_t place_of(std::uint64_t id) const {
    std::size_t at = wanted(id);
    while (slots_[at].value != nullptr && slots_[at].id != id) at = next(at);
    return at;
  }
  // Moves back what probing had pushed behind the gap, so that no search ends early.
  void close_gap(std::size_t gap) {
    for (std::size_t at = next(gap); slots_[at].value != nullptr; at = next(at)) {
      const std::size_t from_wanted = (at - wanted(slots_[at].id)) & (slots_.size() - 1);
      if (from_wanted >= ((at - gap) & (slots_.size() - 1))) {
        slots_[gap] = std::exchange(slots_[at], {});
        gap = at;
      }
    }
    slots_[gap] = {};
  }
  void resize(std::size_t count) {
    std::vector<Slot> old(count);
    old.swap(slots_);
    for (Slot& slot : old) {
      if (slot.value != nullptr) slots_[place_of(slot.id)] = std::move(slot);
    }
  }

  Hash hash_;
  std::vector<Slot> slots_;  // a power of two
  std::size_t used_ = 0;
};

}  // namespace tessera

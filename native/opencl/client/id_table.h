// SPDX-License-Identifier: Apache-2.0
//
// Object of an id, for ids that are handed out 1, 2, 3, ...: a flat table with linear probing, in
// which such ids rarely collide. The standard's maps were refused: they allocate at every event of
// a hot loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera::client {

template <class T>
class IdTable {
 public:
  IdTable() : slots_(64) {}

  T* find(std::uint64_t id) const {
    for (std::size_t at = index(id);; at = next(at)) {
      if (slots_[at].value == nullptr) return nullptr;
      if (slots_[at].id == id) return slots_[at].value;
    }
  }
  void insert(std::uint64_t id, T* value) {
    if ((used_ + 1) * 2 > slots_.size()) grow();
    place(id, value);
    ++used_;
  }
  void erase(std::uint64_t id) {
    std::size_t at = index(id);
    while (slots_[at].value != nullptr && slots_[at].id != id) at = next(at);
    if (slots_[at].value == nullptr) return;
    --used_;
    close_gap(at);
  }
  template <class Visit>
  void each(Visit&& visit) const {
    for (const Slot& slot : slots_) {
      if (slot.value != nullptr) visit(*slot.value);
    }
  }

 private:
  struct Slot {
    std::uint64_t id = 0;
    T* value = nullptr;
  };
  std::size_t index(std::uint64_t id) const { return id & (slots_.size() - 1); }
  std::size_t next(std::size_t at) const { return (at + 1) & (slots_.size() - 1); }
  void place(std::uint64_t id, T* value) {
    std::size_t at = index(id);
    while (slots_[at].value != nullptr) at = next(at);
    slots_[at] = {id, value};
  }
  // Moves back what probing had pushed behind the gap, so that no search ends early.
  void close_gap(std::size_t gap) {
    for (std::size_t at = next(gap); slots_[at].value != nullptr; at = next(at)) {
      const std::size_t wanted = index(slots_[at].id);
      if (((at - wanted) & (slots_.size() - 1)) >= ((at - gap) & (slots_.size() - 1))) {
        slots_[gap] = slots_[at];
        gap = at;
      }
    }
    slots_[gap] = {};
  }
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.value != nullptr) place(slot.id, slot.value);
    }
  }

  std::vector<Slot> slots_;  // a power of two
  std::size_t used_ = 0;
};

}  // namespace tessera::client

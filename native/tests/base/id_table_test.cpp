// SPDX-License-Identifier: Apache-2.0
//
// The table of ids does what a map does, whatever order ids come and go in.
#include "base/id_table.h"

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "check.h"

namespace tessera {
namespace {

using Value = std::shared_ptr<int>;

// Every id meets those next to it: the ends of the table and the gaps in it are the hard part.
template <class Hash>
void is_a_map(Hash hash, std::uint64_t ids, int rounds) {
  std::mt19937_64 random(ids);
  IdTable<Value, Hash> table(hash);
  std::map<std::uint64_t, Value> map;
  for (int round = 0; round < rounds; ++round) {
    const std::uint64_t id = random() % ids;
    CHECK(table.find(id) == (map.contains(id) ? map.at(id) : nullptr));
    // Grows for a while, then shrinks.
    const bool insert = random() % 8 < ((round / 5000) % 2 == 0 ? 6 : 2);
    if (insert && !map.contains(id)) {
      map[id] = std::make_shared<int>(round);
      table.insert(id, map[id]);
    } else if (!insert) {
      CHECK(table.take(id) == (map.contains(id) ? map.at(id) : nullptr));
      map.erase(id);
    }
    CHECK(table.size() == map.size());
  }
  std::size_t seen = 0;
  table.each([&](const Value& value) {
    ++seen;
    CHECK(value.use_count() == 2);  // the map's and the table's
  });
  CHECK(seen == map.size());
  for (const auto& [id, value] : map) CHECK(table.take(id) == value);
  CHECK(table.size() == 0);
}

struct AllTheSame {
  std::size_t operator()(std::uint64_t) const { return 63; }
};

// What is taken out is the caller's alone.
void holds_nothing_that_was_taken() {
  IdTable<Value> table;
  for (std::uint64_t id = 1; id <= 1000; ++id) table.insert(id, std::make_shared<int>(1));
  for (std::uint64_t id = 1; id <= 1000; ++id) CHECK(table.take(id).use_count() == 1);
  CHECK(table.take(5) == nullptr);
}

// A value that counts the places at which a table looks, and the moves.
struct Counted {
  static inline std::uint64_t steps = 0;
  int* at = nullptr;

  Counted() = default;
  explicit Counted(int& object) : at(&object) {}
  Counted(Counted&& other) noexcept : at(std::exchange(other.at, nullptr)) { ++steps; }
  Counted& operator=(Counted&& other) noexcept {
    at = std::exchange(other.at, nullptr);
    ++steps;
    return *this;
  }
  bool operator==(std::nullptr_t) const {
    ++steps;
    return at == nullptr;
  }
};

enum class Order { oldest_first, newest_first, random };

std::vector<std::uint64_t> in_order(std::uint64_t first, std::size_t count, Order order) {
  std::vector<std::uint64_t> ids(count);
  std::iota(ids.begin(), ids.end(), first);
  if (order == Order::newest_first) std::reverse(ids.begin(), ids.end());
  if (order == Order::random) std::shuffle(ids.begin(), ids.end(), std::mt19937_64(count));
  return ids;
}

// Steps of a thousand ids, each found, taken and followed by a new one, while `alive` ids live.
template <class Hash>
std::uint64_t steps_of_thousand(Hash hash, std::size_t alive, Order order) {
  static int object = 0;
  IdTable<Counted, Hash> table(hash);
  std::uint64_t next = 1;
  while (table.size() < alive) table.insert(next++, Counted(object));
  std::uint64_t steps = 0;
  std::size_t done = 0;
  while (done < 1000) {
    const auto ids = in_order(next - alive, std::min<std::size_t>(alive, 1000 - done), order);
    Counted::steps = 0;
    for (const std::uint64_t id : ids) {
      CHECK(table.find(id).at != nullptr);
      CHECK(table.take(id).at != nullptr);
      table.insert(next++, Counted(object));
    }
    steps += Counted::steps;
    done += ids.size();
  }
  return steps;
}

template <class Hash>
void costs_the_same_whatever_lives(Hash hash) {
  for (const Order order : {Order::oldest_first, Order::newest_first, Order::random}) {
    const std::uint64_t few = steps_of_thousand(hash, 100, order);
    const std::uint64_t many = steps_of_thousand(hash, 100'000, order);
    std::printf("order %d: %lu steps beside 100, %lu beside 100,000\n", static_cast<int>(order),
                static_cast<unsigned long>(few), static_cast<unsigned long>(many));
    CHECK(many * 10 <= few * 12);
    CHECK(many < 40'000);
  }
}

}  // namespace
}  // namespace tessera

int main() {
  using namespace tessera;
  is_a_map(OwnIds{}, 40, 100'000);
  is_a_map(OwnIds{}, 5'000, 100'000);
  is_a_map(ForeignIds{0x1234'5678'9abc'def0}, 5'000, 100'000);
  is_a_map(AllTheSame{}, 60, 50'000);
  holds_nothing_that_was_taken();
  costs_the_same_whatever_lives(OwnIds{});
  costs_the_same_whatever_lives(ForeignIds{0x1234'5678'9abc'def0});
}

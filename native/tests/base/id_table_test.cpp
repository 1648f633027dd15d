// SPDX-License-Identifier: Apache-2.0
//
// The table of ids does what a map does, whatever order ids come and go in.
#include "base/id_table.h"

#include <map>
#include <memory>
#include <random>

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

}  // namespace
}  // namespace tessera

int main() {
  using namespace tessera;
  is_a_map(OwnIds{}, 40, 100'000);
  is_a_map(OwnIds{}, 5'000, 100'000);
  is_a_map(ForeignIds{0x1234'5678'9abc'def0}, 5'000, 100'000);
  is_a_map(AllTheSame{}, 60, 50'000);
  holds_nothing_that_was_taken();
}

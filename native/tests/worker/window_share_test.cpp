// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/window_share.h"

#include <atomic>
#include <list>
#include <mutex>
#include <thread>

#include "check.h"
#include "transport/arena.h"
#include "transport/channel.h"

namespace tessera::test {
namespace {

using worker::WindowShare;

constexpr std::size_t kMost = 16 * kPiece;

// A Part is neither copied nor moved.
struct Held {
  Held(WindowShare& share, std::size_t size) : part(share.take(size)) {}
  WindowShare::Part part;
};
using Parts = std::list<Held>;

void fill(WindowShare& share, Parts& parts) {
  for (std::size_t kept = 0; kept < kMost; kept += kPiece) {
    CHECK(!parts.emplace_back(share, kPiece).part.is_aside());
  }
}

void a_part_is_kept_and_the_rest_lies_aside() {
  WindowShare share(kMost);
  Parts parts;
  fill(share, parts);
  // Nothing moves, so the first waits in vain and the others do not.
  for (int i = 0; i < 100; ++i) CHECK(parts.emplace_back(share, kPiece).part.is_aside());
  // What lies aside gives nothing of the window back.
  parts.pop_back();
  CHECK(parts.emplace_back(share, 1).part.is_aside());
  parts.pop_front();
  CHECK(!parts.emplace_back(share, kPiece).part.is_aside());
  CHECK(parts.emplace_back(share, 1).part.is_aside());
}

// A small payload takes a chunk of an arena.
void what_is_kept_counts_in_chunks() {
  WindowShare share(kMost);
  Parts parts;
  for (std::size_t kept = 0; kept < kMost; kept += kChunkBytes) {
    CHECK(!parts.emplace_back(share, 5000).part.is_aside());
  }
  CHECK(parts.emplace_back(share, 5000).part.is_aside());
}

void what_is_larger_is_kept_alone() {
  WindowShare share(kMost);
  Parts parts;
  CHECK(!parts.emplace_back(share, 2 * kMost).part.is_aside());
  CHECK(parts.emplace_back(share, 1).part.is_aside());
}

void what_was_taken_aside_does_not_count() {
  WindowShare share(kMost);
  const auto aside = share.take_aside(2 * kMost);
  CHECK(aside.is_aside());
  Parts parts;
  fill(share, parts);
}

// One thread takes and another ends what was taken, as a receiver and a driver do.
void two_threads() {
  WindowShare share(kMost);
  std::mutex mutex;
  Parts parts;
  std::atomic<int> ended{0};
  constexpr int kMany = 2000;
  std::thread driver([&] {
    while (ended < kMany) {
      Parts one;
      {
        const std::lock_guard lock(mutex);
        if (!parts.empty()) one.splice(one.end(), parts, parts.begin());
      }
      ended += static_cast<int>(one.size());
    }
  });
  for (int i = 0; i < kMany; ++i) {
    Parts one;
    one.emplace_back(share, kPiece);
    const std::lock_guard lock(mutex);
    parts.splice(parts.end(), one);
  }
  driver.join();
  fill(share, parts);
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  a_part_is_kept_and_the_rest_lies_aside();
  what_is_kept_counts_in_chunks();
  what_is_larger_is_kept_alone();
  what_was_taken_aside_does_not_count();
  two_threads();
  return 0;
}

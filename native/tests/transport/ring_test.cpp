// SPDX-License-Identifier: Apache-2.0
//
// The ring and the arena by themselves: wrapping, filling, and a peer that lies.
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "check.h"
#include "transport/arena.h"
#include "transport/ring.h"

namespace tessera::test {
namespace {

constexpr std::size_t kSmallRing = 128 * 1024;

// A ring in private memory, and a consumer that may be asked to read what a liar wrote.
struct Ring {
  RingControl control{};
  std::vector<std::byte> data = std::vector<std::byte>(kSmallRing);
  RingProducer producer{control, data.data(), kSmallRing};
  RingConsumer consumer{control, data.data(), kSmallRing};

  // Writes a header at the start of the ring as a hostile producer would.
  void forge(const FrameHeader& header, std::uint64_t head) {
    std::memcpy(data.data(), &header, sizeof header);
    control.head = head;
  }
};

FrameHeader header_of(std::uint32_t fields_size, std::uint64_t sequence) {
  FrameHeader header;
  header.opcode = 3;
  header.fields_size = fields_size;
  header.sequence = sequence;
  return header;
}

// Lengths that are prime to the ring's size, so that every part wraps at every place in time.
void test_wrap() {
  Ring ring;
  std::vector<std::byte> fields(5003);
  std::vector<std::byte> copy(fields.size());
  for (std::uint64_t i = 0; i < 5000; ++i) {
    const auto size = static_cast<std::uint32_t>(i % fields.size());
    for (std::size_t at = 0; at < size; ++at) fields[at] = static_cast<std::byte>(at + i);
    CHECK(ring.producer.try_push(header_of(size, i), {fields.data(), size}, {}));
    FrameHeader header;
    CHECK(ring.consumer.pop_header(header));
    CHECK(header.sequence == i && header.fields_size == size);
    ring.consumer.copy(copy.data(), size);
    CHECK(size == 0 || std::memcmp(copy.data(), fields.data(), size) == 0);
    ring.consumer.finish();
    CHECK(!ring.consumer.has_record());
  }
}

void test_full() {
  Ring ring;
  const std::vector<std::byte> fields(1000);
  std::uint64_t pushed = 0;
  while (ring.producer.try_push(header_of(1000, pushed), fields, {})) ++pushed;
  CHECK(pushed == kSmallRing / (sizeof(FrameHeader) + 1000));
  FrameHeader header;
  CHECK(ring.consumer.pop_header(header) && header.sequence == 0);
  CHECK(!ring.producer.try_push(header_of(1000, pushed), fields, {}));
  ring.consumer.finish();
  CHECK(ring.producer.try_push(header_of(1000, pushed), fields, {}));
}

void test_two_threads() {
  Ring ring;
  constexpr std::uint64_t kCount = 100'000;
  std::thread producer([&] {
    std::uint64_t value = 0;
    while (value < kCount) {
      const auto bytes = std::as_bytes(std::span(&value, 1));
      if (ring.producer.try_push(header_of(8, value), bytes, {})) {
        ++value;
      } else {
        std::this_thread::yield();
      }
    }
  });
  for (std::uint64_t expected = 0; expected < kCount;) {
    FrameHeader header;
    if (!ring.consumer.pop_header(header)) {
      std::this_thread::yield();
      continue;
    }
    std::uint64_t value = 0;
    ring.consumer.copy(&value, sizeof value);
    ring.consumer.finish();
    CHECK(header.sequence == expected && value == expected);
    ++expected;
  }
  producer.join();
}

void refuse_head(std::uint64_t head) {
  Ring ring;
  ring.control.head = head;
  CHECK_THROWS(ring.consumer.has_record(), ChannelClosed);
}

void refuse_tail(std::uint64_t tail) {
  Ring ring;
  const std::vector<std::byte> fields(1000);
  while (ring.producer.try_push(header_of(1000, 0), fields, {})) {
  }
  ring.control.tail = tail;
  CHECK_THROWS(ring.producer.has_room(2000), ChannelClosed);
}

template <typename Change>
void refuse_header(std::uint64_t head, Change change) {
  Ring ring;
  FrameHeader header = header_of(8, 1);
  change(header);
  ring.forge(header, head);
  FrameHeader got;
  CHECK_THROWS(ring.consumer.pop_header(got), ChannelClosed);
}

void test_hostile_indices() {
  refuse_head(kSmallRing + 8);
  refuse_head(~std::uint64_t{0});
  refuse_head(12);
  refuse_tail(~std::uint64_t{0});
  refuse_tail(kSmallRing * 2);
}

void test_hostile_records() {
  const std::uint64_t whole = 4096;
  refuse_header(16, [](FrameHeader&) {});
  refuse_header(32, [](FrameHeader&) {});
  refuse_header(whole, [](FrameHeader& h) { h.fields_size = 4096; });
  refuse_header(kSmallRing, [](FrameHeader& h) { h.fields_size = kMaxFields + 1; });
  refuse_header(kSmallRing, [](FrameHeader& h) { h.fields_size = 0xffffffff; });
  refuse_header(whole, [](FrameHeader& h) { h.kind = FrameKind::credit; });
  refuse_header(whole, [](FrameHeader& h) { h.kind = static_cast<FrameKind>(99); });
  refuse_header(whole, [](FrameHeader& h) { h.reserved = 1; });
  refuse_header(whole, [](FrameHeader& h) { h.bulk_size = 1; });
  refuse_header(whole, [](FrameHeader& h) { h.bulk_in = BulkIn::frame; });
  refuse_header(whole, [](FrameHeader& h) {
    h.bulk_in = BulkIn::frame;
    h.bulk_size = kInlineBulk + 1;
  });
  refuse_header(whole, [](FrameHeader& h) {
    h.bulk_in = BulkIn::apart;
    h.bulk_size = kMaxBulk + 1;
  });
  refuse_header(whole, [](FrameHeader& h) {
    h.bulk_in = static_cast<BulkIn>(3);
    h.bulk_size = 1;
  });
}

void test_arena() {
  const auto marks = std::make_unique<ConsumedMarks>();
  ArenaSender sender(*marks);
  ArenaRun run;
  std::vector<ArenaRun> sent;
  while (sender.try_take(3 * kChunkBytes - 1, run)) {
    CHECK(run.count == 3 && run.offset() + 3 * kChunkBytes <= kArenaBytes);
    CHECK(sent.empty() || run.first == sent.back().first + 3);
    sender.sent(run);
    sent.push_back(run);
  }
  CHECK(sent.size() == kChunks / 3);
  CHECK(!sender.try_take(3 * kChunkBytes, run));
  // Neighbours that were consumed make room for a longer run; the rest stays where it is.
  mark_consumed((*marks)[sent[5].first]);
  CHECK(!sender.try_take(4 * kChunkBytes, run));
  mark_consumed((*marks)[sent[6].first]);
  CHECK(sender.try_take(4 * kChunkBytes, run));
  CHECK(run.first == sent[5].first);
  sender.give_back(run);
  CHECK(sender.try_take(6 * kChunkBytes, run) && run.first == sent[5].first);
  sender.give_back(run);
  for (const ArenaRun& each : sent) mark_consumed((*marks)[each.first]);
  CHECK(sender.try_take(kArenaBytes, run) && run.first == 0);
}

void test_hostile_places() {
  CHECK(checked_run(0, kArenaBytes).count == kChunks);
  CHECK(checked_run(kArenaBytes - kChunkBytes, kChunkBytes).first == kChunks - 1);
  CHECK_THROWS(checked_run(1, 10), ChannelClosed);
  CHECK_THROWS(checked_run(kArenaBytes, 1), ChannelClosed);
  CHECK_THROWS(checked_run(kArenaBytes - kChunkBytes, kChunkBytes + 1), ChannelClosed);
  CHECK_THROWS(checked_run(~std::uint64_t{0} - kChunkBytes + 1, kChunkBytes), ChannelClosed);
  CHECK_THROWS(checked_run(0, 0), ChannelClosed);
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  test_wrap();
  test_full();
  test_two_threads();
  test_hostile_indices();
  test_hostile_records();
  test_arena();
  test_hostile_places();
}

// SPDX-License-Identifier: Apache-2.0
//
// What every channel promises, whatever carries it: one body, three transports.
#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include "channel_pair.h"
#include "check.h"
#include "transport/handshake.h"

namespace tessera::test {
namespace {

using namespace std::chrono_literals;

std::span<const std::byte> bytes_of(const void* data, std::size_t size) {
  return {static_cast<const std::byte*>(data), size};
}

// 256 bytes that no shifted or torn copy equals; a payload repeats them.
std::array<std::byte, 256> pattern(unsigned seed) {
  std::array<std::byte, 256> bytes;
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(seed + i * 7);
  return bytes;
}

Bulk filled_bulk(Channel& channel, std::size_t size, unsigned seed) {
  Bulk bulk = channel.reserve(size);
  CHECK(bulk.size() == size && bulk.data() != nullptr);
  const auto bytes = pattern(seed);
  for (std::size_t at = 0; at < size; at += bytes.size()) {
    std::memcpy(bulk.data() + at, bytes.data(), std::min(bytes.size(), size - at));
  }
  return bulk;
}

void check_filled(const Bulk& bulk, std::size_t size, unsigned seed) {
  CHECK(bulk.size() == size);
  const auto bytes = pattern(seed);
  for (std::size_t at = 0; at < size; at += bytes.size()) {
    CHECK(std::memcmp(bulk.data() + at, bytes.data(), std::min(bytes.size(), size - at)) == 0);
  }
}

// Every length at which something changes: nothing, one byte, around the padding and the limits.
void test_sizes(Channel& from, Channel& to) {
  const std::size_t fields_sizes[] = {0, 1, 7, 8, 9, 4096, kMaxFields - 1, kMaxFields};
  const std::size_t bulk_sizes[] = {0,     1,     8,      4095,   4096,       4097,
                                    65536, 65537, 262144, 262145, kPiece + 3, kMaxBulk};
  std::vector<std::byte> fields(kMaxFields);
  for (std::size_t i = 0; i < fields.size(); ++i) fields[i] = static_cast<std::byte>(i * 13);
  std::thread sender([&] {
    std::uint16_t opcode = 0;
    for (const std::size_t bulk_size : bulk_sizes) {
      for (const std::size_t size : fields_sizes) {
        Bulk bulk;
        if (bulk_size != 0) bulk = filled_bulk(from, bulk_size, opcode);
        from.send(opcode++, {fields.data(), size}, std::move(bulk));
      }
    }
    from.flush();
  });
  std::uint16_t opcode = 0;
  std::uint64_t sequence = 0;
  for (const std::size_t bulk_size : bulk_sizes) {
    for (const std::size_t size : fields_sizes) {
      Incoming message;
      must_receive(to, message, true);
      CHECK(message.opcode == opcode);
      CHECK(sequence == 0 || message.sequence == sequence + 1);
      sequence = message.sequence;
      CHECK(message.fields.size() == size);
      CHECK(reinterpret_cast<std::uintptr_t>(message.fields.data()) % 8 == 0);
      CHECK(size == 0 || std::memcmp(message.fields.data(), fields.data(), size) == 0);
      check_filled(message.bulk, bulk_size, opcode);
      ++opcode;
    }
  }
  sender.join();
}

void test_timeout_and_interrupt(Channel& channel) {
  Incoming message;
  CHECK(channel.receive(message, {0ns, false}) == Received::timeout);
  CHECK(channel.receive(message, {2ms, true}) == Received::timeout);
  std::atomic<bool> ended{false};
  std::thread waiting([&] {
    Incoming nothing;
    CHECK(channel.receive(nothing, {1h, false}) == Received::timeout);
    ended = true;
  });
  std::this_thread::sleep_for(20ms);
  CHECK(!ended);
  channel.interrupt();
  waiting.join();
}

// A receiver that falls asleep is woken by a message that comes later.
void test_wakes_sleeper(Channel& from, Channel& to) {
  std::thread sender([&] {
    std::this_thread::sleep_for(20ms);
    from.send(5, {});
    from.flush();
  });
  const auto sleeps = to.counters().sleeps;
  Incoming message;
  must_receive(to, message);
  CHECK(message.opcode == 5);
  CHECK(to.counters().sleeps > sleeps);
  sender.join();
}

// Messages of one thread stay in order, and none is lost or torn.
void test_four_senders(Channel& from, Channel& to) {
  constexpr std::uint64_t kEach = 3000;
  std::vector<std::thread> senders;
  for (std::uint64_t who = 0; who < 4; ++who) {
    senders.emplace_back([&from, who] {
      for (std::uint64_t i = 0; i < kEach; ++i) {
        const std::uint64_t fields[] = {who, i};
        Bulk bulk;
        if (i % 100 == 0) bulk = filled_bulk(from, 300'000, static_cast<unsigned>(who + i));
        from.send(static_cast<std::uint16_t>(who), bytes_of(fields, sizeof fields),
                  std::move(bulk));
      }
      from.flush();
    });
  }
  std::array<std::uint64_t, 4> next{};
  for (std::uint64_t i = 0; i < 4 * kEach; ++i) {
    Incoming message;
    must_receive(to, message, true);
    std::uint64_t fields[2];
    CHECK(message.fields.size() == sizeof fields);
    std::memcpy(fields, message.fields.data(), sizeof fields);
    CHECK(fields[0] < 4 && fields[0] == message.opcode && fields[1] == next[fields[0]]++);
    if (fields[1] % 100 == 0) {
      check_filled(message.bulk, 300'000, static_cast<unsigned>(fields[0] + fields[1]));
    }
  }
  for (std::thread& sender : senders) sender.join();
}

// Both sides send far more than any window before either looks for messages; the client gives way.
void test_flood(Channel& client, Channel& worker) {
  constexpr std::size_t kMessages = 100;
  std::size_t drained = 0;
  const auto drain = [&] {
    Incoming message;
    while (client.receive(message, {0ns, false}) == Received::message) {
      check_filled(message.bulk, kPiece, static_cast<unsigned>(drained++));
    }
  };
  client.on_stall(drain);
  std::thread other([&] {
    for (std::size_t i = 0; i < kMessages; ++i) {
      worker.send(1, {}, filled_bulk(worker, kPiece, static_cast<unsigned>(i)));
    }
    worker.flush();
    for (std::size_t i = 0; i < kMessages; ++i) {
      Incoming message;
      must_receive(worker, message);
      check_filled(message.bulk, kPiece, static_cast<unsigned>(i));
    }
    worker.send(2, {});
    worker.flush();
  });
  for (std::size_t i = 0; i < kMessages; ++i) {
    client.send(1, {}, filled_bulk(client, kPiece, static_cast<unsigned>(i)));
  }
  client.flush();
  client.on_stall({});
  Incoming message;
  for (; drained < kMessages; ++drained) {
    must_receive(client, message);
    check_filled(message.bulk, kPiece, static_cast<unsigned>(drained));
  }
  must_receive(client, message);
  CHECK(message.opcode == 2);
  other.join();
}

// The same with messages that fill the command path alone.
void test_flood_of_fields(Channel& client, Channel& worker) {
  constexpr std::size_t kMessages = 2000;
  const std::vector<std::byte> fields(20'000);
  std::size_t drained = 0;
  client.on_stall([&] {
    Incoming message;
    while (client.receive(message, {0ns, false}) == Received::message) ++drained;
  });
  std::thread other([&] {
    for (std::size_t i = 0; i < kMessages; ++i) worker.send(1, fields);
    worker.flush();
    Incoming message;
    for (std::size_t i = 0; i < kMessages; ++i) must_receive(worker, message);
  });
  for (std::size_t i = 0; i < kMessages; ++i) client.send(1, fields);
  client.flush();
  client.on_stall({});
  Incoming message;
  for (; drained < kMessages; ++drained) must_receive(client, message);
  other.join();
}

// Unsent payloads go back, and payloads that the receiver holds stay intact and bound the sender.
void test_window(Channel& from, Channel& to) {
  for (int i = 0; i < 100; ++i) CHECK(from.reserve(kMaxBulk).size() == kMaxBulk);
  std::vector<Bulk> held;
  for (unsigned i = 0; i < 32; ++i) {
    from.send(1, {}, filled_bulk(from, kPiece, i));
    Incoming message;
    must_receive(to, message);
    held.push_back(std::move(message.bulk));
  }
  std::atomic<bool> got_room{false};
  std::thread sender([&] {
    const Bulk bulk = from.reserve(kPiece);
    got_room = true;
  });
  std::this_thread::sleep_for(50ms);
  CHECK(!got_room);
  for (unsigned i = 0; i < 32; ++i) check_filled(held[i], kPiece, i);
  held[17].reset();
  sender.join();
  held.clear();
}

void test_counters(Channel& from, Channel& to) {
  const ChannelCounters sent = from.counters();
  const ChannelCounters received = to.counters();
  const std::uint64_t fields = 0;
  from.send(1, bytes_of(&fields, sizeof fields), from.reserve(100));
  from.flush();
  Incoming message;
  must_receive(to, message);
  CHECK(from.counters().messages_sent == sent.messages_sent + 1);
  CHECK(to.counters().messages_received == received.messages_received + 1);
  CHECK(from.counters().bytes_sent == sent.bytes_sent + 32 + 8 + 100);
  CHECK(to.counters().bytes_received == received.bytes_received + 32 + 8 + 100);
}

bool readable(int fd, int milliseconds) {
  pollfd poll_for{fd, POLLIN, 0};
  return ::poll(&poll_for, 1, milliseconds) > 0;
}

// What was sent before the end still arrives; then both sides hear of the end, again and again.
void test_close(Channel& client, Channel& worker) {
  client.send(1, {});
  client.flush();
  CHECK(!readable(worker.liveness_fd(), 0));
  client.send(2, {});
  client.close();
  Incoming message;
  must_receive(worker, message);
  CHECK(message.opcode == 1);
  must_receive(worker, message);
  CHECK(message.opcode == 2);
  CHECK_THROWS(worker.receive(message, {1h, false}), ChannelClosed);
  CHECK_THROWS(worker.receive(message, {1h, false}), ChannelClosed);
  CHECK_THROWS(worker.send(1, {}), ChannelClosed);
  CHECK_THROWS(worker.reserve(1), ChannelClosed);
  CHECK_THROWS(client.receive(message, {1h, false}), ChannelClosed);
  CHECK_THROWS(client.send(1, {}), ChannelClosed);
  CHECK(readable(worker.liveness_fd(), 1000));
}

// Waits in receive(), send() and reserve() end when this very side closes.
void test_close_ends_waits(TransportKind kind) {
  Pair pair = make_pair(kind);
  std::thread receiver([&] {
    Incoming message;
    CHECK_THROWS(pair.client->receive(message, {1h, false}), ChannelClosed);
  });
  std::thread sender([&] {
    const std::vector<std::byte> fields(kMaxFields);
    CHECK_THROWS(while (true) pair.client->send(1, fields), ChannelClosed);
  });
  std::thread reserver([&] {
    CHECK_THROWS(while (true) pair.client->send(1, {}, pair.client->reserve(kMaxBulk)),
                 ChannelClosed);
  });
  std::this_thread::sleep_for(50ms);
  pair.client->close();
  receiver.join();
  sender.join();
  reserver.join();
}

void test_transport(TransportKind kind) {
  Pair pair = make_pair(kind);
  test_sizes(*pair.client, *pair.worker);
  test_sizes(*pair.worker, *pair.client);
  test_timeout_and_interrupt(*pair.client);
  test_timeout_and_interrupt(*pair.worker);
  test_wakes_sleeper(*pair.client, *pair.worker);
  test_wakes_sleeper(*pair.worker, *pair.client);
  test_four_senders(*pair.client, *pair.worker);
  test_four_senders(*pair.worker, *pair.client);
  test_window(*pair.client, *pair.worker);
  test_window(*pair.worker, *pair.client);
  test_flood(*pair.client, *pair.worker);
  test_flood_of_fields(*pair.client, *pair.worker);
  test_counters(*pair.client, *pair.worker);
  CHECK_THROWS(pair.client->reserve(0), std::length_error);
  CHECK_THROWS(pair.client->reserve(kMaxBulk + 1), std::length_error);
  const std::vector<std::byte> too_long(kMaxFields + 1);
  CHECK_THROWS(pair.client->send(1, too_long), std::length_error);
  test_close(*pair.client, *pair.worker);
  test_close_ends_waits(kind);
}

}  // namespace
}  // namespace tessera::test

int main() {
  for (const tessera::TransportKind kind : tessera::test::kAllKinds) {
    ::fprintf(stderr, "%s\n", tessera::test::name_of(kind));
    tessera::test::test_transport(kind);
  }
}

// SPDX-License-Identifier: Apache-2.0
//
// Who pays for waking a receiver that naps: nobody for a message that no one waits for.
#include <sys/socket.h>

#include <array>
#include <thread>

#include "check.h"
#include "transport/shm_channel.h"

namespace tessera::test {
namespace {

using namespace std::chrono_literals;

// A client's channel, and the memory that the worker would see.
struct Sender {
  std::array<int, 2> sockets{};
  UniqueFd other;
  std::unique_ptr<ShmRegion> seen;
  std::unique_ptr<Channel> channel;

  Sender() {
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) == 0);
    other = UniqueFd(sockets[1]);
    UniqueFd memory = ShmRegion::create();
    seen = std::make_unique<ShmRegion>(memory.get());
    channel = std::make_unique<ShmChannel>(Side::client, std::move(memory), UniqueFd(sockets[0]));
  }
  SharedWord& sleeps() const { return seen->layout().to_worker.ring.consumer_sleeps; }
  std::uint64_t wakes() const { return channel->counters().wakes; }
};

void test_a_nap_is_left_alone() {
  const Sender sender;
  announce_sleep(sender.sleeps(), kNapping);
  for (int i = 0; i < 10; ++i) sender.channel->send(1, {});
  CHECK(sender.wakes() == 0 && is_napping(sender.sleeps()));
  sender.channel->flush();
  CHECK(sender.wakes() == 1 && !ring_needs_wakeup(sender.sleeps()));
  sender.channel->flush();
  CHECK(sender.wakes() == 1);
}

void test_a_sleep_and_a_wait_for_bulk_are_not() {
  const Sender sender;
  announce_sleep(sender.sleeps());
  sender.channel->send(1, {});
  CHECK(sender.wakes() == 1);
  announce_sleep(sender.sleeps(), kNapping);
  sender.channel->send(1, {}, sender.channel->reserve(kMaxBulk));
  CHECK(sender.wakes() == 2);
}

// Who was woken by the message itself may have taken it and sleep again: a flush is not for him.
void test_a_flush_leaves_a_new_sleep_alone() {
  const Sender sender;
  announce_sleep(sender.sleeps());
  sender.channel->send(1, {});
  CHECK(sender.wakes() == 1);
  announce_sleep(sender.sleeps());
  sender.channel->flush();
  CHECK(sender.wakes() == 1 && ring_needs_wakeup(sender.sleeps()));
}

// It ends by itself and becomes a sleep, out of which every message wakes.
void test_a_nap_ends() {
  UniqueFd memory = ShmRegion::create();
  std::array<int, 2> sockets{};
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) == 0);
  UniqueFd mapped_too(::dup(memory.get()));
  ShmChannel worker(Side::worker, std::move(memory), UniqueFd(sockets[1]));
  ShmChannel sending(Side::client, std::move(mapped_too), UniqueFd(sockets[0]));
  Channel& client = sending;
  for (std::uint16_t opcode = 1; opcode < 200; ++opcode) {
    std::thread sender([&] { client.send(opcode, {}); });
    Incoming message;
    CHECK(worker.receive(message, {.timeout = 10s, .spin = false, .nap = true}) ==
          Received::message);
    CHECK(message.opcode == opcode);
    sender.join();
  }
  Incoming nothing;
  CHECK(worker.receive(nothing, {.timeout = 5ms, .spin = false, .nap = true}) == Received::timeout);
}

// Once for each, and never where nobody naps.
void test_who_receives_says_how_long() {
  UniqueFd memory = ShmRegion::create();
  std::array<int, 2> sockets{};
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) == 0);
  const UniqueFd peer(sockets[0]);
  ShmChannel worker(Side::worker, std::move(memory), UniqueFd(sockets[1]));
  int asked = 0;
  int ended = 0;
  worker.nap_for(
      [&] {
        ++asked;
        return 1ms;
      },
      [&] { ++ended; });
  Incoming nothing;
  for (const bool nap : {true, false, true}) {
    CHECK(worker.receive(nothing, {.timeout = 5ms, .spin = false, .nap = nap}) ==
          Received::timeout);
  }
  CHECK(asked == 2 && ended == 2);
}

// Who has something for the receiver besides messages wakes it, unless a nap is about to end.
void test_a_nudge_leaves_a_nap_alone() {
  UniqueFd memory = ShmRegion::create();
  std::array<int, 2> sockets{};
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) == 0);
  const ShmRegion seen(memory.get());
  const UniqueFd peer(sockets[0]);
  ShmChannel worker(Side::worker, std::move(memory), UniqueFd(sockets[1]));
  SharedWord& sleeps = seen.layout().to_worker.ring.consumer_sleeps;
  announce_sleep(sleeps);
  worker.nudge();
  CHECK(worker.counters().wakes == 1);
  Incoming nothing;
  CHECK(worker.receive(nothing, {.timeout = 1h, .spin = false}) == Received::timeout);
  // No spin has found anything: the next ones are hardly ever due.
  for (int i = 0; i < 1000; ++i) worker.receive(nothing, {.timeout = 1us, .spin = true});
  const std::uint64_t wakes = worker.counters().wakes;
  for (int i = 0; i < 100; ++i) {
    announce_sleep(sleeps, kNapping);
    worker.nudge();
    worker.receive(nothing, {.timeout = 1us, .spin = false});  // ended by the nudge
    worker.receive(nothing, {.timeout = 1us, .spin = true});
  }
  CHECK(worker.counters().wakes <= wakes + 2);
}

}  // namespace
}  // namespace tessera::test

int main() {
  tessera::test::test_a_nap_is_left_alone();
  tessera::test::test_a_sleep_and_a_wait_for_bulk_are_not();
  tessera::test::test_a_flush_leaves_a_new_sleep_alone();
  tessera::test::test_a_nap_ends();
  tessera::test::test_who_receives_says_how_long();
  tessera::test::test_a_nudge_leaves_a_nap_alone();
}

// SPDX-License-Identifier: Apache-2.0
//
// Sessions between real processes: sudden death, forks, descriptors, and a hostile peer with the
// shared memory in its hands.
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cstring>

#include "base/clock.h"
#include "channel_pair.h"
#include "check.h"
#include "transport/handshake.h"
#include "transport/shm_region.h"

namespace tessera::test {
namespace {

using namespace std::chrono_literals;

template <typename Body>
pid_t in_child(Body body) {
  const pid_t child = ::fork();
  CHECK(child >= 0);
  if (child != 0) return child;
  body();
  ::_exit(0);
}

void must_end_well(pid_t child) {
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

template <typename Wait>
void must_notice_death(TransportKind kind, Wait wait) {
  const Listener listener(kind);
  const pid_t client = in_child([&] {
    const auto channel = listener.connect();
    channel->send(1, {});
    channel->flush();
    ::pause();
  });
  const auto worker = listener.accept();
  Incoming message;
  must_receive(*worker, message);
  CHECK(worker->receive(message, {20ms, false}) == Received::timeout);
  ::kill(client, SIGKILL);
  const std::int64_t begin = monotonic_ns();
  CHECK_THROWS(wait(*worker), ChannelClosed);
  CHECK(monotonic_ns() - begin < 900'000'000);
  pollfd poll_for{worker->liveness_fd(), POLLIN, 0};
  CHECK(::poll(&poll_for, 1, 1000) == 1);
  ::waitpid(client, nullptr, 0);
}

void test_peer_death(TransportKind kind) {
  must_notice_death(kind, [](Channel& worker) {
    Incoming message;
    worker.receive(message, {1h, false});
  });
  must_notice_death(kind, [](Channel& worker) {
    Incoming message;
    while (true) worker.receive(message, {0ns, true});
  });
  must_notice_death(kind, [](Channel& worker) {
    const std::vector<std::byte> fields(kMaxFields);
    while (true) worker.send(1, fields);
  });
  must_notice_death(kind, [](Channel& worker) {
    while (true) worker.send(1, {}, worker.reserve(kMaxBulk));
  });
}

// The child of a client forgets the session; the parent goes on, and its end is still noticed
// though the child lives.
void test_fork(TransportKind kind) {
  Pair pair = make_pair(kind);
  pair.worker->send(3, {}, pair.worker->reserve(100'000));
  pair.worker->flush();
  Incoming held;
  must_receive(*pair.client, held);
  int go[2];
  CHECK(::pipe(go) == 0);
  const pid_t child = in_child([&] {
    pair.client->abandon_after_fork();
    pair.worker->abandon_after_fork();
    Incoming message;
    CHECK_THROWS(pair.client->send(1, {}), ChannelClosed);
    CHECK_THROWS(pair.client->reserve(10'000), ChannelClosed);
    CHECK_THROWS(pair.client->receive(message, {1s, false}), ChannelClosed);
    pair.client->interrupt();
    held.bulk.reset();
    pair.client.reset();
    pair.worker.reset();
    char byte;
    ::close(go[1]);
    CHECK(::read(go[0], &byte, 1) == 0);
  });
  pair.client->send(4, {}, pair.client->reserve(10'000));
  pair.client->flush();
  Incoming message;
  must_receive(*pair.worker, message);
  CHECK(message.opcode == 4 && held.bulk.size() == 100'000);
  message.bulk.reset();
  held.bulk.reset();
  pair.client.reset();
  CHECK_THROWS(pair.worker->receive(message, {1h, false}), ChannelClosed);
  ::close(go[0]);
  ::close(go[1]);
  must_end_well(child);
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

void test_no_descriptor_leaks() {
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 20; ++i) {
    for (const TransportKind kind : kAllKinds) make_pair(kind);
  }
  CHECK(open_descriptors() == before);
}

// A client that speaks the hello properly and then scribbles over the shared memory.
template <typename Scribble>
void worker_survives(Scribble scribble) {
  const Listener listener(TransportKind::shm);
  const pid_t client = in_child([&] {
    const UniqueFd socket(listener.raw_connection());
    const Deadline deadline(5s);
    const Hello hello;
    CHECK(write_all(socket.get(), std::as_bytes(std::span(&hello, 1)), deadline));
    HelloReply reply;
    UniqueFd memory;
    CHECK(read_reply(socket.get(), reply, memory, deadline));
    const ShmRegion region(memory.get());
    scribble(region.layout());
    region.layout().to_worker.ring.consumer_sleeps = 0;
    char byte;
    CHECK(::recv(socket.get(), &byte, 1, 0) == 0);
  });
  const auto worker = listener.accept();
  Incoming message;
  CHECK_THROWS(while (true) worker->receive(message, {1h, true}), ChannelClosed);
  CHECK_THROWS(worker->send(1, {}), ChannelClosed);
  must_end_well(client);
}

void publish(RegionLayout& layout, const FrameHeader& header, std::uint64_t head) {
  std::memcpy(layout.ring_to_worker, &header, sizeof header);
  layout.to_worker.ring.head = head;
}

void test_hostile_memory() {
  worker_survives([](RegionLayout& layout) { layout.to_worker.ring.head = 1ULL << 40; });
  worker_survives([](RegionLayout& layout) { layout.to_worker.ring.head = 9; });
  worker_survives([](RegionLayout& layout) {
    FrameHeader header;
    header.sequence = 2;
    publish(layout, header, 32);
  });
  worker_survives([](RegionLayout& layout) {
    FrameHeader header;
    header.sequence = 1;
    header.bulk_in = BulkIn::apart;
    header.bulk_size = 2 * kChunkBytes;
    header.bulk_at = kArenaBytes - kChunkBytes;
    publish(layout, header, 32);
  });
  worker_survives([](RegionLayout& layout) {
    FrameHeader header;
    header.sequence = 1;
    header.fields_size = 0xfffffff8;
    publish(layout, header, kRingBytes);
  });
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  for (const tessera::TransportKind kind : kAllKinds) {
    test_peer_death(kind);
    test_fork(kind);
  }
  test_no_descriptor_leaks();
  test_hostile_memory();
}

// SPDX-License-Identifier: Apache-2.0
//
// Commands that wait for the client, before shared GPUs: whatever number there is of them, and in
// whatever way, they keep nobody from a GPU, and are charged once when they have run. The tests
// play the arbiters.
#include <array>
#include <functional>

#include "opencl/null/objects.h"
#include "worker/hand_arbiter.h"
#include "worker/suspending.h"

namespace tessera::test {
namespace {

constexpr wire::Id kOther = 4;  // queues, one for each device
constexpr wire::Id kUnordered = 10;
constexpr wire::Id kGate = 30;
constexpr wire::Id kEvents = 1000;
constexpr std::size_t kSize = 4096;
constexpr int kMany = 1000;
constexpr std::array<wire::Id, 1> kWaits{kGate};

using Waits = std::span<const wire::Id>;

// A session on two GPUs, with grants on both that others want.
struct Host {
  Host() {
    WorkerPair::Gates gates;
    for (HandArbiter& gpu : gpus) gates.push_back(gpu.gate());
    for (HandArbiter& gpu : gpus) gpu.grant(kNoEnd, false);
    pair = std::make_unique<WorkerPair>(TransportKind::shm, gpus.size(), std::move(gates));
    begin(*pair);
    queue(kOther, 0, 0);
    queue(kOther + 1, 1, 0);
    queue(kUnordered, 0, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
    create_buffer(*pair, kBuffer, kSize);
    create_user_event(*pair, kGate);
    settle(*pair);
    for (HandArbiter& gpu : gpus) {
      gpu.count_anew();
      gpu.grant(kNoEnd, true);
    }
  }
  ~Host() {
    for (HandArbiter& gpu : gpus) gpu.grant(kNoEnd, false);
    pair.reset();
  }
  void queue(wire::Id id, std::uint32_t device, cl_command_queue_properties properties) {
    const std::array<std::uint64_t, 2> list{CL_QUEUE_PROPERTIES, properties};
    wire::CreateQueue create;
    create.queue = id;
    create.context = kContext;
    create.device = device;
    create.properties = list;
    pair->send(create);
  }
  void fill(wire::Id queue, Waits waits = {}, wire::Id event = 0) {
    static constexpr std::byte kPattern[4]{};
    wire::FillBuffer message;
    message.queue = queue;
    message.buffer = kBuffer;
    message.pattern = {kPattern, sizeof kPattern};
    message.cb = kSize;
    message.wait_list = waits;
    message.event = event;
    pair->send(message);
  }
  template <class Fence>
  void fence(wire::Id queue, Waits waits = {}) {
    Fence message;
    message.queue = queue;
    message.wait_list = waits;
    pair->send(message);
  }
  void read_later(wire::Id queue, std::uint64_t ticket, Waits waits = {}) {
    auto message = read_of(kBuffer, kSize, ticket);
    message.queue = queue;
    message.blocking = 0;
    message.wait_list = waits;
    pair->send(message);
  }
  cl_int finish(wire::Id queue) {
    wire::FinishQueue message;
    message.queue = queue;
    const std::uint64_t sequence = pair->send(message);
    const auto reply = pair->until<wire::Reply>();
    CHECK(reply.of == sequence);
    return reply.status;
  }
  // The session has no part in the GPUs now.
  bool idle() {
    return std::ranges::none_of(gpus, [](HandArbiter& gpu) { return gpu.seat().busy.load() != 0; });
  }

  std::array<HandArbiter, 2> gpus;
  std::unique_ptr<WorkerPair> pair;
};

struct Way {
  int charged;  // of each: commands that use the device
  std::function<void(Host&, int number)> enqueue;
};

std::vector<Way> ways() {
  return {
      {1, [](Host& host, int) { host.fill(kQueue, kWaits); }},
      // By the order of their queue alone.
      {1, [](Host& host, int i) { host.fill(kQueue, i == 0 ? Waits(kWaits) : Waits()); }},
      // By each other.
      {1,
       [](Host& host, int i) {
         const wire::Id before[] = {i == 0 ? kGate : kEvents + static_cast<wire::Id>(i) - 1};
         host.fill(kUnordered, before, kEvents + static_cast<wire::Id>(i));
       }},
      {1, [](Host& host, int) { write(*host.pair, kBuffer, pattern(kSize), kWaits); }},
      {1, [](Host& host, int i) { host.read_later(kQueue, 5000 + i, kWaits); }},
      {0, [](Host& host, int) { host.fence<wire::EnqueueMarker>(kQueue, kWaits); }},
      // Behind a barrier, and fences between them.
      {1,
       [](Host& host, int i) {
         if (i == 0) host.fence<wire::EnqueueBarrier>(kUnordered, kWaits);
         if (i % 9 == 8) host.fence<wire::EnqueueMarker>(kUnordered);
         if (i % 50 == 49) host.fence<wire::EnqueueBarrier>(kUnordered);
         host.fill(kUnordered);
       }},
  };
}

void they_keep_nobody_waiting(const Way& way) {
  Host host;
  HandArbiter& gpu = host.gpus[0];
  for (int i = 0; i < kMany; ++i) way.enqueue(host, i);
  settle(*host.pair);
  CHECK(host.idle() && gpu.commands() == 0);
  // The session's other queues go on, and others are let in after each.
  for (std::uint64_t done = 1; done <= 5; ++done) {
    host.fill(kOther);
    CHECK(host.finish(kOther) == CL_SUCCESS);
    CHECK(host.idle() && gpu.commands() == done);
  }
  // It takes a grant to set them running.
  gpu.take_back();
  set_user_event(*host.pair, kGate);
  if (way.charged != 0) eventually([&] { return gpu.seat().wants.load() == 1; });
  CHECK(gpu.commands() == 5);
  gpu.grant(kNoEnd, true);
  for (const wire::Id queue : {kQueue, kUnordered}) CHECK(host.finish(queue) == CL_SUCCESS);
  CHECK(host.idle());
  CHECK(gpu.commands() == 5u + static_cast<unsigned>(way.charged * kMany));
  CHECK(host.gpus[1].commands() == 0);
}

void enqueueing_them_needs_no_grant() {
  Host host;
  host.gpus[0].take_back();
  for (int i = 0; i < kMany; ++i) host.fill(kQueue, kWaits);
  settle(*host.pair);
  CHECK(host.gpus[0].seat().wants.load() == 0 && host.idle());
}

void those_that_fail_are_charged_nothing() {
  Host host;
  for (int i = 0; i < kMany; ++i) host.fill(kUnordered, kWaits);
  set_user_event(*host.pair, kGate, -5);
  CHECK(host.finish(kUnordered) == CL_SUCCESS);
  CHECK(host.idle() && host.gpus[0].commands() == 0);
  host.fill(kUnordered);
  CHECK(host.finish(kUnordered) == CL_SUCCESS);
  CHECK(host.idle() && host.gpus[0].commands() == 1);
}

// For those a failure ends and those it does not, as the driver likes.
void one_failure_of_two_events_leaves_the_gpu_free() {
  Host host;
  create_user_event(*host.pair, kGate + 1);
  const wire::Id both[] = {kGate, kGate + 1};
  for (int i = 0; i < kMany; ++i) host.fill(kUnordered, i % 2 == 0 ? Waits(both) : Waits(kWaits));
  host.fence<wire::EnqueueMarker>(kUnordered);
  set_user_event(*host.pair, kGate, -5);
  host.fill(kOther);
  CHECK(host.finish(kOther) == CL_SUCCESS);
  CHECK(host.idle() && host.gpus[0].commands() == 1);
  host.fence<wire::EnqueueBarrier>(kUnordered);
  host.fill(kUnordered);
  settle(*host.pair);
  CHECK(host.idle());
  set_user_event(*host.pair, kGate + 1);
  host.finish(kUnordered);
  CHECK(host.idle());
}

void user_events_that_were_given_up_hold_no_gpu() {
  Host host;
  for (int i = 0; i < kMany; ++i) host.fill(kQueue, kWaits);
  release(*host.pair, kGate);
  for (std::uint64_t done = 1; done <= 5; ++done) {
    host.fill(kQueue);
    host.fill(kOther);
    CHECK(host.finish(kOther) == CL_SUCCESS);
    CHECK(host.idle() && host.gpus[0].commands() == done);
  }
}

// Each GPU is asked for what runs on it, and for nothing else.
void a_user_event_waits_for_the_gpus_that_it_sets_to_work() {
  Host host;
  create_user_event(*host.pair, kGate + 1);
  const wire::Id second[] = {kGate + 1};
  for (int i = 0; i < kMany; ++i) {
    host.fill(kQueue, kWaits);
    host.fill(kOther + 1, second);
  }
  settle(*host.pair);
  host.gpus[1].take_back();
  set_user_event(*host.pair, kGate);
  CHECK(host.finish(kQueue) == CL_SUCCESS);
  CHECK(host.gpus[0].commands() == kMany && host.gpus[1].seat().wants.load() == 0);
  set_user_event(*host.pair, kGate + 1);
  eventually([&] { return host.gpus[1].seat().wants.load() == 1; });
  CHECK(host.gpus[1].commands() == 0);
  host.gpus[1].grant(kNoEnd, true);
  CHECK(host.finish(kOther + 1) == CL_SUCCESS);
  CHECK(host.idle() && host.gpus[1].commands() == kMany);
}

void waiting_for_one_gpu_holds_no_other(std::size_t awaited) {
  Host host;
  HandArbiter& gpu = host.gpus[awaited];
  HandArbiter& other = host.gpus[1 - awaited];
  host.fill(kQueue, kWaits);
  host.fill(kOther + 1, kWaits);
  settle(*host.pair);
  gpu.take_back();
  set_user_event(*host.pair, kGate);
  eventually([&] { return gpu.seat().wants.load() == 1; });
  CHECK(other.seat().busy.load() == 0);
  // By the time that it has the one, the other is taken.
  other.take_back();
  gpu.grant(kNoEnd, true);
  eventually([&] { return other.seat().wants.load() == 1; });
  CHECK(gpu.seat().busy.load() == 0 && gpu.commands() == 0);
  other.grant(kNoEnd, true);
  for (const wire::Id queue : {kQueue, kOther + 1}) CHECK(host.finish(queue) == CL_SUCCESS);
  CHECK(host.idle() && gpu.commands() == 1 && other.commands() == 1);
}

void a_chain_over_two_gpus_is_charged_to_each() {
  Host host;
  for (wire::Id i = 0; i < kMany; ++i) {
    const wire::Id before[] = {i == 0 ? kGate : kEvents + i - 1};
    host.fill(i % 2 == 0 ? kQueue : kOther + 1, before, kEvents + i);
  }
  settle(*host.pair);
  CHECK(host.idle());
  set_user_event(*host.pair, kGate);
  for (const wire::Id queue : {kQueue, kOther + 1}) CHECK(host.finish(queue) == CL_SUCCESS);
  CHECK(host.idle());
  for (const HandArbiter& gpu : host.gpus) CHECK(gpu.commands() == kMany / 2);
}

void after_a_resume_they_wait_as_before(int times) {
  Host host;
  HandArbiter& gpu = host.gpus[0];
  for (int i = 0; i < kMany; ++i) host.fill(kQueue, kWaits);
  settle(*host.pair);
  for (int i = 0; i < times; ++i) {
    suspend(*host.pair);
    CHECK(gpu.seat().worker_pid.load() == 0);
    WorkerPair::Gates gates;
    for (HandArbiter& each : host.gpus) gates.push_back(each.gate());
    host.pair->session().resume({}, std::move(gates));
  }
  gpu.count_anew();
  settle(*host.pair);
  CHECK(host.idle());
  host.fill(kOther);
  CHECK(host.finish(kOther) == CL_SUCCESS);
  CHECK(host.idle() && gpu.commands() == 1);
  set_user_event(*host.pair, kGate);
  CHECK(host.finish(kQueue) == CL_SUCCESS);
  CHECK(host.idle() && gpu.commands() == 1 + kMany);
}

// A client that says of such a command that the program takes it for complete holds back nothing.
void one_that_is_called_complete_holds_nothing_back() {
  Host host;
  const auto bytes = pattern(kSize);
  wire::WriteBuffer message;
  message.queue = kQueue;
  message.buffer = kBuffer;
  message.wait_list = kWaits;
  message.fence = 1;
  for (int i = 0; i < 20; ++i) host.pair->send(message, bytes);
  host.fill(kOther);
  CHECK(host.finish(kOther) == CL_SUCCESS);
  CHECK(host.idle() && host.gpus[0].commands() == 1);
}

// More of them than a window holds, and what others of the session send and read goes on.
void large_ones_stop_no_other_message() {
  constexpr std::size_t kPayload = 512 * 1024;
  constexpr std::uint64_t kEach = 2 * kMaxBulk / kPayload * 2;
  Host host;
  create_buffer(*host.pair, 20, kPayload);
  const auto bytes = pattern(kPayload, 3);
  for (std::uint64_t i = 0; i < kEach; ++i) {
    write(*host.pair, 20, bytes, kWaits);
    auto message = read_of(20, kPayload, 5000 + i);
    message.blocking = 0;
    message.wait_list = kWaits;
    host.pair->send(message);
  }
  settle(*host.pair);
  CHECK(host.idle());
  create_buffer(*host.pair, 21, kPayload / 2);
  wire::WriteBuffer other;
  other.queue = kOther;
  other.buffer = 21;
  host.pair->send(other, std::span(bytes).first(kPayload / 2));
  auto back = read_of(21, kPayload / 2, 77);
  back.queue = kOther;
  host.pair->send(back);
  CHECK(host.pair->until<wire::ReadDone>().ticket == 77);
  CHECK(host.pair->bulk() == pattern(kPayload / 2, 3));
  suspend(*host.pair);
  WorkerPair::Gates gates;
  for (HandArbiter& each : host.gpus) gates.push_back(each.gate());
  host.pair->session().resume({}, std::move(gates));
  set_user_event(*host.pair, kGate);
  for (std::uint64_t i = 0; i < kEach; ++i) {
    const auto done = host.pair->until<wire::ReadDone>();
    CHECK(done.ticket == 5000 + i && done.status == CL_SUCCESS && host.pair->bulk() == bytes);
  }
  CHECK(host.finish(kQueue) == CL_SUCCESS && host.idle());
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  for (const auto& way : ways()) they_keep_nobody_waiting(way);
  enqueueing_them_needs_no_grant();
  those_that_fail_are_charged_nothing();
  one_failure_of_two_events_leaves_the_gpu_free();
  user_events_that_were_given_up_hold_no_gpu();
  a_user_event_waits_for_the_gpus_that_it_sets_to_work();
  for (const std::size_t awaited : {0, 1}) waiting_for_one_gpu_holds_no_other(awaited);
  a_chain_over_two_gpus_is_charged_to_each();
  for (const int times : {1, 2}) after_a_resume_they_wait_as_before(times);
  one_that_is_called_complete_holds_nothing_back();
  large_ones_stop_no_other_message();
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// A user event that fails takes what waits for it along, but only when nothing that could run is
// waited for besides: a driver that ends both at the same time may run what it has failed. Made for
// a driver whose commands are as late as they may be.
#include <array>

#include "opencl/null/objects.h"
#include "worker/suspending.h"

namespace tessera::test {
namespace {

constexpr wire::Id kOther = 4;
constexpr wire::Id kUnordered = 5;
constexpr wire::Id kGate = 30;
constexpr wire::Id kRuns = 31;
constexpr wire::Id kFails = 32;
constexpr std::size_t kSize = 4096;
constexpr std::array<wire::Id, 1> kWaits{kGate};

using Waits = std::span<const wire::Id>;

void make_queue(WorkerPair& pair, wire::Id id, cl_command_queue_properties properties) {
  const std::array<std::uint64_t, 2> list{CL_QUEUE_PROPERTIES, properties};
  wire::CreateQueue create;
  create.queue = id;
  create.context = kContext;
  create.properties = list;
  pair.send(create);
}

void fill(WorkerPair& pair, wire::Id queue, Waits waits = {}, wire::Id event = 0) {
  static constexpr std::byte kPattern[4]{};
  wire::FillBuffer message;
  message.queue = queue;
  message.buffer = kBuffer;
  message.pattern = {kPattern, sizeof kPattern};
  message.cb = kSize;
  message.wait_list = waits;
  message.event = event;
  pair.send(message);
}

void by_a_wait_list(WorkerPair& pair) {
  const wire::Id both[] = {kGate, kRuns};
  fill(pair, kOther, {}, kRuns);
  fill(pair, kUnordered, both);
}

void by_the_order_of_a_queue(WorkerPair& pair) {
  fill(pair, kQueue);
  fill(pair, kQueue, kWaits);
}

void by_another_that_fails_with_it(WorkerPair& pair) {
  const wire::Id both[] = {kFails, kRuns};
  fill(pair, kQueue, kWaits, kFails);
  fill(pair, kOther, {}, kRuns);
  fill(pair, kUnordered, both);
}

void behind_a_write_that_is_taken_for_complete(WorkerPair& pair) {
  const auto bytes = pattern(kSize);
  wire::WriteBuffer message;
  message.queue = kOther;
  message.buffer = kBuffer;
  message.fence = 1;
  pair.send(message, bytes);
  fill(pair, kQueue, kWaits);
}

void nothing_fails_before_what_else_it_waits_for(void (*enqueue)(WorkerPair&)) {
  WorkerPair pair;
  begin(pair);
  make_queue(pair, kOther, 0);
  make_queue(pair, kUnordered, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
  create_buffer(pair, kBuffer, kSize);
  create_user_event(pair, kGate);
  enqueue(pair);
  const int before = null::hasty_failures();
  set_user_event(pair, kGate, -5);
  settle(pair);
  CHECK(null::hasty_failures() == before);
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  for (const auto enqueue : {by_a_wait_list, by_the_order_of_a_queue, by_another_that_fails_with_it,
                             behind_a_write_that_is_taken_for_complete}) {
    nothing_fails_before_what_else_it_waits_for(enqueue);
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// A user event that fails takes what waits for it along, but only when nothing that could run is
// waited for besides: a driver that ends both at the same time may run what it has failed. And a
// driver may look at a failed command once more. Made for drivers whose commands run as late, or
// fail as early, as they may.
#include <array>
#include <chrono>

#include "opencl/null/objects.h"
#include "opencl/worker/early_failures.h"
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

// The client gives back what has failed, and sets what it waited for besides.
void nothing_that_failed_early_is_forgotten() {
  constexpr wire::Id kLater = 33;
  WorkerPair pair;
  begin(pair);
  make_queue(pair, kOther, 0);
  make_queue(pair, kUnordered, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
  create_buffer(pair, kBuffer, kSize);
  create_user_event(pair, kGate);
  create_user_event(pair, kLater);
  const wire::Id both[] = {kGate, kLater};
  const wire::Id later[] = {kLater};
  fill(pair, kUnordered, both, kFails);
  fill(pair, kQueue, later);
  fill(pair, kQueue, kWaits, kFails + 10);
  const wire::Id chain[] = {kFails, kLater};
  fill(pair, kOther, chain);
  const int before = null::forgotten_failures();
  set_user_event(pair, kGate, -5);
  release(pair, kFails);
  release(pair, kFails + 10);
  release(pair, kGate);
  settle(pair);
  set_user_event(pair, kLater);
  settle(pair);
  CHECK(null::forgotten_failures() == before);
}

// Until what they waited for has ended, and the driver has had time to tell.
void early_failures_are_kept_for_a_while() {
  cl_int status = CL_SUCCESS;
  cl_platform_id platform = nullptr;
  cl_device_id device = nullptr;
  CHECK(clGetPlatformIDs(1, &platform, nullptr) == CL_SUCCESS);
  CHECK(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, nullptr) == CL_SUCCESS);
  cl_context context = clCreateContext(nullptr, 1, &device, nullptr, nullptr, &status);
  cl_event awaited = clCreateUserEvent(context, &status);
  cl_event command = clCreateUserEvent(context, &status);
  {
    worker::EarlyFailures failures;
    std::vector<worker::Retained<cl_event>> rest;
    rest.emplace_back(awaited);
    failures.keep({std::make_shared<worker::Retained<cl_event>>(command)}, std::move(rest));
    const auto now = worker::EarlyFailures::Clock::now();
    using std::chrono::hours;
    failures.prune(now + hours(1));
    CHECK(failures.size() == 1);
    clSetUserEventStatus(awaited, CL_COMPLETE);
    failures.prune(now + hours(2));
    failures.prune(now + hours(2));
    CHECK(failures.size() == 1);
    failures.prune(now + hours(3));
    CHECK(failures.size() == 0);
  }
  clReleaseEvent(command);
  clReleaseEvent(awaited);
  clReleaseContext(context);
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  for (const auto enqueue : {by_a_wait_list, by_the_order_of_a_queue, by_another_that_fails_with_it,
                             behind_a_write_that_is_taken_for_complete}) {
    nothing_fails_before_what_else_it_waits_for(enqueue);
  }
  nothing_that_failed_early_is_forgotten();
  early_failures_are_kept_for_a_while();
  return 0;
}

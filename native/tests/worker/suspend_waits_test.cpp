// SPDX-License-Identifier: Apache-2.0
//
// Suspended while commands and threads wait for a user event: they go on waiting after the resume,
// and each ends once.
//
// Runs twice: once more with a driver that never calls back for an event that failed.
#include <algorithm>

#include "opencl/null/objects.h"
#include "worker/suspending.h"

namespace tessera::test {
namespace {

constexpr wire::Id kGate = 30;
const std::array<wire::Id, 1> kWaits{kGate};

void gated(WorkerPair& pair, cl_command_queue_properties properties = 0) {
  begin(pair, properties);
  create_buffer(pair, kBuffer, 64);
  write(pair, kBuffer, pattern(64, 1));
  create_user_event(pair, kGate);
}

void blocked_command_runs_after_the_resume(cl_command_queue_properties properties, int times) {
  WorkerPair pair;
  gated(pair, properties);
  write(pair, kBuffer, pattern(64, 2), kWaits, 31);
  wire::SubscribeEvent subscribe;
  subscribe.event = 31;
  pair.send(subscribe);
  settle(pair);
  pair.skipped();
  for (int i = 0; i < times; ++i) {
    suspend(pair);
    resume(pair);
    CHECK(pair.quiet());
  }
  set_user_event(pair, kGate);
  const auto done = pair.until<wire::EventDone>();
  CHECK(done.event == 31 && done.status == CL_COMPLETE);
  CHECK(done.times.empty() == ((properties & CL_QUEUE_PROFILING_ENABLE) == 0));
  CHECK(read(pair, kBuffer, 64) == pattern(64, 2));
  CHECK(pair.skipped().empty());
  CHECK(finished(pair) == CL_SUCCESS);
}

// Its place in the queue holds the later ones back, wait-list or not.
void order_of_a_queue_is_kept() {
  WorkerPair pair;
  gated(pair);
  write(pair, kBuffer, pattern(64, 2), kWaits);
  for (int i = 3; i < 10; ++i) write(pair, kBuffer, pattern(64, i));
  settle(pair);
  suspend(pair);
  resume(pair);
  suspend(pair);
  resume(pair);
  set_user_event(pair, kGate);
  CHECK(read(pair, kBuffer, 64) == pattern(64, 9));
}

// In a queue without an order only what waits is held back, and a barrier holds all later ones.
void barrier_holds_back_without_an_order() {
  WorkerPair pair;
  gated(pair, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
  CHECK(finished(pair) == CL_SUCCESS);
  wire::EnqueueBarrier barrier;
  barrier.queue = kQueue;
  barrier.wait_list = kWaits;
  pair.send(barrier);
  write(pair, kBuffer, pattern(64, 2), {}, 31);
  settle(pair);
  pair.skipped();
  suspend(pair);
  resume(pair);
  wire::SubscribeEvent subscribe;
  subscribe.event = 31;
  pair.send(subscribe);
  CHECK(pair.quiet());
  set_user_event(pair, kGate);
  CHECK(pair.until<wire::EventDone>().event == 31);
  CHECK(finished(pair) == CL_SUCCESS);
  CHECK(read(pair, kBuffer, 64) == pattern(64, 2));
}

// Commands of another queue that wait for a blocked one are blocked with it.
void chain_over_queues_is_kept() {
  WorkerPair pair;
  gated(pair);
  wire::CreateQueue create;
  create.queue = 40;
  create.context = kContext;
  pair.send(create);
  write(pair, kBuffer, pattern(64, 2), kWaits, 31);
  const std::array<wire::Id, 1> first{31};
  wire::EnqueueMarker marker;
  marker.queue = 40;
  marker.wait_list = first;
  marker.event = 32;
  pair.send(marker);
  // The client forgets the event in the middle.
  release(pair, 31);
  settle(pair);
  suspend(pair);
  resume(pair);
  const std::array<wire::Id, 1> last{32};
  wire::WaitForEvents wait;
  wait.events = last;
  const std::uint64_t sequence = pair.send(wait);
  CHECK(pair.quiet());
  set_user_event(pair, kGate);
  const auto reply = pair.until<wire::Reply>();
  CHECK(reply.of == sequence && reply.status == CL_SUCCESS);
  CHECK(read(pair, kBuffer, 64) == pattern(64, 2));
}

void waiting_threads_wait_on(bool fails) {
  WorkerPair pair;
  gated(pair);
  write(pair, kBuffer, pattern(64, 2), kWaits, 31);
  settle(pair);
  pair.skipped();
  const std::uint64_t finishing = finish(pair);
  const std::array<wire::Id, 1> events{31};
  wire::WaitForEvents wait;
  wait.events = events;
  const std::uint64_t waiting = pair.send(wait);
  pair.send(read_of(kBuffer, 64, 88));
  CHECK(pair.quiet());
  for (int i = 0; i < 3; ++i) {
    suspend(pair);
    CHECK(pair.gpu().used == 0);
    resume(pair);
    CHECK(pair.quiet());
  }
  set_user_event(pair, kGate, fails ? -5 : CL_COMPLETE);
  bool finish_told = false, wait_told = false, read_told = false;
  while (!finish_told || !wait_told || !read_told) {
    const Arrived arrived = pair.next();
    wire::Decoder in(arrived.fields);
    if (arrived.opcode == wire::Opcode::reply) {
      wire::Reply reply;
      CHECK(decode(in, reply));
      bool& told = reply.of == finishing ? finish_told : wait_told;
      CHECK(!told && (reply.of == finishing || reply.of == waiting));
      told = true;
      if (!fails) CHECK(reply.status == CL_SUCCESS);
    } else if (arrived.opcode == wire::Opcode::read_done) {
      wire::ReadDone done;
      CHECK(decode(in, done) && done.ticket == 88 && !read_told);
      read_told = true;
      if (!fails) CHECK(done.status == CL_SUCCESS && arrived.bulk == pattern(64, 2));
      if (fails) CHECK(done.status != CL_SUCCESS);
    }
  }
  CHECK(finished(pair) == CL_SUCCESS || fails);
}

// A read that nobody waits for keeps its ticket, and what it reads is what is there then.
void pending_read_is_read_after_the_resume() {
  WorkerPair pair;
  gated(pair);
  write(pair, kBuffer, pattern(64, 2), kWaits);
  auto message = read_of(kBuffer, 64, 99);
  message.blocking = 0;
  message.event = 33;
  pair.send(message);
  settle(pair);
  suspend(pair);
  resume(pair);
  CHECK(pair.quiet());
  set_user_event(pair, kGate);
  const auto done = pair.until<wire::ReadDone>();
  CHECK(done.ticket == 99 && done.status == CL_SUCCESS && pair.bulk() == pattern(64, 2));
  CHECK(finished(pair) == CL_SUCCESS);
}

// What a blocked command uses lives on, whatever the client has let go of.
void released_buffer_lives_in_a_blocked_command() {
  WorkerPair pair;
  gated(pair);
  create_buffer(pair, 50, 64);
  write(pair, 50, pattern(64, 7));
  wire::CopyBuffer copy;
  copy.queue = kQueue;
  copy.src_buffer = 50;
  copy.dst_buffer = kBuffer;
  copy.cb = 64;
  copy.wait_list = kWaits;
  pair.send(copy);
  release(pair, 50);
  settle(pair);
  CHECK(pair.gpu().used == 128);
  suspend(pair);
  CHECK(pair.gpu().used == 0);
  resume(pair);
  CHECK(pair.gpu().used == 128);
  set_user_event(pair, kGate);
  CHECK(read(pair, kBuffer, 64) == pattern(64, 7));
  settle(pair);
  CHECK(pair.gpu().used == 64);
}

// An event that had ended keeps its end.
void ended_events_stay_ended() {
  WorkerPair pair;
  gated(pair);
  write(pair, kBuffer, pattern(64, 2), {}, 31);
  create_user_event(pair, 41);
  set_user_event(pair, 41, -9);
  create_user_event(pair, 42);
  set_user_event(pair, 42);
  settle(pair);
  suspend(pair);
  resume(pair);
  const std::array<wire::Id, 2> good{31, 42};
  wire::WaitForEvents wait;
  wait.events = good;
  pair.send(wait);
  CHECK(pair.until<wire::Reply>().status == CL_SUCCESS);
  const std::array<wire::Id, 1> bad{41};
  wait.events = bad;
  pair.send(wait);
  CHECK(pair.until<wire::Reply>().status == CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
  write(pair, kBuffer, pattern(64, 3), good);
  CHECK(read(pair, kBuffer, 64) == pattern(64, 3));
  write(pair, kBuffer, pattern(64, 4), bad);
  CHECK(finished(pair) == CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
}

// A user event that the client released unset is never set: what waits for it waits on.
void abandoned_user_event_holds_back_for_ever() {
  WorkerPair pair;
  gated(pair);
  write(pair, kBuffer, pattern(64, 2), kWaits, 31);
  release(pair, kGate);
  settle(pair);
  suspend(pair);
  resume(pair);
  suspend(pair);
  resume(pair);
  wire::SubscribeEvent subscribe;
  subscribe.event = 31;
  pair.send(subscribe);
  CHECK(pair.quiet());
}

void subscribe(WorkerPair& pair, wire::Id event, bool every_state) {
  wire::SubscribeEvent message;
  message.event = event;
  message.every_state = every_state ? 1 : 0;
  pair.send(message);
}

// Whatever was to be called back, by the session or for the client.
void all_kinds_of_callbacks(WorkerPair& pair) {
  gated(pair, CL_QUEUE_PROFILING_ENABLE);
  for (wire::Id i = 0; i < 10; ++i) {
    write(pair, kBuffer, pattern(64, static_cast<int>(i)), kWaits, 50 + i);
    subscribe(pair, 50 + i, i % 2 == 0);
    auto message = read_of(kBuffer, 64, 100 + i);
    message.blocking = 0;
    message.event = 70 + i;
    pair.send(message);
  }
  settle(pair);
}

void all_come(WorkerPair& pair) {
  pair.skipped();
  set_user_event(pair, kGate);
  for (std::uint64_t i = 0; i < 10; ++i) {
    CHECK(pair.until<wire::ReadDone>().ticket == 100 + i);
    CHECK(pair.bulk() == pattern(64, static_cast<int>(i)));
  }
  CHECK(finished(pair) == CL_SUCCESS);
  CHECK(std::ranges::count(pair.skipped(), wire::Opcode::event_done) == 20);
}

void nothing_of_the_driver_is_left_while_suspended() {
  WorkerPair pair;
  const std::size_t before = null::live_handles();
  all_kinds_of_callbacks(pair);
  for (int i = 0; i < 3; ++i) {
    suspend(pair);
    CHECK(null::live_handles() == before && pair.gpu().used == 0);
    resume(pair);
    CHECK(pair.quiet());
  }
  all_come(pair);
}

// A resume that fails ends with everything given back, and the session suspended as before.
void nothing_of_the_driver_is_left_after_a_failed_resume() {
  constexpr std::size_t kQuarter = std::size_t{1} << 28;  // of the null driver's memory
  WorkerPair pair;
  const std::size_t before = null::live_handles();
  all_kinds_of_callbacks(pair);
  suspend(pair);
  {
    cl_platform_id platform = nullptr;
    cl_device_id device = nullptr;
    CHECK(clGetPlatformIDs(1, &platform, nullptr) == CL_SUCCESS);
    CHECK(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, nullptr) == CL_SUCCESS);
    const cl_context context = clCreateContext(nullptr, 1, &device, nullptr, nullptr, nullptr);
    std::array<cl_mem, 4> taken{};
    for (cl_mem& each : taken) {
      each = clCreateBuffer(context, 0, kQuarter, nullptr, nullptr);
      CHECK(each != nullptr);
    }
    const std::size_t beside = null::live_handles() - before;
    CHECK(error_of([&] { resume(pair); }) == worker::state_error::kRefused);
    CHECK(null::live_handles() == before + beside && pair.gpu().used == 0);
    for (const cl_mem each : taken) clReleaseMemObject(each);
    clReleaseContext(context);
  }
  resume(pair);
  all_come(pair);
}

// The events and payloads of commands that have failed are let go of at once.
void nothing_is_kept_for_a_command_that_failed() {
  WorkerPair pair;
  gated(pair);
  CHECK(finished(pair) == CL_SUCCESS);
  settle(pair);
  const std::size_t before = null::live_handles();
  for (int i = 0; i < 100; ++i) write(pair, kBuffer, pattern(64, 2), kWaits);
  settle(pair);
  // The queue's last event may have been kept before, and be another one now.
  CHECK(null::live_handles() >= before + 99);
  set_user_event(pair, kGate, -5);
  settle(pair);
  // What callbacks have left behind goes with the next message.
  settle(pair);
  CHECK(null::live_handles() == before);
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  for (const cl_command_queue_properties properties :
       {0, CL_QUEUE_PROFILING_ENABLE, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE}) {
    for (const int times : {1, 3}) blocked_command_runs_after_the_resume(properties, times);
  }
  order_of_a_queue_is_kept();
  barrier_holds_back_without_an_order();
  chain_over_queues_is_kept();
  waiting_threads_wait_on(false);
  waiting_threads_wait_on(true);
  pending_read_is_read_after_the_resume();
  released_buffer_lives_in_a_blocked_command();
  ended_events_stay_ended();
  abandoned_user_event_holds_back_for_ever();
  nothing_of_the_driver_is_left_while_suspended();
  nothing_of_the_driver_is_left_after_a_failed_resume();
  nothing_is_kept_for_a_command_that_failed();
  return 0;
}

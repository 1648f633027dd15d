// SPDX-License-Identifier: Apache-2.0
//
// What an honest client sees of a session, message by message.
#include <algorithm>
#include <cstring>
#include <set>

#include "check.h"
#include "worker/worker_pair.h"

namespace tessera::test {
namespace {

constexpr wire::Id kContext = 1;
constexpr wire::Id kQueue = 2;
constexpr wire::Id kBuffer = 3;
constexpr wire::Id kGate = 30;

std::vector<std::byte> pattern(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + 1);
  return bytes;
}

void create_buffer(WorkerPair& pair, wire::Id id, std::uint64_t size, std::uint32_t confirm = 0) {
  wire::CreateBuffer message;
  message.buffer = id;
  message.context = kContext;
  message.size = size;
  message.confirm = confirm;
  pair.send(message);
}

void write(WorkerPair& pair, wire::Id buffer, std::span<const std::byte> bytes,
           std::span<const wire::Id> waits = {}, wire::Id event = 0) {
  wire::WriteBuffer message;
  message.queue = kQueue;
  message.buffer = buffer;
  message.wait_list = waits;
  message.event = event;
  pair.send(message, bytes);
}

wire::ReadBuffer read_of(wire::Id buffer, std::uint64_t size, bool blocking, std::uint64_t ticket) {
  wire::ReadBuffer message;
  message.queue = kQueue;
  message.buffer = buffer;
  message.size = size;
  message.ticket = ticket;
  message.blocking = blocking ? 1 : 0;
  return message;
}

std::uint64_t finish(WorkerPair& pair, wire::Id queue = kQueue) {
  wire::FinishQueue message;
  message.queue = queue;
  return pair.send(message);
}

cl_int finished(WorkerPair& pair, wire::Id queue = kQueue) {
  const std::uint64_t sequence = finish(pair, queue);
  const auto reply = pair.until<wire::Reply>();
  CHECK(reply.of == sequence);
  return reply.status;
}

// An event that the client sets.
void create_gate(WorkerPair& pair) {
  wire::CreateUserEvent message;
  message.event = kGate;
  message.context = kContext;
  pair.send(message);
}

void open_gate(WorkerPair& pair, cl_int status = CL_COMPLETE) {
  wire::SetUserEventStatus message;
  message.event = kGate;
  message.status = status;
  pair.send(message);
}

void begin(WorkerPair& pair, cl_command_queue_properties properties = 0) {
  pair.open();
  pair.make_queue(kContext, kQueue, properties);
}

void bytes_come_back(TransportKind kind) {
  WorkerPair pair(kind);
  begin(pair);
  // Small ones are copied, large ones stay where they are.
  for (const std::size_t size : {std::size_t{1}, std::size_t{4096}, std::size_t{500'000}}) {
    const wire::Id id = kBuffer + size;
    const auto bytes = pattern(size);
    create_buffer(pair, id, size);
    write(pair, id, bytes);
    for (const bool blocking : {true, false}) {
      pair.send(read_of(id, size, blocking, size));
      const auto done = pair.until<wire::ReadDone>();
      CHECK(done.status == CL_SUCCESS && done.ticket == size);
      CHECK(pair.bulk() == bytes);
    }
  }
  CHECK(finished(pair) == CL_SUCCESS);
}

void lease_limits_memory_and_releases_give_it_back() {
  WorkerPair pair;
  begin(pair);
  create_buffer(pair, 10, kLease, 1);
  auto reply = pair.until<wire::Reply>();
  CHECK(reply.status == CL_SUCCESS && reply.sessions == 1);
  CHECK(pair.gpu().used == kLease);
  create_buffer(pair, 11, 1);
  auto error = pair.until<wire::DeferredError>();
  CHECK(error.target == 11 && error.status == CL_MEM_OBJECT_ALLOCATION_FAILURE);
  CHECK(error.opcode == static_cast<std::uint32_t>(wire::Opcode::create_buffer));
  create_buffer(pair, 12, 1, 1);
  reply = pair.until<wire::Reply>();
  CHECK(reply.status == CL_MEM_OBJECT_ALLOCATION_FAILURE);
  // A command on the poisoned object fails as the creation did.
  write(pair, 11, pattern(1));
  error = pair.until<wire::DeferredError>();
  CHECK(error.target == kQueue && error.status == CL_MEM_OBJECT_ALLOCATION_FAILURE);
  CHECK(finished(pair) == CL_MEM_OBJECT_ALLOCATION_FAILURE);
  CHECK(finished(pair) == CL_SUCCESS);
  for (const wire::Id id : {10, 11, 12}) {
    wire::Release release;
    release.target = id;
    pair.send(release);
  }
  create_buffer(pair, 13, kLease, 1);
  CHECK(pair.until<wire::Reply>().status == CL_SUCCESS);
  CHECK(pair.gpu().refused == 2);
}

void a_resize_is_told_before_the_next_reply() {
  WorkerPair pair;
  begin(pair);
  const NewLimit smaller{0, kLease / 2};
  CHECK(!pair.quota().resize({&smaller, 1}));
  create_buffer(pair, 10, kLease, 1);
  auto limits = pair.until<wire::LeaseLimits>();
  CHECK(limits.resizes == 1 && limits.memory.size() == 1 && limits.memory[0] == kLease / 2);
  CHECK(pair.until<wire::Reply>().status == CL_MEM_OBJECT_ALLOCATION_FAILURE);
  const NewLimit larger{0, 2 * kLease};
  CHECK(!pair.quota().resize({&larger, 1}) && !pair.quota().resize({&larger, 1}));
  create_buffer(pair, 11, 2 * kLease, 1);
  limits = pair.until<wire::LeaseLimits>();
  CHECK(limits.resizes == 3 && limits.memory[0] == 2 * kLease);
  CHECK(pair.until<wire::Reply>().status == CL_SUCCESS);
  // Once is enough.
  CHECK(finished(pair) == CL_SUCCESS);
  CHECK(std::ranges::count(pair.skipped(), wire::Opcode::lease_limits) == 0);
}

void sub_buffers_cost_nothing_and_stay_inside() {
  WorkerPair pair;
  begin(pair);
  create_buffer(pair, kBuffer, kLease);
  wire::CreateSubBuffer message;
  message.buffer = kBuffer;
  message.sub_buffer = 20;
  message.origin = 4096;
  message.size = 4096;
  pair.send(message);
  const auto bytes = pattern(4096);
  write(pair, 20, bytes);
  auto read = read_of(kBuffer, 4096, true, 1);
  read.offset = 4096;
  pair.send(read);
  CHECK(pair.until<wire::ReadDone>().status == CL_SUCCESS && pair.bulk() == bytes);
  message.sub_buffer = 21;
  message.size = kLease;
  pair.send(message);
  CHECK(pair.until<wire::DeferredError>().status == CL_INVALID_VALUE);
}

// A wait that only a later message can end: the token goes to a second thread.
void user_event_ends_a_finish() {
  WorkerPair pair;
  begin(pair);
  create_buffer(pair, kBuffer, 64);
  create_gate(pair);
  const std::array<wire::Id, 1> waits{kGate};
  write(pair, kBuffer, pattern(64), waits, 31);
  wire::SubscribeEvent subscribe;
  subscribe.event = 31;
  pair.send(subscribe);
  const std::uint64_t sequence = finish(pair);
  CHECK(pair.quiet());
  open_gate(pair);
  const auto done = pair.until<wire::EventDone>();
  CHECK(done.event == 31 && done.status == CL_COMPLETE && done.times.empty());
  CHECK(pair.skipped().empty());
  CHECK(pair.until<wire::Reply>().of == sequence);
}

void many_threads_may_wait() {
  WorkerPair pair;
  begin(pair);
  create_gate(pair);
  const std::array<wire::Id, 1> waits{kGate};
  std::vector<std::uint64_t> sent;
  wire::WaitForEvents wait;
  wait.events = waits;
  for (int i = 0; i < 20; ++i) sent.push_back(pair.send(wait));
  CHECK(pair.quiet());
  open_gate(pair);
  std::vector<std::uint64_t> answered;
  for (int i = 0; i < 20; ++i) {
    const auto reply = pair.until<wire::Reply>();
    CHECK(reply.status == CL_SUCCESS);
    answered.push_back(reply.of);
  }
  std::ranges::sort(answered);
  CHECK(answered == sent);
  // The end was told once.
  CHECK(pair.skipped().size() == 1);
}

void failed_user_event_fails_what_waits_for_it() {
  WorkerPair pair;
  begin(pair);
  create_buffer(pair, kBuffer, 64);
  create_gate(pair);
  const std::array<wire::Id, 1> waits{kGate};
  write(pair, kBuffer, pattern(64), waits, 31);
  open_gate(pair, -77);
  const std::array<wire::Id, 1> last{31};
  wire::WaitForEvents wait;
  wait.events = last;
  pair.send(wait);
  const auto done = pair.until<wire::EventDone>();
  CHECK(done.event == 31 && done.status < 0);
  CHECK(pair.until<wire::Reply>().status == CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
}

void profiling_queue_tells_times_before_the_finish_is_answered() {
  WorkerPair pair;
  begin(pair, CL_QUEUE_PROFILING_ENABLE);
  create_buffer(pair, kBuffer, 64);
  for (wire::Id id = 40; id < 50; ++id) write(pair, kBuffer, pattern(64), {}, id);
  finish(pair);
  for (int i = 0; i < 10; ++i) {
    const auto done = pair.until<wire::EventDone>();
    CHECK(done.status == CL_COMPLETE && done.times.size() == 5);
    CHECK(std::ranges::is_sorted(done.times));
  }
  CHECK(pair.until<wire::Reply>().status == CL_SUCCESS);
  CHECK(pair.quiet());
}

void unwaited_read_arrives_before_the_news_of_its_end() {
  WorkerPair pair;
  begin(pair, CL_QUEUE_PROFILING_ENABLE);
  create_buffer(pair, kBuffer, 64);
  for (wire::Id id = 60; id < 80; ++id) {
    auto read = read_of(kBuffer, 64, false, id);
    read.event = id;
    pair.send(read);
    CHECK(pair.next().opcode == wire::Opcode::read_done);
    CHECK(pair.next().opcode == wire::Opcode::event_done);
  }
}

// More than the window holds is enqueued behind an event that the same client sets afterwards; as
// payloads of a piece, and as small ones that take more of the window than they fill.
void gated_writes_do_not_stop_the_client(TransportKind kind) {
  WorkerPair pair(kind);
  begin(pair);
  create_buffer(pair, kBuffer, kLease);
  create_gate(pair);
  const std::array<wire::Id, 1> waits{kGate};
  const auto large = pattern(kLease);
  for (int i = 0; i < 64; ++i) write(pair, kBuffer, large, waits);
  const auto small = pattern(5000);
  for (int i = 0; i < 1000; ++i) write(pair, kBuffer, small, waits);
  open_gate(pair);
  CHECK(finished(pair) == CL_SUCCESS);
}

void gated_reads_do_not_stop_the_client(TransportKind kind) {
  WorkerPair pair(kind);
  begin(pair);
  create_buffer(pair, kBuffer, kLease);
  const auto bytes = pattern(kLease);
  write(pair, kBuffer, bytes);
  create_gate(pair);
  const std::array<wire::Id, 1> waits{kGate};
  std::set<std::uint64_t> tickets;
  const auto read = [&](std::uint64_t size) {
    auto message = read_of(kBuffer, size, false, tickets.size() + 1);
    message.wait_list = waits;
    pair.send(message);
    tickets.insert(message.ticket);
  };
  for (int i = 0; i < 64; ++i) read(kLease);
  for (int i = 0; i < 1000; ++i) read(5000);
  // What another queue brings still finds room.
  wire::CreateQueue other;
  other.queue = 50;
  other.context = kContext;
  pair.send(other);
  auto ungated = read_of(kBuffer, kLease, true, 5000);
  ungated.queue = other.queue;
  pair.send(ungated);
  CHECK(pair.until<wire::ReadDone>().ticket == 5000 && pair.bulk() == bytes);
  CHECK(pair.quiet());
  open_gate(pair);
  while (!tickets.empty()) {
    const auto done = pair.until<wire::ReadDone>();
    CHECK(done.status == CL_SUCCESS && tickets.erase(done.ticket) == 1);
    CHECK(pair.bulk().size() == (done.ticket <= 64 ? kLease : 5000));
    CHECK(std::equal(pair.bulk().begin(), pair.bulk().end(), bytes.begin()));
  }
  CHECK(finished(pair) == CL_SUCCESS);
}

void failed_command_fails_its_event_and_is_told_once() {
  WorkerPair pair;
  begin(pair);
  create_buffer(pair, kBuffer, 64);
  wire::CopyBuffer copy;
  copy.queue = kQueue;
  copy.src_buffer = copy.dst_buffer = kBuffer;
  copy.cb = 65;
  copy.event = 90;
  pair.send(copy);
  const auto done = pair.until<wire::EventDone>();
  CHECK(done.event == 90 && done.status == CL_INVALID_VALUE);
  const auto error = pair.until<wire::DeferredError>();
  CHECK(error.target == kQueue && error.status == CL_INVALID_VALUE);
  // What waits for it fails too.
  const std::array<wire::Id, 1> waits{90};
  wire::EnqueueMarker marker;
  marker.queue = kQueue;
  marker.wait_list = waits;
  marker.event = 91;
  pair.send(marker);
  CHECK(pair.until<wire::EventDone>().status == CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
  CHECK(finished(pair) == CL_INVALID_VALUE);
  CHECK(finished(pair) == CL_SUCCESS);
}

void objects_of_another_context_are_refused() {
  WorkerPair pair;
  begin(pair);
  pair.make_queue(100, 101);
  create_buffer(pair, kBuffer, 64);
  wire::FillBuffer fill;
  fill.queue = 101;
  fill.buffer = kBuffer;
  const auto bytes = pattern(4);
  fill.pattern = bytes;
  fill.cb = 64;
  pair.send(fill);
  CHECK(pair.until<wire::DeferredError>().status == CL_INVALID_CONTEXT);
  create_gate(pair);
  const std::array<wire::Id, 1> waits{kGate};
  wire::EnqueueMarker marker;
  marker.queue = 101;
  marker.wait_list = waits;
  pair.send(marker);
  CHECK(pair.until<wire::DeferredError>().status == CL_INVALID_CONTEXT);
}

void counters_of_the_slot_move() {
  WorkerPair pair;
  begin(pair);
  create_buffer(pair, kBuffer, 64);
  write(pair, kBuffer, pattern(64));
  CHECK(finished(pair) == CL_SUCCESS);
  const SessionSlot& slot = pair.quota().page().slots[0];
  CHECK(slot.messages == 6 && slot.commands == 1 && slot.objects == 3);
  CHECK(slot.round_trips >= 1 && slot.round_trips <= 2);
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  for (const auto kind : kAllKinds) {
    bytes_come_back(kind);
    gated_writes_do_not_stop_the_client(kind);
    gated_reads_do_not_stop_the_client(kind);
  }
  lease_limits_memory_and_releases_give_it_back();
  a_resize_is_told_before_the_next_reply();
  sub_buffers_cost_nothing_and_stay_inside();
  user_event_ends_a_finish();
  many_threads_may_wait();
  failed_user_event_fails_what_waits_for_it();
  profiling_queue_tells_times_before_the_finish_is_answered();
  unwaited_read_arrives_before_the_news_of_its_end();
  failed_command_fails_its_event_and_is_told_once();
  objects_of_another_context_are_refused();
  counters_of_the_slot_move();
  return 0;
}

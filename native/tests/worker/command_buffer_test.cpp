// SPDX-License-Identifier: Apache-2.0
//
// Command buffers, message by message, over the null driver, which aborts on every handle that it
// did not give out.
#include <algorithm>
#include <array>

#include "generated/messages_command_buffer.h"
#include "opencl/command_buffer.h"
#include "worker/hand_arbiter.h"
#include "worker/suspending.h"

namespace tessera::test {
namespace {

constexpr wire::Id kCommandBuffer = 10, kOther = 11, kUnordered = 12, kEvent = 20, kGate = 21;
constexpr wire::Id kProgram = 30, kKernel = 31;
constexpr std::uint64_t kSize = 4096;

using Points = std::vector<std::uint32_t>;

void create(WorkerPair& pair, wire::Id queue = kQueue) {
  wire::CreateCommandBuffer message;
  message.command_buffer = kCommandBuffer;
  message.queue = queue;
  pair.send(message);
}

template <class Message>
void record(WorkerPair& pair, const Message& command, const Points& points = {}) {
  wire::Encoder out;
  encode(out, command);
  wire::RecordCommand message;
  message.command_buffer = kCommandBuffer;
  message.sync_points = points;
  message.opcode = static_cast<std::uint32_t>(Message::kOpcode);
  message.command = out.bytes();
  pair.send(message);
}

wire::FillBuffer fill_of(wire::Id buffer, const std::byte& value, std::uint64_t size = kSize) {
  wire::FillBuffer message;
  message.buffer = buffer;
  message.pattern = std::span(&value, 1);
  message.cb = size;
  return message;
}

wire::CopyBuffer copy_of(wire::Id from, wire::Id to) {
  wire::CopyBuffer message;
  message.src_buffer = from;
  message.dst_buffer = to;
  message.cb = kSize;
  return message;
}

void finalize(WorkerPair& pair) {
  wire::FinalizeCommandBuffer message;
  message.command_buffer = kCommandBuffer;
  pair.send(message);
}

void enqueue(WorkerPair& pair, std::span<const wire::Id> waits = {}, wire::Id event = 0,
             wire::Id queue = kQueue) {
  wire::EnqueueCommandBuffer message;
  message.command_buffer = kCommandBuffer;
  message.queue = queue;
  message.wait_list = waits;
  message.event = event;
  pair.send(message);
}

bool pending(WorkerPair& pair) {
  wire::GetCommandBufferState message;
  message.command_buffer = kCommandBuffer;
  const std::uint64_t sequence = pair.send(message);
  const auto reply = pair.until<wire::Reply>();
  CHECK(reply.of == sequence && reply.status == CL_SUCCESS && reply.values.size() == 1);
  return reply.values[0] != 0;
}

cl_int deferred(WorkerPair& pair, wire::Id target) {
  const auto error = pair.until<wire::DeferredError>();
  CHECK(error.target == target);
  return error.status;
}

void create_queue(WorkerPair& pair, wire::Id id, cl_command_queue_properties properties) {
  const std::array<std::uint64_t, 2> list{CL_QUEUE_PROPERTIES, properties};
  wire::CreateQueue message;
  message.queue = id;
  message.context = kContext;
  message.properties = list;
  pair.send(message);
}

void begin_recording(WorkerPair& pair, cl_command_queue_properties properties = 0) {
  begin(pair, properties);
  create_buffer(pair, kBuffer, kSize);
  create_buffer(pair, kOther, kSize);
  create(pair);
}

constexpr std::byte kSeven{7}, kEight{8}, kNine{9};

std::vector<std::byte> all(std::byte value) {
  return std::vector<std::byte>(kSize, value);
}

// Fills one buffer and copies it to the other.
void record_two(WorkerPair& pair) {
  record(pair, fill_of(kBuffer, kSeven));
  record(pair, copy_of(kBuffer, kOther), {0});
}

void launches_run_what_was_recorded() {
  for (const cl_command_queue_properties properties :
       {0, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, CL_QUEUE_PROFILING_ENABLE,
        CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE | CL_QUEUE_PROFILING_ENABLE}) {
    WorkerPair pair;
    begin_recording(pair, properties);
    record_two(pair);
    finalize(pair);
    for (int i = 0; i < 3; ++i) {
      write(pair, kOther, all(kNine));
      CHECK(finished(pair) == CL_SUCCESS);
      enqueue(pair, {}, kEvent);
      CHECK(finished(pair) == CL_SUCCESS);
      CHECK(read(pair, kOther, kSize) == all(kSeven));
      release(pair, kEvent);
    }
  }
}

// Each waits for a command before it; then for a barrier, which waits for all of them.
void sync_points_and_barriers_order() {
  WorkerPair pair;
  begin_recording(pair, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
  record(pair, wire::EnqueueBarrier());
  record(pair, fill_of(kBuffer, kSeven));
  record(pair, copy_of(kBuffer, kOther), {1});
  record(pair, wire::EnqueueBarrier());
  record(pair, fill_of(kBuffer, kEight));
  record(pair, wire::EnqueueBarrier(), {4});
  record(pair, copy_of(kBuffer, kOther));
  record(pair, wire::EnqueueNothing(), {6});
  finalize(pair);
  create_user_event(pair, kGate);
  const std::array<wire::Id, 1> waits{kGate};
  enqueue(pair, waits, kEvent);
  CHECK(pending(pair));
  set_user_event(pair, kGate);
  CHECK(finished(pair) == CL_SUCCESS);
  CHECK(!pending(pair));
  CHECK(read(pair, kOther, kSize) == all(kEight));
}

void one_without_commands_waits_for_its_list() {
  for (const cl_command_queue_properties properties : {0, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE}) {
    WorkerPair pair;
    begin_recording(pair, properties);
    finalize(pair);
    create_user_event(pair, kGate);
    const std::array<wire::Id, 1> waits{kGate};
    enqueue(pair, waits, kEvent);
    CHECK(pending(pair));
    set_user_event(pair, kGate);
    CHECK(finished(pair) == CL_SUCCESS);
    CHECK(!pending(pair));
  }
}

// What it uses stays as long as it does.
void what_it_uses_may_be_released() {
  WorkerPair pair;
  begin_recording(pair);
  record_two(pair);
  finalize(pair);
  release(pair, kBuffer);
  settle(pair);
  CHECK(pair.gpu().used == 2 * kSize);
  enqueue(pair);
  CHECK(read(pair, kOther, kSize) == all(kSeven));
  release(pair, kCommandBuffer);
  CHECK(finished(pair) == CL_SUCCESS);
  settle(pair);
  CHECK(pair.gpu().used == kSize);
  CHECK(pair.session().bytes_of_records() < 1024);
}

// ---- what cannot be ----

void wrong_commands_fail_the_command_buffer() {
  const auto fails = [](cl_int status, const auto& command) {
    WorkerPair pair;
    begin_recording(pair);
    record(pair, fill_of(kBuffer, kSeven));
    record(pair, command);
    CHECK(deferred(pair, kCommandBuffer) == status);
    record(pair, copy_of(kBuffer, kOther), {1});
    finalize(pair);
    enqueue(pair, {}, kEvent);
    CHECK(pair.until<wire::EventDone>().status == status);
    CHECK(finished(pair) == status);
    CHECK(pair.session().bytes_of_records() < 1024);
  };
  fails(CL_INVALID_VALUE, fill_of(kBuffer, kSeven, kSize + 1));
  auto copy = copy_of(kBuffer, kOther);
  copy.dst_offset = UINT64_MAX;
  fails(CL_INVALID_VALUE, copy);
  fails(CL_MEM_COPY_OVERLAP, copy_of(kBuffer, kBuffer));
}

void broken_recordings_end_the_session() {
  const auto ends = [](std::string_view reason, const auto& send) {
    WorkerPair pair;
    begin_recording(pair);
    record(pair, fill_of(kBuffer, kSeven));
    send(pair);
    CHECK(pair.end_reason().find(reason) != std::string::npos);
  };
  const auto raw = [](WorkerPair& pair, wire::Opcode opcode, std::span<const std::byte> fields) {
    wire::RecordCommand message;
    message.command_buffer = kCommandBuffer;
    message.opcode = static_cast<std::uint32_t>(opcode);
    message.command = fields;
    pair.send(message);
  };
  ends("a sync point of no command",
       [](WorkerPair& pair) { record(pair, fill_of(kBuffer, kSeven), {1}); });
  ends("a sync point of no command", [](WorkerPair& pair) {
    record(pair, wire::EnqueueBarrier(), {0, UINT32_MAX});
  });
  ends("a recorded command that is none",
       [](WorkerPair& pair) { record(pair, wire::ReadBuffer()); });
  ends("a recorded command that is none",
       [&](WorkerPair& pair) { raw(pair, static_cast<wire::Opcode>(0xffff'ffff), {}); });
  ends("cannot be read",
       [&](WorkerPair& pair) { raw(pair, wire::Opcode::copy_buffer, all(kSeven)); });
  ends("cannot be read", [&](WorkerPair& pair) { raw(pair, wire::Opcode::fill_buffer, {}); });
  ends("cannot be read", [](WorkerPair& pair) {
    auto fill = fill_of(kBuffer, kSeven);
    fill.queue = kQueue;
    record(pair, fill);
  });
  ends("cannot be read", [](WorkerPair& pair) {
    auto fill = fill_of(kBuffer, kSeven);
    fill.event = kEvent;
    record(pair, fill);
  });
  ends("not a memory object", [](WorkerPair& pair) { record(pair, fill_of(kQueue, kSeven)); });
  ends("is finalized", [](WorkerPair& pair) {
    finalize(pair);
    record(pair, fill_of(kBuffer, kSeven));
  });
  ends("finalized twice", [](WorkerPair& pair) {
    finalize(pair);
    finalize(pair);
  });
  ends("not a command buffer", [](WorkerPair& pair) {
    wire::EnqueueCommandBuffer message;
    message.queue = kQueue;
    message.command_buffer = kBuffer;
    pair.send(message);
  });
}

void launches_where_there_can_be_none_fail() {
  WorkerPair pair;
  begin_recording(pair);
  record_two(pair);
  enqueue(pair);
  CHECK(finished(pair) == CL_INVALID_OPERATION);
  finalize(pair);
  create_queue(pair, kUnordered, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
  enqueue(pair, {}, 0, kUnordered);
  CHECK(deferred(pair, kUnordered) == CL_INCOMPATIBLE_COMMAND_QUEUE_KHR);
}

// ---- suspend and resume ----

void move(WorkerPair& pair) {
  suspend(pair);
  CHECK(pair.gpu().used == 0);
  resume(pair);
}

void they_come_back_in_each_state() {
  for (const cl_command_queue_properties properties : {0, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE}) {
    WorkerPair pair;
    begin_recording(pair, properties);
    record(pair, fill_of(kBuffer, kSeven));
    move(pair);
    record(pair, copy_of(kBuffer, kOther), {0});
    move(pair);
    finalize(pair);
    move(pair);
    write(pair, kOther, all(kNine));
    CHECK(finished(pair) == CL_SUCCESS);
    enqueue(pair);
    CHECK(finished(pair) == CL_SUCCESS);
    CHECK(read(pair, kOther, kSize) == all(kSeven));
    move(pair);
    CHECK(!pending(pair));
    enqueue(pair);
    CHECK(finished(pair) == CL_SUCCESS);
  }
}

// Also when the client has released it and what it uses.
void a_pending_one_comes_back(bool released) {
  for (const cl_command_queue_properties properties : {0, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE}) {
    WorkerPair pair;
    begin_recording(pair, properties);
    record_two(pair);
    finalize(pair);
    create_user_event(pair, kGate);
    const std::array<wire::Id, 1> waits{kGate};
    enqueue(pair, waits, kEvent);
    if (released) {
      release(pair, kCommandBuffer);
      release(pair, kBuffer);
    }
    settle(pair);
    for (int i = 0; i < 2; ++i) {
      move(pair);
      CHECK(released || pending(pair));
    }
    set_user_event(pair, kGate);
    CHECK(finished(pair) == CL_SUCCESS);
    CHECK(read(pair, kOther, kSize) == all(kSeven));
  }
}

void a_failed_one_comes_back() {
  WorkerPair pair;
  begin_recording(pair);
  record(pair, fill_of(kBuffer, kSeven, kSize + 1));
  CHECK(deferred(pair, kCommandBuffer) == CL_INVALID_VALUE);
  move(pair);
  record(pair, copy_of(kBuffer, kOther), {0});
  finalize(pair);
  enqueue(pair);
  CHECK(finished(pair) == CL_INVALID_VALUE);
}

wire::EnqueueNdRange launch_of(wire::Id kernel) {
  wire::EnqueueNdRange message;
  message.kernel = kernel;
  message.work_dim = 1;
  message.global = {4, 0, 0};
  return message;
}

void build(WorkerPair& pair) {
  constexpr std::string_view source = "kernel void run(global float* a, int n, local int* l) {}\n";
  wire::CreateProgramWithSource program;
  program.program = kProgram;
  program.context = kContext;
  pair.send(program, std::as_bytes(std::span(source)));
  wire::BuildProgram build;
  build.program = kProgram;
  build.ticket = 7;
  pair.send(build);
  CHECK(pair.until<wire::BuildDone>().status == CL_SUCCESS);
  wire::CreateKernel kernel;
  kernel.kernel = kKernel;
  kernel.program = kProgram;
  kernel.name = "run";
  pair.send(kernel);
}

void set_target(WorkerPair& pair, wire::Id target) {
  wire::SetKernelArgObject message;
  message.kernel = kKernel;
  message.index = 0;
  message.target = target;
  pair.send(message);
}

// No driver can be asked for the address again.
void a_recorded_address_refuses_a_suspend() {
  WorkerPair pair;
  begin_recording(pair);
  build(pair);
  const std::array<std::uint32_t, 3> indices{0, 1, 2}, kinds{4, 0, 2};
  const std::array<std::uint64_t, 3> numbers{0x1000, 4, 64};
  const auto value = pattern(4);
  auto launch = launch_of(kKernel);
  launch.arg_indices = indices;
  launch.arg_kinds = kinds;
  launch.arg_numbers = numbers;
  launch.arg_values = value;
  record(pair, launch);
  finalize(pair);
  settle(pair);
  CHECK(error_of([&] { suspend(pair); }) == worker::state_error::kUnsupported);
}

// With the arguments of when it was recorded; the kernel's own stay what they are.
void recorded_kernels_come_back() {
  WorkerPair pair;
  begin_recording(pair);
  build(pair);
  const std::array<std::uint32_t, 3> indices{0, 1, 2}, kinds{1, 0, 2};
  const std::array<std::uint64_t, 3> numbers{kBuffer, 4, 64};
  const auto value = pattern(4);
  auto launch = launch_of(kKernel);
  launch.arg_indices = indices;
  launch.arg_kinds = kinds;
  launch.arg_numbers = numbers;
  launch.arg_values = value;
  record(pair, launch);
  // Without changes, it has the same ones.
  record(pair, launch_of(kKernel));
  set_target(pair, kOther);
  release(pair, kOther);  // so it cannot be launched any more, but the recorded ones can
  finalize(pair);
  release(pair, kBuffer);
  settle(pair);
  for (int i = 0; i < 2; ++i) {
    enqueue(pair);
    CHECK(finished(pair) == CL_SUCCESS);
    auto own = launch_of(kKernel);
    own.queue = kQueue;
    pair.send(own);
    CHECK(finished(pair) == CL_INVALID_KERNEL_ARGS);
    suspend(pair);
    resume(pair);
  }
}

void a_kernel_without_arguments_is_refused() {
  WorkerPair pair;
  begin_recording(pair);
  build(pair);
  record(pair, launch_of(kKernel));
  CHECK(deferred(pair, kCommandBuffer) == CL_INVALID_KERNEL_ARGS);
}

// ---- a shared GPU ----

// Each command is let in, and charged, by itself.
void a_shared_gpu_hears_of_each_command() {
  HandArbiter gpu;
  WorkerPair::Gates gates;
  gates.push_back(gpu.gate());
  gpu.grant(kNoEnd, false);
  auto pair = std::make_unique<WorkerPair>(TransportKind::shm, 1, std::move(gates));
  begin_recording(*pair);
  record_two(*pair);
  record_two(*pair);
  finalize(*pair);
  // The fresh memory's zeros are charged as well.
  enqueue(*pair);
  CHECK(finished(*pair) == CL_SUCCESS);
  gpu.count_anew();
  enqueue(*pair);
  CHECK(finished(*pair) == CL_SUCCESS);
  eventually([&] { return gpu.commands() == 4; });
  // One that cannot run keeps nobody from the GPU, and is charged when it has run.
  create_user_event(*pair, kGate);
  const std::array<wire::Id, 1> waits{kGate};
  enqueue(*pair, waits);
  settle(*pair);
  CHECK(gpu.commands() == 4);
  set_user_event(*pair, kGate);
  CHECK(finished(*pair) == CL_SUCCESS);
  eventually([&] { return gpu.commands() == 8; });
  gpu.take_back();
  enqueue(*pair);
  eventually([&] { return gpu.seat().wants.load() == 1; });
  CHECK(gpu.commands() == 8);
  gpu.grant(kNoEnd, false);
  CHECK(finished(*pair) == CL_SUCCESS);
  eventually([&] { return gpu.commands() == 12; });
  pair.reset();
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  launches_run_what_was_recorded();
  sync_points_and_barriers_order();
  one_without_commands_waits_for_its_list();
  what_it_uses_may_be_released();
  wrong_commands_fail_the_command_buffer();
  broken_recordings_end_the_session();
  launches_where_there_can_be_none_fail();
  they_come_back_in_each_state();
  a_pending_one_comes_back(false);
  a_pending_one_comes_back(true);
  a_failed_one_comes_back();
  a_recorded_address_refuses_a_suspend();
  recorded_kernels_come_back();
  a_kernel_without_arguments_is_refused();
  a_shared_gpu_hears_of_each_command();
}

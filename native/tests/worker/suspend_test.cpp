// SPDX-License-Identifier: Apache-2.0
//
// A session that was suspended and resumed is the session that it was.
#include <algorithm>
#include <thread>

#include "worker/suspending.h"

namespace tessera::test {
namespace {

constexpr wire::Id kProgram = 4, kKernel = 5, kSubBuffer = 6, kImage = 7, kSampler = 8;
constexpr std::string_view kSource =
    "kernel void run(global float* a, int n, local int* l, sampler_t s, read_only image2d_t i) "
    "{}\n";

std::uint64_t used(WorkerPair& pair) {
  return pair.gpu().used;
}

void buffers_come_back(bool on_disk) {
  StateFolder folder;
  WorkerPair pair;
  begin(pair);
  const auto bytes = pattern(700'000);
  create_buffer(pair, kBuffer, bytes.size());
  write(pair, kBuffer, bytes);
  wire::CreateSubBuffer part;
  part.buffer = kBuffer;
  part.sub_buffer = kSubBuffer;
  part.origin = 4096;
  part.size = 4096;
  pair.send(part);
  settle(pair);
  CHECK(used(pair) == bytes.size());
  const auto needs = pair.session().check_suspend();
  CHECK(needs.device == bytes.size() && needs.objects == 4 && needs.bytes >= bytes.size());
  const auto kept = suspend(pair, on_disk ? folder.path() : "");
  CHECK(kept.bytes >= bytes.size() && folder.has_state() == on_disk);
  CHECK(used(pair) == 0);
  resume(pair);
  CHECK(used(pair) == bytes.size());
  // A file is its owner's to remove, when the resume is written down.
  CHECK(folder.has_state() == on_disk);
  CHECK(read(pair, kBuffer, bytes.size()) == bytes);
  // The part lies where it lay.
  const auto other = pattern(4096, 99);
  write(pair, kSubBuffer, other);
  const auto all = read(pair, kBuffer, bytes.size());
  CHECK(std::ranges::equal(std::span(all).subspan(4096, 4096), other));
}

wire::CreateImage image_of(wire::Id id, cl_mem_object_type type, wire::Id3 extent) {
  wire::CreateImage image;
  image.image = id;
  image.context = kContext;
  image.channel_order = CL_RGBA;
  image.channel_type = CL_UNORM_INT8;
  image.image_type = type;
  image.extent = extent;
  return image;
}

std::vector<std::byte> read_image(WorkerPair& pair, wire::Id id, wire::Id3 region) {
  wire::ReadImage message;
  message.queue = kQueue;
  message.image = id;
  message.region = region;
  message.ticket = 5;
  message.blocking = 1;
  pair.send(message);
  CHECK(pair.until<wire::ReadDone>().status == CL_SUCCESS);
  return pair.bulk();
}

void images_come_back() {
  WorkerPair pair;
  begin(pair);
  struct Case {
    cl_mem_object_type type;
    wire::Id3 extent;
  };
  wire::Id id = 50;
  for (const Case& each :
       {Case{CL_MEM_OBJECT_IMAGE2D, {33, 17, 1}}, Case{CL_MEM_OBJECT_IMAGE3D, {9, 5, 4}},
        Case{CL_MEM_OBJECT_IMAGE1D, {100, 1, 1}}}) {
    pair.send(image_of(++id, each.type, each.extent));
    const auto pixels = pattern(4 * each.extent[0] * each.extent[1] * each.extent[2], 3);
    wire::WriteImage message;
    message.queue = kQueue;
    message.image = id;
    message.region = each.extent;
    pair.send(message, pixels);
    CHECK(read_image(pair, id, each.extent) == pixels);
    suspend(pair);
    CHECK(used(pair) == 0);
    resume(pair);
    CHECK(read_image(pair, id, each.extent) == pixels);
  }
}

void build(WorkerPair& pair, std::string_view source = kSource) {
  wire::CreateProgramWithSource create;
  create.program = kProgram;
  create.context = kContext;
  pair.send(create, std::as_bytes(std::span(source)));
  wire::BuildProgram message;
  message.program = kProgram;
  message.ticket = 7;
  pair.send(message);
  CHECK(pair.until<wire::BuildDone>().status == CL_SUCCESS);
}

void set_arguments(WorkerPair& pair) {
  pair.send(image_of(kImage, CL_MEM_OBJECT_IMAGE2D, {4, 4, 1}));
  wire::CreateSampler sampler;
  sampler.sampler = kSampler;
  sampler.context = kContext;
  sampler.addressing_mode = CL_ADDRESS_CLAMP;
  sampler.filter_mode = CL_FILTER_NEAREST;
  pair.send(sampler);
  create_buffer(pair, kBuffer, 64);
  const std::pair<std::uint32_t, wire::Id> objects[] = {{0, kBuffer}, {3, kSampler}, {4, kImage}};
  for (const auto& [index, target] : objects) {
    wire::SetKernelArgObject message;
    message.kernel = kKernel;
    message.index = index;
    message.target = target;
    pair.send(message);
  }
  const int number = 12;
  wire::SetKernelArgValue value;
  value.kernel = kKernel;
  value.index = 1;
  value.value = std::as_bytes(std::span(&number, 1));
  pair.send(value);
  wire::SetKernelArgLocal local;
  local.kernel = kKernel;
  local.index = 2;
  local.size = 64;
  pair.send(local);
}

void create_kernel(WorkerPair& pair) {
  wire::CreateKernel create;
  create.kernel = kKernel;
  create.program = kProgram;
  create.name = "run";
  pair.send(create);
}

cl_int launch(WorkerPair& pair, wire::Id kernel = kKernel) {
  wire::EnqueueNdRange message;
  message.queue = kQueue;
  message.kernel = kernel;
  message.work_dim = 1;
  message.global = {4, 0, 0};
  pair.send(message);
  return finished(pair);
}

// Arguments stay set; a clone has its original's, also when that is gone.
void kernels_can_be_launched_at_once() {
  WorkerPair pair;
  begin(pair);
  build(pair);
  create_kernel(pair);
  set_arguments(pair);
  CHECK(launch(pair) == CL_SUCCESS);
  wire::CloneKernel clone;
  clone.kernel = 60;
  clone.source = kKernel;
  pair.send(clone);
  release(pair, kKernel);
  CHECK(launch(pair, 60) == CL_SUCCESS);
  // The program goes; the clone keeps it.
  release(pair, kProgram);
  for (int i = 0; i < 3; ++i) {
    suspend(pair);
    resume(pair);
    CHECK(launch(pair, 60) == CL_SUCCESS);
  }
  // An argument that names what is gone cannot be launched with, before and after.
  release(pair, kBuffer);
  CHECK(launch(pair, 60) == CL_INVALID_KERNEL_ARGS);
  suspend(pair);
  resume(pair);
  CHECK(launch(pair, 60) == CL_INVALID_KERNEL_ARGS);
  CHECK(pair.session().check_suspend().objects == 5);
}

// A launch that cannot run yet is made again with the arguments that it brought, whatever became of
// them since; what the next launch brings comes after it.
void a_blocked_launch_keeps_what_it_brought() {
  WorkerPair pair;
  begin(pair);
  build(pair);
  create_kernel(pair);
  set_arguments(pair);
  wire::CreateUserEvent gate;
  gate.event = 70;
  gate.context = kContext;
  pair.send(gate);
  create_buffer(pair, 71, 64);
  const std::array<wire::Id, 1> waits{70};
  const std::array<std::uint32_t, 2> indices{0, 1};
  const std::array<std::uint32_t, 2> kinds{1, 0};
  const std::array<std::uint64_t, 2> numbers{71, 4};
  const auto value = pattern(4);
  wire::EnqueueNdRange message;
  message.queue = kQueue;
  message.kernel = kKernel;
  message.work_dim = 1;
  message.global = {4, 0, 0};
  message.wait_list = waits;
  message.arg_indices = indices;
  message.arg_kinds = kinds;
  message.arg_numbers = numbers;
  message.arg_values = value;
  pair.send(message);
  release(pair, 71);
  settle(pair);
  for (int i = 0; i < 2; ++i) {
    suspend(pair);
    resume(pair);
  }
  wire::SetUserEventStatus set;
  set.event = 70;
  pair.send(set);
  CHECK(finished(pair) == CL_SUCCESS);
  CHECK(launch(pair) == CL_INVALID_KERNEL_ARGS);
}

// NULL is NULL, whether it was set as a buffer or as an address of shared virtual memory.
void null_arguments_come_back() {
  for (const bool as_svm : {false, true}) {
    WorkerPair pair;
    begin(pair);
    build(pair);
    create_kernel(pair);
    set_arguments(pair);
    const auto set_null = [&](auto message) {
      message.kernel = kKernel;
      message.index = 0;
      pair.send(message);
    };
    as_svm ? set_null(wire::SetKernelArgSvm{}) : set_null(wire::SetKernelArgObject{});
    release(pair, kBuffer);
    CHECK(launch(pair) == CL_SUCCESS);
    suspend(pair);
    resume(pair);
    CHECK(launch(pair) == CL_SUCCESS);
  }
}

void compiled_and_linked_programs_come_back() {
  WorkerPair pair;
  begin(pair);
  const auto create = [&](wire::Id id, std::string_view text) {
    wire::CreateProgramWithSource message;
    message.program = id;
    message.context = kContext;
    pair.send(message, std::as_bytes(std::span(text)));
  };
  create(20, "// a header\n");
  create(21, "kernel void run(global int* a) {}\n");
  const std::array<wire::Id, 1> headers{20};
  wire::CompileProgram compile;
  compile.program = 21;
  compile.headers = headers;
  compile.header_names = {"header.h"};
  compile.ticket = 1;
  pair.send(compile);
  CHECK(pair.until<wire::BuildDone>().status == CL_SUCCESS);
  const std::array<wire::Id, 1> inputs{21};
  wire::LinkProgram link;
  link.program = kProgram;
  link.context = kContext;
  link.inputs = inputs;
  link.ticket = 2;
  pair.send(link);
  CHECK(pair.until<wire::BuildDone>().status == CL_SUCCESS);
  // Only what was linked is left.
  release(pair, 20);
  release(pair, 21);
  settle(pair);
  for (int i = 0; i < 2; ++i) {
    suspend(pair);
    resume(pair);
    CHECK(pair.session().check_suspend().objects == 3);
  }
  pair.skipped();
  create_kernel(pair);
  settle(pair);
  CHECK(pair.skipped().empty());
}

void failed_builds_stay_failed() {
  WorkerPair pair;
  begin(pair);
  wire::CreateProgramWithSource create;
  create.program = kProgram;
  create.context = kContext;
  constexpr std::string_view kWrong = "#error no\n";
  pair.send(create, std::as_bytes(std::span(kWrong)));
  wire::BuildProgram message;
  message.program = kProgram;
  message.ticket = 7;
  pair.send(message);
  CHECK(pair.until<wire::BuildDone>().status != CL_SUCCESS);
  suspend(pair);
  resume(pair);
  create_kernel(pair);
  CHECK(pair.until<wire::DeferredError>().status == CL_INVALID_PROGRAM_EXECUTABLE);
}

void errors_that_were_not_told_are_told_after_the_resume() {
  WorkerPair pair;
  begin(pair);
  create_buffer(pair, kBuffer, 64);
  create_buffer(pair, 30, 2 * kLease);
  CHECK(pair.until<wire::DeferredError>().status == CL_MEM_OBJECT_ALLOCATION_FAILURE);
  write(pair, 30, pattern(8));
  CHECK(pair.until<wire::DeferredError>().target == kQueue);
  suspend(pair);
  resume(pair);
  CHECK(finished(pair) == CL_MEM_OBJECT_ALLOCATION_FAILURE);
  CHECK(finished(pair) == CL_SUCCESS);
  write(pair, 30, pattern(8));
  CHECK(pair.until<wire::DeferredError>().status == CL_MEM_OBJECT_ALLOCATION_FAILURE);
}

void messages_wait_while_suspended() {
  WorkerPair pair;
  begin(pair);
  create_buffer(pair, kBuffer, 64);
  settle(pair);
  suspend(pair);
  const auto bytes = pattern(64);
  write(pair, kBuffer, bytes);
  pair.send(read_of(kBuffer, 64, 3));
  CHECK(pair.quiet());
  CHECK(used(pair) == 0);
  resume(pair);
  CHECK(pair.until<wire::ReadDone>().status == CL_SUCCESS && pair.bulk() == bytes);
}

// Every few commands of a chain, in memory and on disk by turns.
void chain_is_not_disturbed() {
  StateFolder folder;
  WorkerPair pair;
  begin(pair);
  create_buffer(pair, kBuffer, 4096);
  std::vector<std::byte> expected(4096);
  write(pair, kBuffer, expected);
  for (int i = 0; i < 40; ++i) {
    const auto bytes = pattern(64, i);
    wire::WriteBuffer message;
    message.queue = kQueue;
    message.buffer = kBuffer;
    message.offset = static_cast<std::uint64_t>(i) * 64;
    message.event = 1000 + static_cast<wire::Id>(i);
    const std::array<wire::Id, 1> before{message.event - 1};
    if (i != 0) message.wait_list = before;
    pair.send(message, bytes);
    std::ranges::copy(bytes, expected.begin() + i * 64);
    if (i % 3 != 0) continue;
    suspend(pair, i % 2 == 0 ? folder.path() : "");
    resume(pair);
  }
  CHECK(read(pair, kBuffer, 4096) == expected);
}

void two_sessions_of_a_lease_share_its_memory() {
  WorkerPair pair;
  begin(pair);
  create_buffer(pair, kBuffer, kLease / 2);
  settle(pair);
  suspend(pair);
  // Another session takes so much that this one does not fit any more.
  const std::size_t other = pair.quota().acquire_slot();
  CHECK(pair.quota().reserve(other, 1, kLease * 3 / 4));
  CHECK(error_of([&] { resume(pair); }) == "ResumeRefused");
  CHECK(error_of([&] { suspend(pair); }) == "AlreadySuspended");
  pair.quota().release(other, 1, kLease * 3 / 4);
  resume(pair);
  CHECK(used(pair) == kLease / 2);
  CHECK(error_of([&] { resume(pair); }) == "NotSuspended");
}

void shared_virtual_memory_is_refused() {
  WorkerPair pair;
  begin(pair);
  wire::SvmAlloc message;
  message.context = kContext;
  message.size = 4096;
  message.flags = CL_MEM_READ_WRITE;
  pair.send(message);
  const auto reply = pair.until<wire::Reply>();
  CHECK(reply.status == CL_SUCCESS);
  const std::uint64_t address = reply.values[0];
  CHECK(error_of([&] { pair.session().check_suspend(); }) == "SuspendUnsupported");
  CHECK(error_of([&] { suspend(pair); }) == "SuspendUnsupported");
  // Nothing was lost, and without that memory it works.
  CHECK(finished(pair) == CL_SUCCESS);
  wire::SvmFree free;
  free.context = kContext;
  free.address = address;
  pair.send(free);
  settle(pair);
  suspend(pair);
  resume(pair);
}

// What came in pieces is one record.
void long_messages_come_back() {
  WorkerPair pair;
  StateFolder folder;
  begin(pair);
  LongSender<wire::LongMessagePiece, wire::LongMessage> sender;
  const auto send_long = [&](const auto& message, std::string_view bulk) {
    wire::Encoder out;
    encode(out, message);
    return sender.send(pair.channel(), static_cast<std::uint16_t>(message.kOpcode), out.bytes(),
                       std::as_bytes(std::span(bulk)));
  };
  wire::CreateProgramWithSource create;
  create.program = kProgram;
  create.context = kContext;
  send_long(create, "kernel void k(global int* a) { a[0] = 1; }" + std::string(kMaxBulk, ' '));
  const std::string options = "-DN=" + std::string(kMaxFields, '7');
  wire::BuildProgram build;
  build.program = kProgram;
  build.options = options;
  build.ticket = 1;
  send_long(build, "");
  CHECK(pair.until<wire::BuildDone>().status == CL_SUCCESS);
  suspend(pair, folder.path());
  resume(pair);
  wire::GetProgramBinary message;
  message.program = kProgram;
  pair.send(message);
  // The binary has the source, and so comes in pieces as well.
  std::size_t came = 0;
  while (came <= kMaxBulk) {
    CHECK(pair.until<wire::LongAnswerPiece>().size > kMaxBulk);
    came += pair.bulk().size();
  }
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  buffers_come_back(false);
  buffers_come_back(true);
  images_come_back();
  kernels_can_be_launched_at_once();
  a_blocked_launch_keeps_what_it_brought();
  null_arguments_come_back();
  compiled_and_linked_programs_come_back();
  long_messages_come_back();
  failed_builds_stay_failed();
  errors_that_were_not_told_are_told_after_the_resume();
  messages_wait_while_suspended();
  chain_is_not_disturbed();
  two_sessions_of_a_lease_share_its_memory();
  shared_virtual_memory_is_refused();
  return 0;
}

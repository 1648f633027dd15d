// SPDX-License-Identifier: Apache-2.0
//
// Programs, kernels, images and shared virtual memory, message by message, over the null driver.
// That driver aborts on every handle that it did not give out: a rubbish argument that got through
// would end the test.
#include <cstring>

#include "check.h"
#include "opencl/arg_kind.h"
#include "worker/programs.h"

namespace tessera::test {
namespace {

void build_tells_facts() {
  WorkerPair pair;
  start(pair);
  wire::BuildProgram message;
  message.program = kProgram;
  pair.send(message);
  const auto facts = pair.until<wire::KernelFacts>();
  CHECK(facts.name == "run");
  const ArgKind kinds[] = {ArgKind::buffer,  ArgKind::value, ArgKind::local,
                           ArgKind::sampler, ArgKind::image, ArgKind::value};
  CHECK(facts.arg_kinds.size() == std::size(kinds));
  for (std::size_t i = 0; i < std::size(kinds); ++i) {
    CHECK(facts.arg_kinds[i] == static_cast<std::uint32_t>(kinds[i]));
  }
  CHECK(facts.arg_sizes[1] == 4 && facts.arg_sizes[5] == 20);
  CHECK(facts.arg_names[0] == "a" && facts.work_group.size() == 8);
  CHECK(pair.until<wire::KernelFacts>().name == "none");
  CHECK(pair.until<wire::BuildDone>().status == CL_SUCCESS);
}

void failed_build_tells_the_log() {
  WorkerPair pair;
  pair.open();
  pair.make_queue(kContext, kQueue);
  create_program(pair, "#error nothing works\n");
  const Built built = build(pair);
  CHECK(built.status == CL_BUILD_PROGRAM_FAILURE && built.device_status == CL_BUILD_ERROR);
  CHECK(built.log.find("nothing works") != built.log.npos && built.kernels == 0);
  create_kernel(pair, "run");
  CHECK(deferred(pair, kKernel) == CL_INVALID_PROGRAM_EXECUTABLE);
}

void dangerous_options_are_refused() {
  WorkerPair pair;
  start(pair);
  const Built refused = build(pair, "-DA=\"a b\" -include /etc/passwd -w");
  CHECK(refused.status == CL_INVALID_BUILD_OPTIONS && refused.device_status == CL_BUILD_ERROR);
  CHECK(refused.log == "Invalid build option: -include\n");
  CHECK(build(pair, "-D 'a").log == "Invalid build options: a quote is not closed\n");
  CHECK(build(pair, "-cl-std=CL1.2").status == CL_SUCCESS);
}

// Every wrong kind of argument: the null driver would abort on the first that it saw.
void arguments_are_judged() {
  WorkerPair pair;
  start(pair);
  CHECK(build(pair).kernels == 2);
  create_kernel(pair, "run");
  create_buffer(pair, kBuffer, 64);
  const std::uint64_t address = 0x4141414141414141;
  for (const std::uint32_t index : {0u, 2u, 3u, 4u}) {
    set_value(pair, index, address);
    CHECK(deferred(pair, kKernel) == CL_INVALID_ARG_VALUE);
  }
  set_value(pair, 1, address);
  CHECK(deferred(pair, kKernel) == CL_INVALID_ARG_SIZE);
  set_value(pair, 6, 1);
  CHECK(deferred(pair, kKernel) == CL_INVALID_ARG_INDEX);
  for (const std::uint32_t index : {1u, 2u, 3u, 4u, 5u}) {
    set_object(pair, index, kBuffer);
    CHECK(deferred(pair, kKernel) == CL_INVALID_ARG_VALUE);
  }
  wire::SetKernelArgSvm svm;
  svm.kernel = kKernel;
  svm.address = address;
  pair.send(svm);
  CHECK(deferred(pair, kKernel) == CL_INVALID_ARG_VALUE);
  wire::SetKernelArgLocal local;
  local.kernel = kKernel;
  local.index = 2;
  local.size = 1 << 20;
  pair.send(local);
  CHECK(deferred(pair, kKernel) == CL_INVALID_ARG_SIZE);
  launch(pair);
  CHECK(deferred(pair, kQueue) == CL_INVALID_KERNEL_ARGS);
}

void confirmed_argument_is_answered() {
  WorkerPair pair;
  start(pair);
  build(pair);
  create_kernel(pair, "run");
  const int value = 3;
  wire::SetKernelArgValue message;
  message.kernel = kKernel;
  message.index = 1;
  message.confirm = 1;
  message.value = std::as_bytes(std::span(&value, 1));
  const std::uint64_t sequence = pair.send(message);
  const auto reply = pair.until<wire::Reply>();
  CHECK(reply.of == sequence && reply.status == CL_SUCCESS);
}

void set_all(WorkerPair& pair) {
  set_object(pair, 0, kBuffer);
  set_value(pair, 1, 5);
  wire::SetKernelArgLocal local;
  local.kernel = kKernel;
  local.index = 2;
  local.size = 64;
  pair.send(local);
  wire::CreateSampler sampler;
  sampler.sampler = 20;
  sampler.context = kContext;
  sampler.addressing_mode = CL_ADDRESS_CLAMP;
  sampler.filter_mode = CL_FILTER_NEAREST;
  pair.send(sampler);
  set_object(pair, 3, 20);
  wire::CreateImage image;
  image.image = 21;
  image.context = kContext;
  image.channel_order = CL_RGBA;
  image.channel_type = CL_UNORM_INT8;
  image.image_type = CL_MEM_OBJECT_IMAGE2D;
  image.extent = {4, 4, 0};
  pair.send(image);
  set_object(pair, 4, 21);
  set_value(pair, 5, std::array<char, 20>{});
}

void kernels_run_and_clones_too() {
  WorkerPair pair;
  start(pair);
  build(pair);
  create_kernel(pair, "run");
  create_buffer(pair, kBuffer, 64);
  set_all(pair);
  launch(pair);
  CHECK(finish(pair) == CL_SUCCESS);
  wire::CloneKernel clone;
  clone.kernel = 30;
  clone.source = kKernel;
  pair.send(clone);
  wire::EnqueueNdRange message;
  message.queue = kQueue;
  message.kernel = 30;
  message.work_dim = 1;
  message.global = {4, 0, 0};
  pair.send(message);
  CHECK(finish(pair) == CL_SUCCESS);
}

// The driver would follow the handle of a buffer that the client released.
void released_argument_stops_the_launch() {
  WorkerPair pair;
  start(pair);
  build(pair);
  create_kernel(pair, "run");
  create_buffer(pair, kBuffer, 64);
  set_all(pair);
  wire::Release release;
  release.target = kBuffer;
  pair.send(release);
  launch(pair);
  CHECK(deferred(pair, kQueue) == CL_INVALID_KERNEL_ARGS);
  CHECK(finish(pair) == CL_INVALID_KERNEL_ARGS);
  CHECK(finish(pair) == CL_SUCCESS);
}

void image_round_trip() {
  WorkerPair pair;
  pair.open();
  pair.make_queue(kContext, kQueue);
  wire::CreateImage image;
  image.image = 10;
  image.context = kContext;
  image.channel_order = CL_RGBA;
  image.channel_type = CL_UNORM_INT8;
  image.image_type = CL_MEM_OBJECT_IMAGE2D;
  image.extent = {4, 3, 0};
  image.confirm = 1;
  pair.send(image);
  CHECK(pair.until<wire::Reply>().status == CL_SUCCESS);
  CHECK(pair.gpu().used == 4 * 3 * 4);
  std::vector<std::byte> pixels(2 * 2 * 4);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::byte>(i + 1);
  wire::WriteImage write;
  write.queue = kQueue;
  write.image = 10;
  write.origin = {2, 1, 0};
  write.region = {2, 2, 1};
  pair.send(write, pixels);
  wire::ReadImage read;
  read.queue = kQueue;
  read.image = 10;
  read.origin = {2, 1, 0};
  read.region = {2, 2, 1};
  read.blocking = 1;
  pair.send(read);
  CHECK(pair.until<wire::ReadDone>().status == CL_SUCCESS);
  CHECK(pair.bulk() == pixels);
  read.region = {3, 2, 1};
  pair.send(read);
  CHECK(pair.until<wire::ReadDone>().status == CL_INVALID_VALUE);
}

void image_past_the_lease() {
  WorkerPair pair;
  pair.open();
  pair.make_queue(kContext, kQueue);
  wire::CreateImage image;
  image.image = 10;
  image.context = kContext;
  image.channel_order = CL_RGBA;
  image.channel_type = CL_FLOAT;
  image.image_type = CL_MEM_OBJECT_IMAGE2D;
  image.extent = {1024, 1024, 0};
  image.confirm = 1;
  pair.send(image);
  CHECK(pair.until<wire::Reply>().status == CL_MEM_OBJECT_ALLOCATION_FAILURE);
  CHECK(pair.gpu().used == 0);
}

std::uint64_t allocate(WorkerPair& pair, std::uint64_t size) {
  wire::SvmAlloc message;
  message.context = kContext;
  message.flags = CL_MEM_READ_WRITE;
  message.size = size;
  pair.send(message);
  const auto reply = pair.until<wire::Reply>();
  return reply.status == CL_SUCCESS ? reply.values[0] : 0;
}

void shared_virtual_memory() {
  WorkerPair pair;
  pair.open();
  pair.make_queue(kContext, kQueue);
  const std::uint64_t address = allocate(pair, 64);
  CHECK(address != 0 && pair.gpu().used == 64);
  CHECK(allocate(pair, kLease) == 0);
  const std::vector<std::byte> data(16, std::byte{9});
  wire::SvmWrite write;
  write.queue = kQueue;
  write.address = address + 48;
  pair.send(write, data);
  wire::SvmRead read;
  read.queue = kQueue;
  read.address = address + 48;
  read.size = 16;
  read.blocking = 1;
  pair.send(read);
  CHECK(pair.until<wire::ReadDone>().status == CL_SUCCESS && pair.bulk() == data);
  // One byte beyond, and anywhere else.
  read.size = 17;
  pair.send(read);
  CHECK(pair.until<wire::ReadDone>().status == CL_INVALID_VALUE);
  read.address = 0x1000;
  pair.send(read);
  CHECK(pair.until<wire::ReadDone>().status == CL_INVALID_VALUE);
  wire::SvmFree free;
  free.context = kContext;
  free.address = address;
  pair.send(free);
  CHECK(finish(pair) == CL_SUCCESS && pair.gpu().used == 0);
  pair.send(free);
  CHECK(pair.end_reason().find("no allocation") != std::string::npos);
}

// A buffer over an allocation keeps its memory, and its charge.
void buffer_over_shared_memory() {
  WorkerPair pair;
  pair.open();
  pair.make_queue(kContext, kQueue);
  const std::uint64_t address = allocate(pair, 4096);
  wire::CreateBuffer create;
  create.buffer = kBuffer;
  create.context = kContext;
  create.size = 4096;
  create.svm = address;
  pair.send(create);
  wire::SvmFree free;
  free.context = kContext;
  free.address = address;
  pair.send(free);
  CHECK(finish(pair) == CL_SUCCESS && pair.gpu().used == 4096);
  wire::Release release;
  release.target = kBuffer;
  pair.send(release);
  CHECK(finish(pair) == CL_SUCCESS && pair.gpu().used == 0);
}

void binaries() {
  WorkerPair pair;
  start(pair);
  build(pair);
  wire::GetProgramBinary get;
  get.program = kProgram;
  pair.send(get);
  CHECK(pair.until<wire::Reply>().status == CL_SUCCESS);
  const std::vector<std::byte> binary = pair.bulk();
  CHECK(!binary.empty());
  const std::uint32_t device = 0;
  const std::uint64_t size = binary.size();
  wire::CreateProgramWithBinary create;
  create.program = 40;
  create.context = kContext;
  create.devices = std::span(&device, 1);
  create.sizes = std::span(&size, 1);
  pair.send(create, binary);
  const auto reply = pair.until<wire::Reply>();
  CHECK(reply.status == CL_SUCCESS && reply.values.size() == 2);
  CHECK(reply.values[0] == CL_SUCCESS && reply.values[1] == CL_PROGRAM_BINARY_TYPE_EXECUTABLE);
  CHECK(build(pair, "", 40).kernels == 2);
  create.program = 41;
  pair.send(create, std::vector<std::byte>(size, std::byte{1}));
  CHECK(pair.until<wire::Reply>().status == CL_INVALID_BINARY);
  const std::uint64_t wrong = size + 1;
  create.program = 42;
  create.sizes = std::span(&wrong, 1);
  pair.send(create, binary);
  CHECK(pair.end_reason().find("binaries of more bytes") != std::string::npos);
}

// The null driver says the same of every device of a program, whichever it was built for.
void a_build_is_told_of_the_devices_it_was_for() {
  WorkerPair pair(TransportKind::shm, 2);
  start(pair);
  const auto built_for = [&](std::uint32_t device) {
    wire::BuildProgram message;
    message.program = kProgram;
    message.devices = std::span(&device, 1);
    pair.send(message);
    const auto facts = pair.until<wire::KernelFacts>();
    const std::vector<std::uint32_t> kernels(facts.devices.begin(), facts.devices.end());
    const auto done = pair.until<wire::BuildDone>();
    CHECK(done.status == CL_SUCCESS && done.devices.size() == 1 && done.devices[0] == device);
    CHECK(done.build_status.size() == 1 && done.build_status[0] == CL_BUILD_SUCCESS);
    return kernels;
  };
  CHECK((built_for(1) == std::vector<std::uint32_t>{1}));
  // This driver keeps what it has for the other one.
  CHECK((built_for(0) == std::vector<std::uint32_t>{0, 1}));
}

void compile_and_link() {
  WorkerPair pair;
  start(pair);
  wire::CompileProgram compile;
  compile.program = kProgram;
  pair.send(compile);
  CHECK(pair.until<wire::BuildDone>().status == CL_SUCCESS);
  const wire::Id input = kProgram;
  wire::LinkProgram link;
  link.program = 50;
  link.context = kContext;
  link.inputs = std::span(&input, 1);
  pair.send(link);
  CHECK(pair.until<wire::KernelFacts>().name == "run");
  CHECK(pair.until<wire::BuildDone>().status == CL_SUCCESS);
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  build_tells_facts();
  failed_build_tells_the_log();
  dangerous_options_are_refused();
  arguments_are_judged();
  confirmed_argument_is_answered();
  kernels_run_and_clones_too();
  released_argument_stops_the_launch();
  image_round_trip();
  image_past_the_lease();
  shared_virtual_memory();
  buffer_over_shared_memory();
  binaries();
  a_build_is_told_of_the_devices_it_was_for();
  compile_and_link();
}

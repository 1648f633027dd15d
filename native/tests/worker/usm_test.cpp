// SPDX-License-Identifier: Apache-2.0
//
// Unified shared memory, message by message, over the null driver, which aborts on every pointer
// that it did not give out. Run twice: on a device whose memory only its driver sees, and
// (GPU_NULL_PROCESSORS) on one that computes on this machine's processors.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "check.h"
#include "opencl/allocation_kind.h"
#include "opencl/worker/state.h"
#include "worker/programs.h"

namespace tessera::test {
namespace {

constexpr std::uint64_t kSize = 5000;

bool processors() {
  return ::getenv("GPU_NULL_PROCESSORS") != nullptr;
}

wire::UsmAlloc request(AllocationKind kind, std::span<const std::uint32_t> device) {
  wire::UsmAlloc message;
  message.context = kContext;
  message.kind = static_cast<std::uint32_t>(kind);
  message.device = device;
  message.size = kSize;
  return message;
}

constexpr std::array<std::uint32_t, 1> kFirst{0};

struct Answer {
  cl_int status;
  std::uint64_t address = 0;
  bool shared = false;
};

Answer ask(WorkerPair& pair, const wire::UsmAlloc& message) {
  pair.send(message);
  const auto reply = pair.until<wire::Reply>();
  if (reply.status != CL_SUCCESS) return {reply.status};
  CHECK(reply.values.size() == 2 && reply.values[0] != 0);
  return {reply.status, reply.values[0], reply.values[1] != 0};
}

void give_back(WorkerPair& pair, std::uint64_t address) {
  wire::SvmFree free;
  free.context = kContext;
  free.address = address;
  pair.send(free);
}

std::uint64_t page() {
  return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

cl_int write(WorkerPair& pair, std::uint64_t address, std::span<const std::byte> data) {
  wire::SvmWrite message;
  message.queue = kQueue;
  message.address = address;
  pair.send(message, data);
  return finish(pair);
}

cl_int read(WorkerPair& pair, std::uint64_t address, std::uint64_t size) {
  wire::SvmRead message;
  message.queue = kQueue;
  message.address = address;
  message.size = size;
  message.blocking = 1;
  pair.send(message);
  return pair.until<wire::ReadDone>().status;
}

void memory_of_a_device() {
  WorkerPair pair;
  pair.open();
  pair.make_queue(kContext, kQueue);
  const Answer made = ask(pair, request(AllocationKind::device, kFirst));
  CHECK(made.status == CL_SUCCESS && made.shared == processors());
  // What the pages take, where they are shared.
  CHECK(pair.gpu().used == (processors() ? whole_pages(kSize, page()) + page() : kSize));
  const std::vector<std::byte> data(16, std::byte{9});
  CHECK(write(pair, made.address + 100, data) == CL_SUCCESS);
  CHECK(read(pair, made.address + 100, 16) == CL_SUCCESS && pair.bulk() == data);
  // One byte beyond, and anywhere else.
  CHECK(read(pair, made.address + kSize - 15, 16) == CL_INVALID_VALUE);
  CHECK(read(pair, 0x1000, 16) == CL_INVALID_VALUE);
  wire::SvmMemfill fill;
  fill.queue = kQueue;
  fill.address = made.address;
  fill.pattern = data;
  fill.size = 64;
  pair.send(fill);
  CHECK(read(pair, made.address, 16) == CL_SUCCESS && pair.bulk() == data);
  wire::SvmMemcpy copy;
  copy.queue = kQueue;
  copy.destination = made.address + 1024;
  copy.source = made.address;
  copy.size = 16;
  pair.send(copy);
  CHECK(read(pair, made.address + 1024, 16) == CL_SUCCESS && pair.bulk() == data);
  copy.source = 0x1000;
  pair.send(copy);
  CHECK(deferred(pair, kQueue) == CL_INVALID_VALUE);
  give_back(pair, made.address);
  finish(pair);
  CHECK(pair.gpu().used == 0);
  give_back(pair, made.address);
  CHECK(pair.end_reason().find("no allocation") != std::string::npos);
}

void more_than_the_lease_has() {
  WorkerPair pair;
  pair.open();
  pair.make_queue(kContext, kQueue);
  auto message = request(AllocationKind::device, kFirst);
  message.size = kLease + 1;
  CHECK(ask(pair, message).status == CL_OUT_OF_RESOURCES);
  CHECK(pair.gpu().used == 0);
}

// Memory that the program looks at whenever it likes is its own pages, or none.
void memory_that_the_program_sees(AllocationKind kind, TransportKind transport) {
  WorkerPair pair(transport);
  pair.open();
  pair.make_queue(kContext, kQueue);
  const Answer made = ask(pair, request(kind, {}));
  if (!processors() || transport != TransportKind::shm) {
    CHECK(made.status == CL_INVALID_OPERATION);
    return;
  }
  CHECK(made.status == CL_SUCCESS && made.shared && made.address % page() == 0);
  const UniqueFd pages = pair.channel().take_descriptor(made.address);
  CHECK(static_cast<bool>(pages));
  void* const mine = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, pages.get(), 0);
  CHECK(mine != MAP_FAILED);
  std::memset(mine, 7, kSize);
  CHECK(read(pair, made.address + kSize - 1, 1) == CL_SUCCESS && pair.bulk()[0] == std::byte{7});
  const std::vector<std::byte> data(3, std::byte{5});
  CHECK(write(pair, made.address + 10, data) == CL_SUCCESS);
  CHECK(static_cast<const unsigned char*>(mine)[12] == 5);
  // What is freed is not kept by a client that keeps its mapping.
  give_back(pair, made.address);
  CHECK(read(pair, made.address, 1) == CL_INVALID_VALUE);
  CHECK(static_cast<const unsigned char*>(mine)[12] == 0);
  ::munmap(mine, kSize);
}

void wrong_requests() {
  WorkerPair pair;
  pair.open();
  pair.make_queue(kContext, kQueue);
  const auto status = [&](auto&& change) {
    auto message = request(AllocationKind::device, kFirst);
    change(message);
    return ask(pair, message).status;
  };
  CHECK(status([](auto& m) { m.kind = 0; }) == CL_INVALID_VALUE);
  CHECK(status([](auto& m) { m.kind = 9; }) == CL_INVALID_VALUE);
  CHECK(status([](auto& m) { m.alignment = 3; }) == CL_INVALID_VALUE);
  CHECK(status([](auto& m) { m.alignment = 1u << 31; }) == CL_INVALID_VALUE);
  CHECK(status([](auto& m) { m.flags = 1 << 20; }) == CL_INVALID_PROPERTY);
  CHECK(status([](auto& m) { m.flags = CL_MEM_ALLOC_INITIAL_PLACEMENT_HOST_INTEL; }) ==
        CL_INVALID_PROPERTY);
  CHECK(status([](auto& m) { m.size = 0; }) == CL_INVALID_BUFFER_SIZE);
  CHECK(status([](auto& m) { m.size = ~std::uint64_t{0}; }) == CL_INVALID_BUFFER_SIZE);
  CHECK(status([](auto& m) { m.device = {}; }) == CL_INVALID_DEVICE);
  CHECK(pair.gpu().used == 0);
  const std::array<std::uint32_t, 2> two{0, 0};
  pair.send(request(AllocationKind::device, two));
  CHECK(pair.end_reason().find("more than one device") != std::string::npos);
}

void pointers_of_kernels() {
  WorkerPair pair;
  start(pair);
  CHECK(build(pair).kernels == 2);
  create_kernel(pair, "run");
  wire::SetKernelArgPointer set;
  set.kernel = kKernel;
  // Any address is a value, for an argument that is a pointer.
  for (const std::uint64_t address : {std::uint64_t{0}, std::uint64_t{0x4141414141414141}}) {
    set.address = address;
    pair.send(set);
  }
  set.index = 1;
  pair.send(set);
  CHECK(deferred(pair, kKernel) == CL_INVALID_ARG_VALUE);
  wire::SetKernelExecInfo info;
  info.kernel = kKernel;
  info.param = CL_KERNEL_EXEC_INFO_USM_PTRS_INTEL;
  const std::array<std::uint64_t, 1> foreign{0x4141414141414141};
  info.values = foreign;
  pair.send(info);  // means nothing, and does not reach the driver
  info.param = CL_KERNEL_EXEC_INFO_INDIRECT_DEVICE_ACCESS_INTEL;
  pair.send(info);
  info.values = {};
  pair.send(info);
  CHECK(deferred(pair, kKernel) == CL_INVALID_VALUE);
}

void suggested_size() {
  WorkerPair pair;
  start(pair);
  CHECK(build(pair).kernels == 2);
  create_kernel(pair, "none");
  create_kernel(pair, "run", 40);
  wire::GetSuggestedLocalSize message;
  message.queue = kQueue;
  message.kernel = kKernel;
  message.work_dim = 2;
  message.global = {64, 3, 1};
  const auto answer = [&] {
    pair.send(message);
    return pair.until<wire::Reply>();
  };
  const auto reply = answer();
  CHECK(reply.status == CL_SUCCESS && reply.values[0] == 8 && reply.values[1] == 1);
  for (const std::uint32_t dimensions : {0u, 4u}) {
    message.work_dim = dimensions;
    CHECK(answer().status == CL_INVALID_WORK_DIMENSION);
  }
  message.work_dim = 1;
  message.kernel = 40;  // nothing is set
  CHECK(answer().status == CL_INVALID_KERNEL_ARGS);
}

void a_suspend_is_refused_as_long_as_there_is_any() {
  WorkerPair pair;
  pair.open();
  pair.make_queue(kContext, kQueue);
  const Answer made = ask(pair, request(AllocationKind::device, kFirst));
  const auto refusal = [&]() -> std::string {
    try {
      pair.session().check_suspend();
    } catch (const worker::StateError& error) {
      return error.what();
    }
    return {};
  };
  CHECK(refusal().find("unified shared memory") != std::string::npos);
  give_back(pair, made.address);
  finish(pair);
  CHECK(refusal().empty());
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  using tessera::AllocationKind;
  using tessera::TransportKind;
  memory_of_a_device();
  more_than_the_lease_has();
  for (const AllocationKind kind : {AllocationKind::host, AllocationKind::shared}) {
    memory_that_the_program_sees(kind, TransportKind::shm);
    memory_that_the_program_sees(kind, TransportKind::unix_stream);
  }
  wrong_requests();
  pointers_of_kernels();
  suggested_size();
  a_suspend_is_refused_as_long_as_there_is_any();
}

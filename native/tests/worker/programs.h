// SPDX-License-Identifier: Apache-2.0
//
// A program with kernels, message by message, for tests of programs and of launches.
#pragma once

#include "check.h"
#include "worker/worker_pair.h"

namespace tessera::test {

inline constexpr wire::Id kContext = 1, kQueue = 2, kProgram = 3, kKernel = 4, kBuffer = 5;
inline constexpr std::string_view kSource =
    "kernel void run(global float* a, int n, local int* l, sampler_t s, read_only image2d_t i,"
    " struct bytes20 b) {}\n"
    "kernel void none(void) {}\n";

inline std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

inline void create_program(WorkerPair& pair, std::string_view source, wire::Id id = kProgram) {
  wire::CreateProgramWithSource create;
  create.program = id;
  create.context = kContext;
  pair.send(create, bytes(source));
}

struct Built {
  cl_int status;
  cl_int device_status;
  std::size_t kernels;
  std::string log;
};

inline Built build(WorkerPair& pair, std::string_view options = "", wire::Id id = kProgram) {
  wire::BuildProgram message;
  message.program = id;
  message.options = options;
  message.ticket = 7;
  pair.send(message);
  Built built{};
  for (;;) {
    const Arrived arrived = pair.next();
    wire::Decoder in(arrived.fields);
    if (arrived.opcode == wire::Opcode::build_log) {
      built.log.append(reinterpret_cast<const char*>(arrived.bulk.data()), arrived.bulk.size());
    } else if (arrived.opcode == wire::Opcode::kernel_facts) {
      ++built.kernels;
    } else if (arrived.opcode == wire::Opcode::build_done) {
      wire::BuildDone done;
      CHECK(decode(in, done) && done.ticket == 7 && done.program == id);
      built.status = done.status;
      if (!done.build_status.empty()) built.device_status = done.build_status[0];
      return built;
    }
  }
}

inline void create_kernel(WorkerPair& pair, std::string_view name, wire::Id id = kKernel) {
  wire::CreateKernel create;
  create.kernel = id;
  create.program = kProgram;
  create.name = name;
  pair.send(create);
}

inline cl_int finish(WorkerPair& pair) {
  wire::FinishQueue message;
  message.queue = kQueue;
  pair.send(message);
  return pair.until<wire::Reply>().status;
}

inline void launch(WorkerPair& pair) {
  wire::EnqueueNdRange message;
  message.queue = kQueue;
  message.kernel = kKernel;
  message.work_dim = 1;
  message.global = {4, 0, 0};
  pair.send(message);
}

inline void create_buffer(WorkerPair& pair, wire::Id id, std::uint64_t size) {
  wire::CreateBuffer create;
  create.buffer = id;
  create.context = kContext;
  create.size = size;
  pair.send(create);
}

inline void set_object(WorkerPair& pair, std::uint32_t index, wire::Id target) {
  wire::SetKernelArgObject message;
  message.kernel = kKernel;
  message.index = index;
  message.target = target;
  pair.send(message);
}

template <class T>
void set_value(WorkerPair& pair, std::uint32_t index, const T& value) {
  wire::SetKernelArgValue message;
  message.kernel = kKernel;
  message.index = index;
  message.value = std::as_bytes(std::span(&value, 1));
  pair.send(message);
}

inline cl_int deferred(WorkerPair& pair, wire::Id target) {
  const auto error = pair.until<wire::DeferredError>();
  CHECK(error.target == target);
  return error.status;
}

inline void start(WorkerPair& pair) {
  pair.open();
  pair.make_queue(kContext, kQueue);
  create_program(pair, kSource);
}

}  // namespace tessera::test

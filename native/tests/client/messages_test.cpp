// SPDX-License-Identifier: Apache-2.0
//
// What belongs together travels together: initial contents with the creation of their object,
// changed arguments with the launch of their kernel. Each message costs the worker more than its
// bytes do, so messages are counted.
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "client/client_pair.h"
#include "opencl/client/queue.h"

namespace tessera::test {
namespace {

namespace api = client::entry;
using namespace std::chrono_literals;

struct Cost {
  std::uint64_t messages;
  std::uint64_t round_trips;
};

template <class Call>
Cost cost_of(ClientPair& pair, const Call& call) {
  const auto before = pair.session().counters();
  call();
  const auto after = pair.session().counters();
  return {after.messages - before.messages, after.round_trips - before.round_trips};
}

struct Program {
  explicit Program(TransportKind kind) : pair(kind), context(pair.make_context()) {
    queue = api::clCreateCommandQueueWithProperties(context, pair.device(), nullptr, nullptr);
    CHECK(queue != nullptr);
  }
  ~Program() {
    CHECK(api::clReleaseCommandQueue(queue) == CL_SUCCESS);
    CHECK(api::clReleaseContext(context) == CL_SUCCESS);
  }
  ClientPair pair;
  cl_context context;
  cl_command_queue queue;
};

std::vector<std::byte> numbered(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  return bytes;
}

void has_contents(Program& program, cl_mem buffer, const std::vector<std::byte>& expected) {
  std::vector<std::byte> got(expected.size());
  CHECK(api::clEnqueueReadBuffer(program.queue, buffer, CL_TRUE, 0, got.size(), got.data(), 0,
                                 nullptr, nullptr) == CL_SUCCESS);
  CHECK(got == expected);
}

// In the frame, apart from it, copied by the driver and by a command.
void contents_travel_with_their_buffer(TransportKind kind) {
  Program program(kind);
  const std::size_t sizes[] = {1, 4, 4096, 4097, 65536, 65537, kPiece};
  for (const std::size_t size : sizes) {
    std::vector<std::byte> bytes = numbered(size);
    cl_mem buffer = nullptr;
    const Cost cost = cost_of(program.pair, [&] {
      buffer =
          api::clCreateBuffer(program.context, CL_MEM_COPY_HOST_PTR, size, bytes.data(), nullptr);
    });
    CHECK(cost.messages == 1 && cost.round_trips == 0);
    const std::vector<std::byte> expected = bytes;
    bytes.assign(size, std::byte{0});  // the program's own again
    has_contents(program, buffer, expected);
    CHECK(api::clReleaseMemObject(buffer) == CL_SUCCESS);
  }
}

void contents_longer_than_a_message_follow_in_pieces() {
  Program program(TransportKind::shm);
  std::vector<std::byte> bytes = numbered(2 * kPiece + 5);
  cl_mem buffer = nullptr;
  const Cost cost = cost_of(program.pair, [&] {
    buffer = api::clCreateBuffer(program.context, CL_MEM_USE_HOST_PTR, bytes.size(), bytes.data(),
                                 nullptr);
  });
  CHECK(cost.messages == 4 && cost.round_trips == 0);
  has_contents(program, buffer, bytes);
  CHECK(api::clReleaseMemObject(buffer) == CL_SUCCESS);
}

// The lease has no room: the answer is the only message, and the contents came with the question.
void a_creation_that_fails_costs_one_round_trip() {
  Program program(TransportKind::shm);
  std::vector<cl_mem> taken;
  constexpr std::size_t kPart = kLeaseBytes / 4;
  for (int i = 0; i < 4; ++i) {
    taken.push_back(
        api::clCreateBuffer(program.context, CL_MEM_READ_WRITE, kPart, nullptr, nullptr));
    CHECK(taken.back() != nullptr);
  }
  int value = 5;
  cl_int code = CL_SUCCESS;
  const Cost cost = cost_of(program.pair, [&] {
    CHECK(api::clCreateBuffer(program.context, CL_MEM_COPY_HOST_PTR, sizeof value, &value, &code) ==
          nullptr);
  });
  CHECK(code == CL_MEM_OBJECT_ALLOCATION_FAILURE);
  CHECK(cost.messages == 2 && cost.round_trips == 1);  // its release is the second
  for (const cl_mem each : taken) CHECK(api::clReleaseMemObject(each) == CL_SUCCESS);
}

void has_pixels(Program& program, cl_mem image, const std::size_t (&region)[3],
                const std::vector<std::byte>& expected) {
  const std::size_t origin[3] = {0, 0, 0};
  std::vector<std::byte> got(expected.size());
  CHECK(api::clEnqueueReadImage(program.queue, image, CL_TRUE, origin, region, 0, 0, got.data(), 0,
                                nullptr, nullptr) == CL_SUCCESS);
  CHECK(got == expected);
}

// Also from rows that are longer than the image's.
void pixels_travel_with_their_image(TransportKind kind) {
  Program program(kind);
  const cl_image_format format{CL_RGBA, CL_UNSIGNED_INT8};
  const std::size_t sides[] = {3, 64, 300};
  for (const std::size_t side : sides) {
    const std::size_t pitch = side * 4 + 8;
    std::vector<std::byte> padded = numbered(pitch * side);
    std::vector<std::byte> packed;
    for (std::size_t y = 0; y < side; ++y) {
      packed.insert(packed.end(), padded.begin() + static_cast<std::ptrdiff_t>(y * pitch),
                    padded.begin() + static_cast<std::ptrdiff_t>(y * pitch + side * 4));
    }
    cl_image_desc desc{};
    desc.image_type = CL_MEM_OBJECT_IMAGE2D;
    desc.image_width = desc.image_height = side;
    desc.image_row_pitch = pitch;
    cl_mem image = nullptr;
    const Cost cost = cost_of(program.pair, [&] {
      image = api::clCreateImage(program.context, CL_MEM_COPY_HOST_PTR, &format, &desc,
                                 padded.data(), nullptr);
    });
    CHECK(image != nullptr && cost.messages == 1 && cost.round_trips == 0);
    has_pixels(program, image, {side, side, 1}, packed);
    CHECK(api::clReleaseMemObject(image) == CL_SUCCESS);
  }
}

cl_program build(Program& program, const std::string& source) {
  const char* text = source.c_str();
  cl_program made = api::clCreateProgramWithSource(program.context, 1, &text, nullptr, nullptr);
  CHECK(api::clBuildProgram(made, 0, nullptr, "", nullptr, nullptr) == CL_SUCCESS);
  return made;
}

cl_mem buffer_of(Program& program) {
  cl_mem buffer = api::clCreateBuffer(program.context, CL_MEM_READ_WRITE, 64, nullptr, nullptr);
  CHECK(buffer != nullptr);
  return buffer;
}

cl_int launch(cl_command_queue queue, cl_kernel kernel) {
  const std::size_t one = 1;
  return api::clEnqueueNDRangeKernel(queue, kernel, 1, nullptr, &one, nullptr, 0, nullptr, nullptr);
}

template <class T>
void set(cl_kernel kernel, cl_uint index, const T& value) {
  CHECK(api::clSetKernelArg(kernel, index, sizeof value, &value) == CL_SUCCESS);
}

void changed_arguments_travel_with_their_launch(TransportKind kind) {
  Program program(kind);
  const cl_program source =
      build(program, "kernel void run(global int* a, int n, local int* l, struct bytes20 b) {}");
  const cl_kernel kernel = api::clCreateKernel(source, "run", nullptr);
  const cl_mem buffer = buffer_of(program);
  const auto set_all = [&](int number) {
    set(kernel, 0, buffer);
    set(kernel, 1, number);
    CHECK(api::clSetKernelArg(kernel, 2, 64, nullptr) == CL_SUCCESS);
    set(kernel, 3, std::array<char, 20>{});
  };
  CHECK(cost_of(program.pair, [&] { set_all(1); }).messages == 0);
  for (int i = 0; i < 100; ++i) {
    const Cost cost = cost_of(program.pair, [&] {
      set_all(i);
      CHECK(launch(program.queue, kernel) == CL_SUCCESS);
    });
    CHECK(cost.messages == 1 && cost.round_trips == 0);
  }
  // A clone has what its original has, sent or not.
  set(kernel, 1, 100);
  const cl_kernel clone = api::clCloneKernel(kernel, nullptr);
  set(kernel, 1, 101);
  CHECK(launch(program.queue, clone) == CL_SUCCESS);
  CHECK(launch(program.queue, kernel) == CL_SUCCESS);
  CHECK(api::clFinish(program.queue) == CL_SUCCESS);
  CHECK(api::clReleaseKernel(clone) == CL_SUCCESS);
  CHECK(api::clReleaseMemObject(buffer) == CL_SUCCESS);
  CHECK(api::clReleaseKernel(kernel) == CL_SUCCESS);
  CHECK(api::clReleaseProgram(source) == CL_SUCCESS);
}

// A clone of a kernel that was never launched: the worker has none of its arguments.
void a_clone_brings_what_its_original_did_not() {
  Program program(TransportKind::shm);
  const cl_program source = build(program, "kernel void run(global int* a, int n) {}");
  const cl_kernel kernel = api::clCreateKernel(source, "run", nullptr);
  const cl_mem buffer = buffer_of(program);
  set(kernel, 0, buffer);
  set(kernel, 1, 5);
  const cl_kernel clone = api::clCloneKernel(kernel, nullptr);
  for (const cl_kernel each : {clone, kernel}) {
    CHECK(launch(program.queue, each) == CL_SUCCESS);
    CHECK(api::clFinish(program.queue) == CL_SUCCESS);
    CHECK(api::clReleaseKernel(each) == CL_SUCCESS);
  }
  CHECK(api::clReleaseMemObject(buffer) == CL_SUCCESS);
  CHECK(api::clReleaseProgram(source) == CL_SUCCESS);
}

// Sixty-four arguments and 2 KiB of values fit a launch; what is more goes before it.
void many_and_long_arguments_reach_the_worker() {
  Program program(TransportKind::shm);
  std::string many = "kernel void many(global int* a0";
  for (int i = 1; i < 100; ++i) many += ", global int* a" + std::to_string(i);
  const cl_program source =
      build(program, many +
                         ") {}\nkernel void big(struct bytes1000 a, struct bytes1000 b, struct "
                         "bytes1000 c) {}\n");
  const cl_kernel kernel = api::clCreateKernel(source, "many", nullptr);
  const cl_mem buffer = buffer_of(program);
  for (cl_uint i = 0; i < 100; ++i) set(kernel, i, buffer);
  CHECK(cost_of(program.pair, [&] { launch(program.queue, kernel); }).messages == 1 + 36);
  CHECK(api::clFinish(program.queue) == CL_SUCCESS);
  const cl_kernel big = api::clCreateKernel(source, "big", nullptr);
  for (cl_uint i = 0; i < 3; ++i) set(big, i, std::array<char, 1000>{});
  CHECK(cost_of(program.pair, [&] { launch(program.queue, big); }).messages == 1 + 1);
  CHECK(api::clFinish(program.queue) == CL_SUCCESS);
  // One of those that go before has gone itself.
  const cl_mem other = buffer_of(program);
  for (cl_uint i = 0; i < 100; ++i) set(kernel, i, i == 99 ? other : nullptr);
  CHECK(api::clReleaseMemObject(other) == CL_SUCCESS);
  CHECK(launch(program.queue, kernel) == CL_INVALID_KERNEL_ARGS);
  set(kernel, 99, buffer);
  CHECK(launch(program.queue, kernel) == CL_SUCCESS);
  CHECK(api::clFinish(program.queue) == CL_SUCCESS);
  CHECK(api::clReleaseKernel(big) == CL_SUCCESS);
  CHECK(api::clReleaseKernel(kernel) == CL_SUCCESS);
  CHECK(api::clReleaseMemObject(buffer) == CL_SUCCESS);
  CHECK(api::clReleaseProgram(source) == CL_SUCCESS);
}

// A kernel keeps nothing alive: what its arguments name may be gone when it is launched, and then
// that launch fails and nothing else.
void an_argument_may_be_released_before_the_launch() {
  Program program(TransportKind::shm);
  const cl_program source = build(program, "kernel void run(global int* a, sampler_t s) {}");
  const cl_kernel kernel = api::clCreateKernel(source, "run", nullptr);
  for (int round = 0; round < 3; ++round) {
    const cl_mem buffer = buffer_of(program);
    const cl_sampler sampler = api::clCreateSampler(program.context, CL_FALSE, CL_ADDRESS_CLAMP,
                                                    CL_FILTER_NEAREST, nullptr);
    set(kernel, 0, buffer);
    set(kernel, 1, sampler);
    if (round == 0) CHECK(api::clReleaseMemObject(buffer) == CL_SUCCESS);
    if (round == 1) CHECK(api::clReleaseSampler(sampler) == CL_SUCCESS);
    CHECK(launch(program.queue, kernel) == CL_SUCCESS);
    CHECK(api::clFinish(program.queue) == (round == 2 ? CL_SUCCESS : CL_INVALID_KERNEL_ARGS));
    if (round != 0) CHECK(api::clReleaseMemObject(buffer) == CL_SUCCESS);
    if (round != 1) CHECK(api::clReleaseSampler(sampler) == CL_SUCCESS);
  }
  CHECK(!program.pair.session().lost());
  CHECK(api::clReleaseKernel(kernel) == CL_SUCCESS);
  CHECK(api::clReleaseProgram(source) == CL_SUCCESS);
}

// Whichever launch is first in the channel has to bring the arguments. The first is held back when
// it has taken them, on its way into its queue: the second must not overtake it without them.
void two_threads_launch_one_kernel(TransportKind kind) {
  Program program(kind);
  const cl_program source = build(program, "kernel void run(global int* a, int n) {}");
  const cl_kernel kernel = api::clCreateKernel(source, "run", nullptr);
  const cl_mem buffer = buffer_of(program);
  const cl_command_queue other = api::clCreateCommandQueueWithProperties(
      program.context, program.pair.device(), nullptr, nullptr);
  for (int round = 0; round < 3; ++round) {
    set(kernel, 0, buffer);
    set(kernel, 1, round);
    std::unique_lock held_back(client::require<client::Queue>(program.queue).order());
    std::thread first([&] { CHECK(launch(program.queue, kernel) == CL_SUCCESS); });
    std::this_thread::sleep_for(20ms);
    std::thread second([&] { CHECK(launch(other, kernel) == CL_SUCCESS); });
    std::this_thread::sleep_for(20ms);
    held_back.unlock();
    first.join();
    second.join();
    CHECK(api::clFinish(other) == CL_SUCCESS);
    CHECK(api::clFinish(program.queue) == CL_SUCCESS);
  }
  CHECK(api::clReleaseCommandQueue(other) == CL_SUCCESS);
  CHECK(api::clReleaseKernel(kernel) == CL_SUCCESS);
  CHECK(api::clReleaseMemObject(buffer) == CL_SUCCESS);
  CHECK(api::clReleaseProgram(source) == CL_SUCCESS);
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  for (const auto kind : kAllKinds) {
    contents_travel_with_their_buffer(kind);
    pixels_travel_with_their_image(kind);
    changed_arguments_travel_with_their_launch(kind);
    two_threads_launch_one_kernel(kind);
  }
  a_clone_brings_what_its_original_did_not();
  many_and_long_arguments_reach_the_worker();
  an_argument_may_be_released_before_the_launch();
  contents_longer_than_a_message_follow_in_pieces();
  a_creation_that_fails_costs_one_round_trip();
}

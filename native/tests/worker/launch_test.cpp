// SPDX-License-Identifier: Apache-2.0
//
// The arguments that a launch brings, message by message, over the null driver, which aborts on
// every handle that it did not give out.
#include "worker/programs.h"

namespace tessera::test {
namespace {

// What one launch brings: an argument of each kind, in the order of the kernel's.
struct Brought {
  std::vector<std::uint32_t> indices{0, 1, 2, 3, 4, 5};
  std::vector<std::uint32_t> kinds{1, 0, 2, 1, 1, 0};
  std::vector<std::uint64_t> numbers{kBuffer, 4, 64, 20, 21, 20};
  std::vector<std::byte> values = std::vector<std::byte>(24, std::byte{7});

  wire::EnqueueNdRange message() const {
    wire::EnqueueNdRange message;
    message.queue = kQueue;
    message.kernel = kKernel;
    message.work_dim = 1;
    message.global = {4, 0, 0};
    message.arg_indices = indices;
    message.arg_kinds = kinds;
    message.arg_numbers = numbers;
    message.arg_values = values;
    return message;
  }
};

// A kernel without arguments, and what they may name.
void start_bringing(WorkerPair& pair) {
  start(pair);
  build(pair);
  create_kernel(pair, "run");
  create_kernel(pair, "run", 40);
  create_buffer(pair, kBuffer, 64);
  wire::CreateSampler sampler;
  sampler.sampler = 20;
  sampler.context = kContext;
  sampler.addressing_mode = CL_ADDRESS_CLAMP;
  sampler.filter_mode = CL_FILTER_NEAREST;
  pair.send(sampler);
  wire::CreateImage image;
  image.image = 21;
  image.context = kContext;
  image.channel_order = CL_RGBA;
  image.channel_type = CL_UNORM_INT8;
  image.image_type = CL_MEM_OBJECT_IMAGE2D;
  image.extent = {4, 4, 0};
  pair.send(image);
}

void launches_bring_arguments() {
  WorkerPair pair;
  start_bringing(pair);
  launch(pair);
  CHECK(finish(pair) == CL_INVALID_KERNEL_ARGS);
  pair.send(Brought().message());
  CHECK(finish(pair) == CL_SUCCESS);
  // They stay set.
  launch(pair);
  CHECK(finish(pair) == CL_SUCCESS);
  // NULL, by the name of no object and of no address.
  for (const std::uint32_t kind : {1u, 3u}) {
    const Brought null{.indices = {0}, .kinds = {kind}, .numbers = {0}, .values = {}};
    pair.send(null.message());
    CHECK(finish(pair) == CL_SUCCESS);
  }
}

// They are set also when the launch itself fails: the client says them once.
void a_launch_that_fails_has_brought_its_arguments() {
  WorkerPair pair;
  start_bringing(pair);
  const Brought brought;
  wire::EnqueueNdRange message = brought.message();
  message.work_dim = 4;
  pair.send(message);
  CHECK(finish(pair) != CL_SUCCESS);
  launch(pair);
  CHECK(finish(pair) == CL_SUCCESS);
}

// What they name may have been released since: only that launch fails, as if it had been released
// right after it was set.
void launches_may_name_what_is_gone() {
  for (const std::uint32_t kind : {1u, 3u}) {
    WorkerPair pair;
    start_bringing(pair);
    pair.send(Brought().message());
    CHECK(finish(pair) == CL_SUCCESS);
    const Brought gone{.indices = {0}, .kinds = {kind}, .numbers = {0x4141'4141}, .values = {}};
    pair.send(gone.message());
    CHECK(deferred(pair, kQueue) == CL_INVALID_KERNEL_ARGS);
    CHECK(finish(pair) == CL_INVALID_KERNEL_ARGS);
    launch(pair);  // not with the argument of before
    CHECK(finish(pair) == CL_INVALID_KERNEL_ARGS);
    set_object(pair, 0, kBuffer);
    launch(pair);
    CHECK(finish(pair) == CL_SUCCESS);
  }
}

// A wrong argument is told as by its own message, and stops the launch.
void brought_arguments_are_judged() {
  struct Case {
    std::uint32_t index, kind;
    std::uint64_t number;
    cl_int status;
  };
  const Case cases[] = {{6, 2, 64, CL_INVALID_ARG_INDEX},     {0, 0, 4, CL_INVALID_ARG_VALUE},
                        {1, 0, 3, CL_INVALID_ARG_SIZE},       {1, 1, kBuffer, CL_INVALID_ARG_VALUE},
                        {2, 2, 1 << 20, CL_INVALID_ARG_SIZE}, {3, 1, kBuffer, CL_INVALID_ARG_VALUE},
                        {4, 3, 0x4141, CL_INVALID_ARG_VALUE}, {4, 1, 0, CL_INVALID_ARG_VALUE}};
  for (const Case& each : cases) {
    WorkerPair pair;
    start_bringing(pair);
    pair.send(Brought().message());
    CHECK(finish(pair) == CL_SUCCESS);
    const Brought wrong{.indices = {each.index},
                        .kinds = {each.kind},
                        .numbers = {each.number},
                        .values = std::vector<std::byte>(each.kind == 0 ? each.number : 0)};
    pair.send(wrong.message());
    CHECK(deferred(pair, kKernel) == each.status);
    CHECK(deferred(pair, kQueue) == each.status);
    CHECK(finish(pair) == each.status);
  }
}

void broken_lists_of_arguments_end_the_session() {
  const auto ends = [](std::string_view reason, const auto& breaks) {
    WorkerPair pair;
    start_bringing(pair);
    Brought brought;
    breaks(brought);
    pair.send(brought.message());
    CHECK(pair.end_reason().find(reason) != std::string::npos);
  };
  ends("a part of an argument", [](Brought& brought) { brought.kinds.pop_back(); });
  ends("a part of an argument", [](Brought& brought) { brought.numbers.push_back(1); });
  ends("an argument of no kind", [](Brought& brought) { brought.kinds[2] = 5; });
  ends("longer than its bytes", [](Brought& brought) { brought.numbers[5] = 21; });
  ends("longer than its bytes", [](Brought& brought) { brought.numbers[1] = UINT64_MAX; });
  ends("bytes of no argument", [](Brought& brought) { brought.values.push_back({}); });
  ends("a queue as a kernel's argument", [](Brought& brought) { brought.numbers[0] = kQueue; });
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  launches_bring_arguments();
  a_launch_that_fails_has_brought_its_arguments();
  launches_may_name_what_is_gone();
  brought_arguments_are_judged();
  broken_lists_of_arguments_end_the_session();
}

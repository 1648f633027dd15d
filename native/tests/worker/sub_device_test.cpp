// SPDX-License-Identifier: Apache-2.0
//
// Sub-devices, message by message. The null driver frees one at its last release, whatever uses it,
// and aborts when it is used afterwards.
#include <algorithm>
#include <array>
#include <string_view>

#include "opencl/null/objects.h"
#include "opencl/sub_device.h"
#include "worker/hand_arbiter.h"
#include "worker/suspending.h"

namespace tessera::test {
namespace {

constexpr wire::Id kPartition = 10, kOther = 11;
constexpr std::uint32_t kFirst = kFirstSubDevice;
constexpr std::array<std::uint64_t, 1> kByOne{1};

wire::CreateSubDevices four_parts(wire::Id id = kPartition, std::uint32_t first = kFirst) {
  wire::CreateSubDevices message;
  message.partition = id;
  message.scheme = CL_DEVICE_PARTITION_EQUALLY;
  message.values = kByOne;
  message.first = first;
  message.count = 4;
  return message;
}

cl_int create(WorkerPair& pair, const wire::CreateSubDevices& message) {
  const std::uint64_t sequence = pair.send(message);
  const auto reply = pair.until<wire::Reply>();
  CHECK(reply.of == sequence);
  return reply.status;
}

// The four parts, a context of two of them, and a queue on the second.
void begin_on_parts(WorkerPair& pair) {
  pair.open();
  CHECK(create(pair, four_parts()) == CL_SUCCESS);
  const std::array<std::uint32_t, 2> devices{kFirst + 1, kFirst + 2};
  wire::CreateContext context;
  context.context = kContext;
  context.devices = devices;
  pair.send(context);
  wire::CreateQueue queue;
  queue.queue = kQueue;
  queue.context = kContext;
  queue.device = kFirst + 2;
  pair.send(queue);
}

std::vector<std::byte> fact(const wire::SubDeviceFacts& facts, cl_device_info what) {
  const auto at = std::ranges::find(facts.params, what);
  if (at == facts.params.end()) return {};
  const auto value = facts.values[static_cast<std::size_t>(at - facts.params.begin())];
  return {value.begin(), value.end()};
}

void facts_come_before_the_answer() {
  WorkerPair pair;
  pair.open();
  const std::uint64_t sequence = pair.send(four_parts());
  const cl_uint one = 1;
  const auto bytes = std::as_bytes(std::span(&one, 1));
  for (std::uint32_t place = 0; place < 4; ++place) {
    const auto facts = pair.until<wire::SubDeviceFacts>();
    CHECK(facts.partition == kPartition && facts.place == place);
    CHECK(std::ranges::equal(fact(facts, CL_DEVICE_MAX_COMPUTE_UNITS), bytes));
    CHECK(!fact(facts, CL_DEVICE_PARTITION_TYPE).empty());
    // What is the same is not told.
    CHECK(fact(facts, CL_DEVICE_NAME).empty() && facts.params.size() < 8);
  }
  const auto reply = pair.until<wire::Reply>();
  CHECK(reply.of == sequence && reply.status == CL_SUCCESS);
  CHECK(reply.values.size() == 1 && reply.values[0] == 4);
}

void only_the_schemes_of_the_standard_are_announced() {
  WorkerPair pair;
  pair.send(wire::OpenSession());
  const auto snapshot = pair.until<wire::DeviceSnapshot>();
  const auto at = std::ranges::find(snapshot.params, CL_DEVICE_PARTITION_PROPERTIES);
  CHECK(at != snapshot.params.end());
  const auto value = snapshot.values[static_cast<std::size_t>(at - snapshot.params.begin())];
  const std::array<cl_device_partition_property, 2> known{CL_DEVICE_PARTITION_EQUALLY,
                                                          CL_DEVICE_PARTITION_BY_COUNTS};
  CHECK(std::ranges::equal(value, std::as_bytes(std::span(known))));
}

void counting_makes_nothing() {
  WorkerPair pair;
  pair.open();
  const std::size_t before = null::live_handles();
  wire::CountSubDevices message;
  message.scheme = CL_DEVICE_PARTITION_EQUALLY;
  message.values = kByOne;
  pair.send(message);
  const auto reply = pair.until<wire::Reply>();
  CHECK(reply.status == CL_SUCCESS && reply.values.size() == 1 && reply.values[0] == 4);
  CHECK(null::live_handles() == before);
}

void what_a_driver_might_take_is_refused() {
  WorkerPair pair;
  pair.open();
  const auto status_of = [&](std::uint64_t scheme, std::span<const std::uint64_t> values) {
    wire::CreateSubDevices message = four_parts();
    message.scheme = scheme;
    message.values = values;
    const cl_int status = create(pair, message);
    release(pair, kPartition);
    return status;
  };
  using List = std::vector<std::uint64_t>;
  CHECK(status_of(CL_DEVICE_PARTITION_EQUALLY, List{0}) == CL_INVALID_VALUE);
  CHECK(status_of(CL_DEVICE_PARTITION_EQUALLY, List{5}) == CL_INVALID_VALUE);
  CHECK(status_of(CL_DEVICE_PARTITION_EQUALLY, List{1, 1}) == CL_INVALID_VALUE);
  CHECK(status_of(CL_DEVICE_PARTITION_EQUALLY, List{}) == CL_INVALID_VALUE);
  CHECK(status_of(CL_DEVICE_PARTITION_EQUALLY, List{std::uint64_t{1} << 32}) == CL_INVALID_VALUE);
  for (const List& counts : {List{}, List{0}, List{5}, List{3, 2}, List{~std::uint64_t{0}, 2}}) {
    CHECK(status_of(CL_DEVICE_PARTITION_BY_COUNTS, counts) == CL_INVALID_DEVICE_PARTITION_COUNT);
  }
  CHECK(status_of(CL_DEVICE_PARTITION_BY_AFFINITY_DOMAIN, List{3}) == CL_INVALID_VALUE);
  CHECK(status_of(CL_DEVICE_PARTITION_BY_NAMES_INTEL, List{0}) == CL_INVALID_VALUE);
  CHECK(status_of(CL_DEVICE_PARTITION_BY_COUNTS, List{3, 1}) == CL_SUCCESS);
  wire::CreateSubDevices few = four_parts();
  few.count = 3;
  CHECK(create(pair, few) == CL_INVALID_VALUE);
}

void they_go_with_the_last_context() {
  const std::size_t before = null::live_handles();
  {
    WorkerPair pair;
    begin_on_parts(pair);
    create_buffer(pair, kBuffer, 4096);
    const auto bytes = pattern(4096);
    write(pair, kBuffer, bytes);
    // No client does so: its contexts hold them.
    release(pair, kPartition);
    CHECK(read(pair, kBuffer, 4096) == bytes);
    for (const wire::Id id : {kBuffer, kQueue, kContext}) release(pair, id);
    settle(pair);
    CHECK(null::live_handles() == before);
  }
}

void memory_is_charged_once() {
  WorkerPair pair;
  pair.open();
  CHECK(create(pair, four_parts()) == CL_SUCCESS);
  const std::array<std::uint32_t, 3> devices{0, kFirst, kFirst + 3};
  wire::CreateContext context;
  context.context = kContext;
  context.devices = devices;
  pair.send(context);
  create_buffer(pair, kBuffer, 4096);
  settle(pair);
  CHECK(pair.gpu().used == 4096);
}

void commands_pass_the_gate_of_the_whole() {
  HandArbiter gpu;
  WorkerPair::Gates gates;
  gates.push_back(gpu.gate());
  {
    WorkerPair pair(TransportKind::shm, 1, std::move(gates));
    gpu.grant(kNoEnd, false);
    begin_on_parts(pair);
    create_buffer(pair, kBuffer, 4096);
    CHECK(finished(pair) == CL_SUCCESS);
    gpu.count_anew();
    gpu.take_back();
    write(pair, kBuffer, pattern(4096));
    const std::uint64_t asked = finish(pair);
    eventually([&] { return gpu.seat().wants.load() == 1; });
    CHECK(pair.quiet() && gpu.commands() == 0);
    gpu.grant(kNoEnd, false);
    CHECK(pair.until<wire::Reply>().of == asked);
    eventually([&] { return gpu.commands() == 1; });
  }
}

void there_is_a_most_of_them() {
  WorkerPair pair;
  pair.open();
  const std::uint32_t most = kMaxSubDevices / 4;
  for (std::uint32_t i = 0; i < most; ++i) {
    CHECK(create(pair, four_parts(100 + i, kFirst + 4 * i)) == CL_SUCCESS);
  }
  const std::uint32_t next = kFirst + 4 * most;
  CHECK(create(pair, four_parts(kOther, next)) == CL_OUT_OF_HOST_MEMORY);
  release(pair, kOther);
  release(pair, 100);
  CHECK(create(pair, four_parts(kOther, next)) == CL_SUCCESS);
}

template <class Hostile>
void ends(std::string_view reason, Hostile hostile) {
  WorkerPair pair;
  begin_on_parts(pair);
  hostile(pair);
  const std::string ended = pair.end_reason();
  if (ended.find(reason) == ended.npos) {
    ::fprintf(stderr, "ended by '%s', not '%s'\n", ended.c_str(), std::string(reason).c_str());
    ::abort();
  }
}

void hostile_numbers() {
  const auto on = [](std::uint32_t number) {
    return [number](WorkerPair& pair) {
      const std::array<std::uint32_t, 1> devices{number};
      wire::CreateContext message;
      message.context = 20;
      message.devices = devices;
      pair.send(message);
    };
  };
  for (const std::uint32_t number : {1u, 40u, kFirst - 1, kFirst + 4, ~0u}) {
    ends("which is not there", on(number));
  }
  ends("which is not there", [&](WorkerPair& pair) {
    release(pair, kPartition);
    on(kFirst)(pair);
  });
  for (const std::uint32_t first : {kFirst, kFirst + 3, kFirst - 1, 0u}) {
    const bool taken = first >= kFirst;
    ends(taken ? "the number of another" : "whose numbers or units do not fit",
         [&](WorkerPair& pair) { pair.send(four_parts(kOther, first)); });
  }
  ends("whose numbers or units", [](WorkerPair& pair) { pair.send(four_parts(kOther, ~0u)); });
  ends("whose numbers or units", [](WorkerPair& pair) {
    wire::CreateSubDevices message = four_parts(kOther, kFirst + 4);
    message.count = kMaxSubDevices + 1;
    pair.send(message);
  });
  ends("more devices than there can be", [](WorkerPair& pair) {
    const std::vector<std::uint32_t> devices(kMaxSubDevices + 2);
    wire::CreateContext message;
    message.context = 20;
    message.devices = devices;
    pair.send(message);
  });
  ends("is taken", [](WorkerPair& pair) { pair.send(four_parts(kPartition, kFirst + 4)); });
  ends("is a partition of a device", [](WorkerPair& pair) {
    wire::FinishQueue message;
    message.queue = kPartition;
    pair.send(message);
  });
  // A device of the lease, and a part of it, that the context does not have.
  for (const std::uint32_t number : {0u, kFirst}) {
    WorkerPair pair;
    begin_on_parts(pair);
    wire::CreateQueue message;
    message.queue = 20;
    message.context = kContext;
    message.device = number;
    pair.send(message);
    const auto error = pair.until<wire::DeferredError>();
    CHECK(error.target == 20 && error.status == CL_INVALID_DEVICE);
  }
}

void a_range_may_not_reach_into_another() {
  WorkerPair pair;
  pair.open();
  CHECK(create(pair, four_parts(kPartition, kFirst + 8)) == CL_SUCCESS);
  CHECK(create(pair, four_parts(kOther, kFirst + 4)) == CL_SUCCESS);
  pair.send(four_parts(30, kFirst + 2));
  CHECK(pair.end_reason().find("the number of another") != std::string::npos);
}

void a_session_on_parts_comes_back(bool released) {
  WorkerPair pair;
  begin_on_parts(pair);
  create_buffer(pair, kBuffer, 4096);
  const auto bytes = pattern(4096);
  write(pair, kBuffer, bytes);
  if (released) release(pair, kPartition);
  settle(pair);
  suspend(pair);
  CHECK(pair.gpu().used == 0);
  resume(pair);
  CHECK(read(pair, kBuffer, 4096) == bytes);
  if (released) return;
  // They are numbered as before, and others are not.
  const std::array<std::uint32_t, 1> devices{kFirst + 3};
  wire::CreateContext context;
  context.context = 20;
  context.devices = devices;
  pair.send(context);
  settle(pair);
  CHECK(create(pair, four_parts(kOther, kFirst + 4)) == CL_SUCCESS);
}

// One that could not be made names parts all the same.
void failed_objects_come_back() {
  WorkerPair pair(TransportKind::shm, 2);
  pair.open();
  CHECK(create(pair, four_parts()) == CL_SUCCESS);
  wire::CreateSubDevices refused = four_parts(kOther, kFirst + 4);
  refused.parent = 1;
  CHECK(create(pair, refused) != CL_SUCCESS);
  wire::CreateContext context;
  context.context = kContext;
  pair.send(context);
  CHECK(pair.until<wire::DeferredError>().target == kContext);
  settle(pair);
  suspend(pair);
  resume(pair);
  settle(pair);
  release(pair, kOther);
  release(pair, kPartition);
  settle(pair);
}

worker::Device null_device(std::size_t index) {
  worker::Device device{};
  std::array<cl_device_id, 2> ids{};
  CHECK(clGetPlatformIDs(1, &device.platform, nullptr) == CL_SUCCESS);
  CHECK(clGetDeviceIDs(device.platform, CL_DEVICE_TYPE_ALL, 2, ids.data(), nullptr) == CL_SUCCESS);
  device.id = ids.at(index);
  return device;
}

void a_device_without_parts_is_refused_and_nothing_is_lost() {
  WorkerPair pair;
  begin_on_parts(pair);
  create_buffer(pair, kBuffer, 4096);
  const auto bytes = pattern(4096);
  write(pair, kBuffer, bytes);
  settle(pair);
  suspend(pair);
  worker::Device other = null_device(1);
  // As large an object as was promised.
  const cl_ulong memory = std::exchange(other.id->memory, null_device(0).id->memory);
  CHECK(error_of([&] { pair.session().resume({other}); }) == worker::state_error::kLacksFeature);
  other.id->memory = memory;
  CHECK(pair.gpu().used == 0);
  resume(pair);
  CHECK(read(pair, kBuffer, 4096) == bytes);
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  facts_come_before_the_answer();
  only_the_schemes_of_the_standard_are_announced();
  counting_makes_nothing();
  what_a_driver_might_take_is_refused();
  they_go_with_the_last_context();
  memory_is_charged_once();
  commands_pass_the_gate_of_the_whole();
  there_is_a_most_of_them();
  hostile_numbers();
  a_range_may_not_reach_into_another();
  a_session_on_parts_comes_back(false);
  a_session_on_parts_comes_back(true);
  failed_objects_come_back();
  a_device_without_parts_is_refused_and_nothing_is_lost();
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

using Property = cl_device_partition_property;
using Part = Handle<cl_device_id, clReleaseDevice>;

constexpr Property kByOne[] = {CL_DEVICE_PARTITION_EQUALLY, 1, 0};
constexpr Property kOneAndOne[] = {CL_DEVICE_PARTITION_BY_COUNTS, 1, 1,
                                   CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0};
constexpr const char* kNumbers =
    "kernel void numbers(global int* to, int more) {"
    "  to[get_global_id(0)] = get_global_id(0) + more; }";

template <class T>
T fact(cl_device_id device, cl_device_info what) {
  T value{};
  OK(clGetDeviceInfo(device, what, sizeof value, &value, nullptr));
  return value;
}

std::vector<Property> list_fact(cl_device_id device, cl_device_info what) {
  std::size_t size = 0;
  OK(clGetDeviceInfo(device, what, 0, nullptr, &size));
  std::vector<Property> list(size / sizeof(Property));
  if (size != 0) OK(clGetDeviceInfo(device, what, size, list.data(), nullptr));
  return list;
}

bool can_partition(const World& w, Property scheme) {
  const auto known = list_fact(w.device, CL_DEVICE_PARTITION_PROPERTIES);
  return std::find(known.begin(), known.end(), scheme) != known.end();
}

void need_partition(const World& w, Property scheme = CL_DEVICE_PARTITION_EQUALLY) {
  if (!can_partition(w, scheme)) throw Skip("the device cannot be partitioned so");
}

void need_two(const World& w) {
  need_partition(w);
  if (device_fact<cl_uint>(w, CL_DEVICE_MAX_COMPUTE_UNITS) < 2) throw Skip("one compute unit");
}

std::vector<Part> parts_of(cl_device_id device, const Property* scheme) {
  cl_uint count = 0;
  OK(clCreateSubDevices(device, scheme, 0, nullptr, &count));
  std::vector<cl_device_id> made(count);
  OK(clCreateSubDevices(device, scheme, count, made.data(), nullptr));
  std::vector<Part> parts;
  for (const cl_device_id part : made) parts.emplace_back(part);
  return parts;
}

// The first two parts of one compute unit each, and what a program has on them.
struct Pair {
  explicit Pair(const World& w) : parts(parts_of(w.device, kByOne)) {
    cl_int e = 1;
    *ctx.out() = clCreateContext(nullptr, 2, devices().data(), nullptr, nullptr, &e);
    OK(e);
    for (Queue* queue : {&first, &second}) {
      *queue->out() = clCreateCommandQueueWithProperties(ctx, parts[queue == &second], nullptr, &e);
      OK(e);
    }
    *buffer.out() = clCreateBuffer(ctx, 0, kBytes, nullptr, &e);
    OK(e);
  }
  std::vector<cl_device_id> devices() const { return {parts[0], parts[1]}; }
  Program program() const {
    const char* text = kNumbers;
    cl_int e = 1;
    Program made(clCreateProgramWithSource(ctx, 1, &text, nullptr, &e));
    OK(e);
    return made;
  }

  std::vector<Part> parts;
  Context ctx;
  Queue first, second;
  Mem buffer;
};

// The last number that the kernel writes there.
cl_int last_number(cl_program program, cl_command_queue queue, cl_mem buffer, cl_int more) {
  cl_int e = 1;
  Kernel kernel(clCreateKernel(program, "numbers", &e));
  OK(e);
  OK(clSetKernelArg(kernel, 0, sizeof buffer, &buffer));
  OK(clSetKernelArg(kernel, 1, sizeof more, &more));
  const std::size_t items = 64;
  OK(clEnqueueNDRangeKernel(queue, kernel, 1, nullptr, &items, nullptr, 0, nullptr, nullptr));
  cl_int numbers[64] = {};
  OK(clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, sizeof numbers, numbers, 0, nullptr, nullptr));
  return numbers[63];
}

cl_build_status build_status(cl_program program, cl_device_id device) {
  cl_build_status status = CL_BUILD_NONE;
  OK(clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_STATUS, sizeof status, &status,
                           nullptr));
  return status;
}

USE(clCreateSubDevices, one_unit_each_and_compute) {
  need_partition(w);
  const auto units = device_fact<cl_uint>(w, CL_DEVICE_MAX_COMPUTE_UNITS);
  const std::vector<Part> parts = parts_of(w.device, kByOne);
  SAME(parts.size(), units);
  SAME(fact<cl_device_id>(parts[0], CL_DEVICE_PARENT_DEVICE), w.device);
  SAME(fact<cl_uint>(parts[0], CL_DEVICE_MAX_COMPUTE_UNITS), 1u);
  cl_int e = 1;
  const cl_device_id part = parts[0];
  Context ctx(clCreateContext(nullptr, 1, &part, nullptr, nullptr, &e));
  OK(e);
  Queue queue(clCreateCommandQueueWithProperties(ctx, part, nullptr, &e));
  OK(e);
  Mem buffer(clCreateBuffer(ctx, 0, 64, nullptr, &e));
  OK(e);
  const cl_uint seven = 7;
  OK(clEnqueueFillBuffer(queue, buffer, &seven, 4, 0, 64, 0, nullptr, nullptr));
  cl_uint got[16] = {};
  OK(clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, 64, got, 0, nullptr, nullptr));
  SAME(got[15], 7u);
}
USE(clCreateSubDevices, by_counts) {
  need_partition(w, CL_DEVICE_PARTITION_BY_COUNTS);
  need_two(w);
  const std::vector<Part> parts = parts_of(w.device, kOneAndOne);
  SAME(parts.size(), 2u);
  THAT(parts[0] != parts[1]);
  for (const Part& part : parts) SAME(fact<cl_uint>(part, CL_DEVICE_MAX_COMPUTE_UNITS), 1u);
}
USE(clCreateSubDevices, tell_how_they_were_made) {
  need_partition(w);
  const std::vector<Part> parts = parts_of(w.device, kByOne);
  THAT(list_fact(parts[0], CL_DEVICE_PARTITION_TYPE) ==
       std::vector<Property>(std::begin(kByOne), std::end(kByOne)));
  SAME(fact<cl_platform_id>(parts[0], CL_DEVICE_PLATFORM), w.platform);
}
USE(clCreateSubDevices, other_facts_are_the_parents) {
  need_partition(w);
  const std::vector<Part> parts = parts_of(w.device, kByOne);
  for (const cl_device_info what : {CL_DEVICE_NAME, CL_DEVICE_VERSION, CL_DEVICE_EXTENSIONS}) {
    SAME(device_text(parts[0], what), device_text(w.device, what));
  }
  for (const cl_device_info what :
       {CL_DEVICE_TYPE, CL_DEVICE_GLOBAL_MEM_SIZE, CL_DEVICE_MAX_MEM_ALLOC_SIZE}) {
    SAME(fact<cl_ulong>(parts[0], what), fact<cl_ulong>(w.device, what));
  }
}
USE(clCreateSubDevices, are_not_listed) {
  need_partition(w);
  const std::vector<Part> parts = parts_of(w.device, kByOne);
  cl_uint count = 0;
  OK(clGetDeviceIDs(w.platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &count));
  std::vector<cl_device_id> listed(count);
  OK(clGetDeviceIDs(w.platform, CL_DEVICE_TYPE_ALL, count, listed.data(), nullptr));
  for (const Part& part : parts) {
    THAT(std::find(listed.begin(), listed.end(), static_cast<cl_device_id>(part)) == listed.end());
  }
}
USE(clCreateSubDevices, queues_tell_their_own) {
  need_two(w);
  const Pair pair(w);
  cl_device_id told = nullptr;
  OK(clGetCommandQueueInfo(pair.second, CL_QUEUE_DEVICE, sizeof told, &told, nullptr));
  SAME(told, pair.devices()[1]);
}
USE(clCreateSubDevices, contexts_tell_their_own) {
  need_two(w);
  const Pair pair(w);
  cl_device_id told[4] = {};
  std::size_t size = 0;
  OK(clGetContextInfo(pair.ctx, CL_CONTEXT_DEVICES, sizeof told, told, &size));
  SAME(size, 2 * sizeof(cl_device_id));
  THAT(told[0] == pair.devices()[0] && told[1] == pair.devices()[1]);
}
USE(clCreateSubDevices, programs_tell_their_own) {
  need_two(w);
  const Pair pair(w);
  const Program program = pair.program();
  cl_device_id told[4] = {};
  std::size_t size = 0;
  OK(clGetProgramInfo(program, CL_PROGRAM_DEVICES, sizeof told, told, &size));
  SAME(size, 2 * sizeof(cl_device_id));
  THAT(told[0] == pair.devices()[0] && told[1] == pair.devices()[1]);
  OK(clBuildProgram(program, 0, nullptr, "", nullptr, nullptr));
  std::size_t sizes[4] = {};
  OK(clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof sizes, sizes, &size));
  SAME(size, 2 * sizeof(std::size_t));
  THAT(sizes[0] != 0 && sizes[1] != 0);
}
USE(clCreateSubDevices, one_program_on_two) {
  need_two(w);
  const Pair pair(w);
  const Program program = pair.program();
  OK(clBuildProgram(program, 2, pair.devices().data(), "", nullptr, nullptr));
  for (const cl_device_id part : pair.devices())
    SAME(build_status(program, part), CL_BUILD_SUCCESS);
  SAME(last_number(program, pair.first, pair.buffer, 1), 64);
  SAME(last_number(program, pair.second, pair.buffer, 2), 65);
}
USE(clCreateSubDevices, a_program_that_fails) {
  need_two(w);
  const Pair pair(w);
  const char* text = "kernel void numbers(global int* to) { to[0] = none_of_that_name; }";
  cl_int e = 1;
  Program program(clCreateProgramWithSource(pair.ctx, 1, &text, nullptr, &e));
  OK(e);
  CODE(clBuildProgram(program, 0, nullptr, "", nullptr, nullptr), CL_BUILD_PROGRAM_FAILURE);
  for (const cl_device_id part : pair.devices()) SAME(build_status(program, part), CL_BUILD_ERROR);
}
USE(clCreateSubDevices, a_build_for_the_whole_serves_the_parts) {
  need_two(w);
  const std::vector<Part> parts = parts_of(w.device, kByOne);
  const cl_device_id devices[] = {w.device, parts[0]};
  cl_int e = 1;
  Context ctx(clCreateContext(nullptr, 2, devices, nullptr, nullptr, &e));
  OK(e);
  Queue queue(clCreateCommandQueueWithProperties(ctx, parts[0], nullptr, &e));
  OK(e);
  Mem buffer(clCreateBuffer(ctx, 0, kBytes, nullptr, &e));
  OK(e);
  const char* text = kNumbers;
  Program program(clCreateProgramWithSource(ctx, 1, &text, nullptr, &e));
  OK(e);
  OK(clBuildProgram(program, 1, &w.device, "", nullptr, nullptr));
  SAME(build_status(program, parts[0]), CL_BUILD_SUCCESS);
  SAME(last_number(program, queue, buffer, 3), 66);
}
USE(clCreateSubDevices, a_binary_of_one) {
  need_partition(w);
  const std::vector<Part> parts = parts_of(w.device, kByOne);
  const cl_device_id part = parts[0];
  cl_int e = 1;
  Context ctx(clCreateContext(nullptr, 1, &part, nullptr, nullptr, &e));
  OK(e);
  const char* text = kNumbers;
  Program source(clCreateProgramWithSource(ctx, 1, &text, nullptr, &e));
  OK(e);
  OK(clBuildProgram(source, 1, &part, "", nullptr, nullptr));
  std::size_t size = 0;
  OK(clGetProgramInfo(source, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, nullptr));
  THAT(size != 0);
  std::vector<unsigned char> binary(size);
  unsigned char* to = binary.data();
  OK(clGetProgramInfo(source, CL_PROGRAM_BINARIES, sizeof to, &to, nullptr));
  const unsigned char* from = binary.data();
  cl_int status = 1;
  Program program(clCreateProgramWithBinary(ctx, 1, &part, &size, &from, &status, &e));
  OK(e);
  OK(status);
  OK(clBuildProgram(program, 1, &part, "", nullptr, nullptr));
  Queue queue(clCreateCommandQueueWithProperties(ctx, part, nullptr, &e));
  OK(e);
  Mem buffer(clCreateBuffer(ctx, 0, kBytes, nullptr, &e));
  OK(e);
  SAME(last_number(program, queue, buffer, 4), 67);
}
USE(clCreateSubDevices, kernels_tell_of_them) {
  need_two(w);
  const Pair pair(w);
  const Program program = pair.program();
  OK(clBuildProgram(program, 0, nullptr, "", nullptr, nullptr));
  cl_int e = 1;
  Kernel kernel(clCreateKernel(program, "numbers", &e));
  OK(e);
  for (const cl_device_id part : pair.devices()) {
    std::size_t most = 0;
    OK(clGetKernelWorkGroupInfo(kernel, part, CL_KERNEL_WORK_GROUP_SIZE, sizeof most, &most,
                                nullptr));
    THAT(most >= 1);
  }
}
FAULT_BODY(clGetKernelWorkGroupInfo, the_whole_of_its_sub_devices) {
  need_two(w);
  const Pair pair(w);
  const Program program = pair.program();
  OK(clBuildProgram(program, 0, nullptr, "", nullptr, nullptr));
  cl_int e = 1;
  Kernel kernel(clCreateKernel(program, "numbers", &e));
  OK(e);
  std::size_t most = 0;
  CODE(clGetKernelWorkGroupInfo(kernel, w.device, CL_KERNEL_WORK_GROUP_SIZE, sizeof most, &most,
                                nullptr),
       CL_INVALID_DEVICE);
}
USE(clCreateSubDevices, wait_for_each_other) {
  need_two(w);
  const Pair pair(w);
  const cl_uint one = 1, two = 2;
  Event gate, filled;
  cl_int e = 1;
  *gate.out() = clCreateUserEvent(pair.ctx, &e);
  OK(e);
  OK(clEnqueueFillBuffer(pair.first, pair.buffer, &one, 4, 0, kBytes, 1, gate.at(), filled.out()));
  OK(clFlush(pair.first));
  OK(clEnqueueFillBuffer(pair.second, pair.buffer, &two, 4, 0, 64, 1, filled.at(), nullptr));
  OK(clFlush(pair.second));
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  cl_uint got[17] = {};
  OK(clEnqueueReadBuffer(pair.second, pair.buffer, CL_TRUE, 0, sizeof got, got, 0, nullptr,
                         nullptr));
  THAT(got[15] == 2 && got[16] == 1);
}
USE(clCreateSubDevices, live_as_long_as_their_context) {
  // Some drivers free them at once, whatever uses them.
  if (!w.tessera) throw Skip("not demanded of the bare device");
  need_two(w);
  Pair pair(w);
  const Program program = pair.program();
  OK(clBuildProgram(program, 0, nullptr, "", nullptr, nullptr));
  pair.parts.clear();
  SAME(last_number(program, pair.second, pair.buffer, 5), 68);
  cl_int e = 1;
  const Part again(parts_of(w.device, kByOne)[0].give_up());
  Queue queue(clCreateCommandQueueWithProperties(pair.ctx, again, nullptr, &e));
  CODE(e, CL_INVALID_DEVICE);
}
USE(clCreateSubDevices, a_single_unit_is_not_partitioned) {
  need_partition(w);
  const std::vector<Part> parts = parts_of(w.device, kByOne);
  if (!list_fact(parts[0], CL_DEVICE_PARTITION_PROPERTIES).empty() &&
      list_fact(parts[0], CL_DEVICE_PARTITION_PROPERTIES)[0] != 0) {
    throw Skip("the driver says that it can be");
  }
  cl_uint count = 0;
  CODE(clCreateSubDevices(parts[0], kByOne, 0, nullptr, &count), CL_DEVICE_PARTITION_FAILED);
}
USE(clCreateSubDevices, only_asks_how_many) {
  need_partition(w);
  cl_uint count = 0;
  OK(clCreateSubDevices(w.device, kByOne, 16, nullptr, &count));
  SAME(count, device_fact<cl_uint>(w, CL_DEVICE_MAX_COMPUTE_UNITS));
}
TABLE_FAULT(clCreateSubDevices, null_device, CL_INVALID_DEVICE,
            (nullptr, kByOne, 0, nullptr, nullptr))
FAULT(clCreateSubDevices, null_properties, CL_INVALID_VALUE,
      (w.device, nullptr, 0, nullptr, nullptr))
FAULT_BODY(clCreateSubDevices, no_property) {
  const Property none[] = {0};
  cl_uint count = 0;
  CODE(clCreateSubDevices(w.device, none, 0, nullptr, &count), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateSubDevices, unknown_property) {
  const Property bad[] = {0x7777, 1, 0};
  cl_uint count = 0;
  CODE(clCreateSubDevices(w.device, bad, 0, nullptr, &count), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateSubDevices, unsupported_scheme) {
  if (can_partition(w, CL_DEVICE_PARTITION_BY_AFFINITY_DOMAIN)) throw Skip("it is supported");
  const Property bad[] = {CL_DEVICE_PARTITION_BY_AFFINITY_DOMAIN, CL_DEVICE_AFFINITY_DOMAIN_NUMA,
                          0};
  cl_uint count = 0;
  CODE(clCreateSubDevices(w.device, bad, 0, nullptr, &count), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateSubDevices, two_values) {
  need_partition(w);
  const Property bad[] = {CL_DEVICE_PARTITION_EQUALLY, 1, 1, 0};
  cl_uint count = 0;
  CODE(clCreateSubDevices(w.device, bad, 0, nullptr, &count), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateSubDevices, list_too_short) {
  need_two(w);
  cl_device_id one = nullptr;
  CODE(clCreateSubDevices(w.device, kByOne, 1, &one, nullptr), CL_INVALID_VALUE);
  SAME(one, static_cast<cl_device_id>(nullptr));
}
FAULT_BODY(clCreateSubDevices, list_without_room) {
  need_partition(w);
  cl_device_id one = nullptr;
  CODE(clCreateSubDevices(w.device, kByOne, 0, &one, nullptr), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateSubDevices, more_units_than_there_are) {
  need_partition(w);
  const Property bad[] = {CL_DEVICE_PARTITION_EQUALLY, 1 << 20, 0};
  cl_uint count = 0;
  CODE(clCreateSubDevices(w.device, bad, 0, nullptr, &count),
       ANY(CL_DEVICE_PARTITION_FAILED, CL_INVALID_VALUE));
}
FAULT_BODY(clCreateSubDevices, counts_past_the_device) {
  need_partition(w, CL_DEVICE_PARTITION_BY_COUNTS);
  const Property bad[] = {CL_DEVICE_PARTITION_BY_COUNTS, 1 << 20,
                          CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0};
  cl_uint count = 0;
  CODE(clCreateSubDevices(w.device, bad, 0, nullptr, &count), CL_INVALID_DEVICE_PARTITION_COUNT);
}
FAULT_BODY(clCreateSubDevices, counts_past_the_device_together) {
  need_partition(w, CL_DEVICE_PARTITION_BY_COUNTS);
  const auto units = static_cast<Property>(device_fact<cl_uint>(w, CL_DEVICE_MAX_COMPUTE_UNITS));
  const Property bad[] = {CL_DEVICE_PARTITION_BY_COUNTS, units, 1,
                          CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0};
  cl_uint count = 0;
  CODE(clCreateSubDevices(w.device, bad, 0, nullptr, &count), CL_INVALID_DEVICE_PARTITION_COUNT);
}
FAULT(clCreateSubDevices, wrong_kind, CL_INVALID_DEVICE,
      (as<cl_device_id>(w.ctx), kByOne, 0, nullptr, nullptr))

USE(clRetainDevice, counts_on_a_sub_device) {
  need_partition(w);
  const std::vector<Part> parts = parts_of(w.device, kByOne);
  const cl_device_id part = parts[0];
  SAME(reference_count(clGetDeviceInfo, part, CL_DEVICE_REFERENCE_COUNT), 1u);
  OK(clRetainDevice(part));
  SAME(reference_count(clGetDeviceInfo, part, CL_DEVICE_REFERENCE_COUNT), 2u);
  OK(clReleaseDevice(part));
  SAME(reference_count(clGetDeviceInfo, part, CL_DEVICE_REFERENCE_COUNT), 1u);
}

}  // namespace
}  // namespace tessera::conformance

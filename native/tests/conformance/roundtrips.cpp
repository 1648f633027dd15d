// SPDX-License-Identifier: Apache-2.0
//
// tessera-roundtrips: holds the number of waits for the worker, call by call.
//
// It needs no clock: the session counts its own round trips, and the extension function
// clGetSessionCountersTESSERA tells them without one. Exit 77 where the platform has no such
// function.
#include "tests/conformance/roundtrips.h"

#include <cstdio>
#include <cstring>
#include <exception>

namespace tessera::conformance {

std::vector<Case>& cases() {
  static std::vector<Case> none;
  return none;
}
const char* bare_deviation(const std::string&) {
  return nullptr;
}

namespace {

using GetCounters = cl_int (*)(cl_platform_id, std::size_t, cl_ulong*);
constexpr std::size_t kCounters = 6;
constexpr std::size_t kMessages = 0;
constexpr std::size_t kRoundTrips = 1;
constexpr int kSkipped = 77;

GetCounters counters_function(cl_platform_id platform) {
  return reinterpret_cast<GetCounters>(
      clGetExtensionFunctionAddressForPlatform(platform, "clGetSessionCountersTESSERA"));
}

cl_ulong counter(GetCounters get, cl_platform_id platform, std::size_t which) {
  if (get == nullptr) return 0;
  cl_ulong values[kCounters] = {};
  OK(get(platform, kCounters, values));
  return values[which];
}

cl_ulong round_trips(GetCounters get, cl_platform_id platform) {
  return counter(get, platform, kRoundTrips);
}

// A quiet moment before each row: nothing of the row before is still on its way.
void settle(World& w) {
  for (const cl_command_queue queue : {cl_command_queue(w.queue), cl_command_queue(w.unordered)}) {
    OK(clFinish(queue));
  }
}

bool hold(World& w, GetCounters get, const CountedCall& row) {
  try {
    if (row.prepare) row.prepare(w);
    settle(w);
    const cl_ulong before = round_trips(get, w.platform);
    const cl_ulong sent_before = counter(get, w.platform, kMessages);
    row.run(w);
    const cl_ulong cost = round_trips(get, w.platform) - before;
    const cl_ulong sent = counter(get, w.platform, kMessages) - sent_before;
    if (row.after) row.after(w);
    settle(w);
    if (row.messages != 0 && get != nullptr) SAME(sent, cl_ulong{row.messages});
    const bool held = cost <= row.limit;
    std::printf(held ? "ok %s %llu\n" : "FAIL %s got %llu round trips want at most %u\n",
                row.name.c_str(), static_cast<unsigned long long>(cost), row.limit);
    return held;
  } catch (const Skip& skip) {
    std::printf("skip %s %s\n", row.name.c_str(), skip.what());
    return true;
  } catch (const std::exception& error) {
    std::printf("FAIL %s %s\n", row.name.c_str(), error.what());
    return false;
  }
}

std::vector<CountedCall> all_rows() {
  std::vector<CountedCall> rows;
  for (auto part :
       {posted_objects, posted_commands, command_buffer_calls, immutable_queries, waiting_calls}) {
    for (CountedCall& row : part()) rows.push_back(std::move(row));
  }
  return rows;
}

// Blocking writes behind kernels that nobody can see run: no event, no output, no memory of the
// host. One queue writes and another reads, so the order is kept all the same.
int run_unseen() {
  constexpr int kSteps = 100;
  constexpr std::size_t kOne = 1;
  constexpr const char* kAdd = "kernel void add(global int* a, int n) { a[0] += n; }";
  cl_platform_id platform = nullptr;
  cl_device_id device = nullptr;
  OK(clGetPlatformIDs(1, &platform, nullptr));
  OK(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, nullptr));
  const GetCounters get = counters_function(platform);
  if (get == nullptr) return kSkipped;
  Context context(clCreateContext(nullptr, 1, &device, nullptr, nullptr, nullptr));
  Queue writes(clCreateCommandQueueWithProperties(context, device, nullptr, nullptr));
  Queue reads(clCreateCommandQueueWithProperties(context, device, nullptr, nullptr));
  const char* source = kAdd;
  Program program(clCreateProgramWithSource(context, 1, &source, nullptr, nullptr));
  OK(clBuildProgram(program, 1, &device, "", nullptr, nullptr));
  Kernel add(clCreateKernel(program, "add", nullptr));
  Mem memory(clCreateBuffer(context, CL_MEM_READ_WRITE, 64, nullptr, nullptr));
  OK(clSetKernelArg(add, 0, sizeof(cl_mem), memory.at()));
  const cl_ulong before = round_trips(get, platform);
  cl_int value = 0;
  for (int i = 0; i < kSteps; ++i) {
    OK(clSetKernelArg(add, 1, sizeof i, &i));
    OK(clEnqueueNDRangeKernel(writes, add, 1, nullptr, &kOne, nullptr, 0, nullptr, nullptr));
    OK(clEnqueueWriteBuffer(writes, memory, CL_TRUE, 0, sizeof i, &i, 0, nullptr, nullptr));
  }
  OK(clEnqueueReadBuffer(reads, memory, CL_TRUE, 0, sizeof value, &value, 0, nullptr, nullptr));
  const cl_ulong cost = round_trips(get, platform) - before;
  std::printf("%llu round trips, value %d\n", static_cast<unsigned long long>(cost), value);
  return cost <= 1 && value == kSteps - 1 ? 0 : 1;
}

int list_rows() {
  for (const CountedCall& row : all_rows()) std::printf("%s %u\n", row.name.c_str(), row.limit);
  return 0;
}

int run_rows(bool uncounted) {
  cl_platform_id platform = nullptr;
  OK(clGetPlatformIDs(1, &platform, nullptr));
  const GetCounters get = counters_function(platform);
  if (get == nullptr && !uncounted) {
    std::fprintf(stderr, "tessera-roundtrips: the platform '%s' counts no round trips\n",
                 platform_name(platform).c_str());
    return kSkipped;
  }
  World& w = world();
  stage(w);
  int failed = 0, held = 0;
  for (const CountedCall& row : all_rows()) (hold(w, get, row) ? held : failed) += 1;
  std::printf("%d held, %d failed\n", held, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace tessera::conformance

int main(int argc, char** argv) {
  try {
    if (argc == 1) return tessera::conformance::run_rows(false);
    if (argc == 2 && std::strcmp(argv[1], "--uncounted") == 0) {
      return tessera::conformance::run_rows(true);
    }
    if (argc == 2 && std::strcmp(argv[1], "--unseen") == 0)
      return tessera::conformance::run_unseen();
    if (argc == 2 && std::strcmp(argv[1], "--list") == 0) return tessera::conformance::list_rows();
    std::fputs("usage: tessera-roundtrips [--list | --uncounted | --unseen]\n", stderr);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tessera-roundtrips: %s\n", error.what());
    return 1;
  }
}

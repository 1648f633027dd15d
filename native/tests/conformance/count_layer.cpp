// SPDX-License-Identifier: Apache-2.0
//
// An OpenCL layer (OPENCL_LAYERS) that counts how often a program waits for a read or a map, and
// how many commands it enqueues, and writes both numbers into the file that TESSERA_LAYER_FILE
// names when the program ends. A wait is a call that blocks, or the clFinish or clWaitForEvents
// that comes after calls that do not. Commands are launches, reads, writes, copies and maps.
#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "tests/conformance/layer.h"

namespace tessera::layer {
namespace {

std::atomic<unsigned long long> waits{0};
std::atomic<unsigned long long> commands{0};
std::atomic<bool> reads_under_way{false};

void waited() {
  waits.fetch_add(1, std::memory_order_relaxed);
}

void waited_for_reads() {
  if (reads_under_way.exchange(false, std::memory_order_relaxed)) waited();
}

// One for each function. All reads and maps have the argument that says whether they block as their
// third.
template <auto kEntry>
struct Counting;

template <class Result, class... Rest,
          Result (CL_API_CALL* cl_icd_dispatch::*kEntry)(cl_command_queue, cl_mem, cl_bool,
                                                         Rest...)>
struct Counting<kEntry> {
  static Result CL_API_CALL call(cl_command_queue queue, cl_mem memory, cl_bool blocks,
                                 Rest... rest) {
    commands.fetch_add(1, std::memory_order_relaxed);
    if (blocks != CL_FALSE) {
      waited();
    } else {
      reads_under_way.store(true, std::memory_order_relaxed);
    }
    return (below->*kEntry)(queue, memory, blocks, rest...);
  }
};

template <auto kEntry>
void count(cl_icd_dispatch& table) {
  table.*kEntry = Counting<kEntry>::call;
}

// Commands that bring nothing.
template <auto kEntry>
struct CountingOnly;

template <class Result, class... Arguments,
          Result (CL_API_CALL* cl_icd_dispatch::*kEntry)(Arguments...)>
struct CountingOnly<kEntry> {
  static Result CL_API_CALL call(Arguments... arguments) {
    commands.fetch_add(1, std::memory_order_relaxed);
    return (below->*kEntry)(arguments...);
  }
};

template <auto kEntry>
void count_only(cl_icd_dispatch& table) {
  table.*kEntry = CountingOnly<kEntry>::call;
}

cl_int CL_API_CALL finish(cl_command_queue queue) {
  waited_for_reads();
  return below->clFinish(queue);
}

cl_int CL_API_CALL wait_for_events(cl_uint count, const cl_event* events) {
  waited_for_reads();
  return below->clWaitForEvents(count, events);
}

void write_count() {
  const char* path = std::getenv("TESSERA_LAYER_FILE");
  std::FILE* file = path == nullptr ? nullptr : std::fopen(path, "we");
  if (file == nullptr) return;
  std::fprintf(file, "%llu %llu\n", waits.load(std::memory_order_relaxed),
               commands.load(std::memory_order_relaxed));
  std::fclose(file);
}

}  // namespace

void put_in_front(cl_icd_dispatch& table) {
  count<&cl_icd_dispatch::clEnqueueReadBuffer>(table);
  count<&cl_icd_dispatch::clEnqueueReadBufferRect>(table);
  count<&cl_icd_dispatch::clEnqueueReadImage>(table);
  count<&cl_icd_dispatch::clEnqueueMapBuffer>(table);
  count<&cl_icd_dispatch::clEnqueueMapImage>(table);
  count_only<&cl_icd_dispatch::clEnqueueNDRangeKernel>(table);
  count_only<&cl_icd_dispatch::clEnqueueWriteBuffer>(table);
  count_only<&cl_icd_dispatch::clEnqueueCopyBuffer>(table);
  table.clFinish = finish;
  table.clWaitForEvents = wait_for_events;
  std::atexit(write_count);
}

}  // namespace tessera::layer

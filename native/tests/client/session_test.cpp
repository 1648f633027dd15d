// SPDX-License-Identifier: Apache-2.0
//
// The client driver against a real worker session in the same process: many threads at once, waits
// that another thread ends, callbacks, lists longer than a message, and the worker's sudden end.
// Under TSan this is where a race of either side shows.
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "check.h"
#include "client/client_pair.h"

namespace tessera::test {
namespace {

namespace api = client::entry;
using namespace std::chrono_literals;

constexpr std::size_t kWords = 4096;

cl_command_queue make_queue(ClientPair& pair, cl_context context,
                            cl_command_queue_properties properties = 0) {
  const cl_queue_properties list[] = {CL_QUEUE_PROPERTIES, properties, 0};
  cl_int code = 1;
  const cl_command_queue queue =
      api::clCreateCommandQueueWithProperties(context, pair.device(), list, &code);
  CHECK(code == CL_SUCCESS);
  return queue;
}

cl_mem make_buffer(cl_context context, std::size_t bytes) {
  cl_int code = 1;
  const cl_mem buffer = api::clCreateBuffer(context, CL_MEM_READ_WRITE, bytes, nullptr, &code);
  CHECK(code == CL_SUCCESS);
  return buffer;
}

cl_event make_gate(cl_context context) {
  cl_int code = 1;
  const cl_event gate = api::clCreateUserEvent(context, &code);
  CHECK(code == CL_SUCCESS);
  return gate;
}

void CL_CALLBACK count_call(cl_event, cl_int status, void* user_data) {
  static_cast<std::atomic<int>*>(user_data)->fetch_add(status == CL_COMPLETE ? 1 : 1000);
}

template <class Ready>
bool becomes(Ready ready) {
  for (int i = 0; i < 2000 && !ready(); ++i) std::this_thread::sleep_for(5ms);
  return ready();
}

void work(ClientPair& pair, cl_context context, unsigned seed, std::atomic<int>& calls) {
  const bool ordered = seed % 2 == 0;
  const cl_command_queue queue = make_queue(
      pair, context,
      CL_QUEUE_PROFILING_ENABLE | (ordered ? 0 : CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE));
  const cl_mem buffer = make_buffer(context, kWords * 4);
  std::vector<cl_uint> out(kWords);
  std::vector<cl_uint> in(kWords);
  for (cl_uint round = 0; round < 20; ++round) {
    for (std::size_t i = 0; i < kWords; ++i) in[i] = static_cast<cl_uint>(i) * seed + round;
    cl_event written = nullptr;
    cl_event read = nullptr;
    CHECK(api::clEnqueueWriteBuffer(queue, buffer, CL_FALSE, 0, kWords * 4, in.data(), 0, nullptr,
                                    &written) == CL_SUCCESS);
    CHECK(api::clEnqueueReadBuffer(queue, buffer, CL_FALSE, 0, kWords * 4, out.data(), 1, &written,
                                   &read) == CL_SUCCESS);
    CHECK(api::clSetEventCallback(read, CL_COMPLETE, count_call, &calls) == CL_SUCCESS);
    cl_int status = 1;
    CHECK(api::clGetEventInfo(read, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status,
                              nullptr) == CL_SUCCESS);
    CHECK(api::clWaitForEvents(1, &read) == CL_SUCCESS);
    CHECK(out == in);
    cl_ulong time = 0;
    CHECK(api::clGetEventProfilingInfo(read, CL_PROFILING_COMMAND_END, sizeof time, &time,
                                       nullptr) == CL_SUCCESS);
    CHECK(api::clReleaseEvent(written) == CL_SUCCESS);
    CHECK(api::clReleaseEvent(read) == CL_SUCCESS);
  }
  CHECK(api::clFinish(queue) == CL_SUCCESS);
  CHECK(api::clReleaseMemObject(buffer) == CL_SUCCESS);
  CHECK(api::clReleaseCommandQueue(queue) == CL_SUCCESS);
}

void many_threads_at_once(TransportKind kind) {
  ClientPair pair(kind);
  const cl_context context = pair.make_context();
  std::atomic<int> calls{0};
  std::vector<std::thread> threads;
  for (unsigned i = 1; i <= 6; ++i) {
    threads.emplace_back([&, i] { work(pair, context, i, calls); });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(becomes([&] { return calls == 6 * 20; }));
  CHECK(api::clReleaseContext(context) == CL_SUCCESS);
}

void a_wait_ends_by_another_thread(TransportKind kind) {
  ClientPair pair(kind);
  const cl_context context = pair.make_context();
  const cl_command_queue queue = make_queue(pair, context);
  const cl_mem buffer = make_buffer(context, 64);
  const cl_event gate = make_gate(context);
  const cl_uint seven = 7;
  cl_event filled = nullptr;
  CHECK(api::clEnqueueFillBuffer(queue, buffer, &seven, 4, 0, 64, 1, &gate, &filled) == CL_SUCCESS);
  std::vector<std::thread> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.emplace_back([&] { CHECK(api::clWaitForEvents(1, &filled) == CL_SUCCESS); });
  }
  waiting.emplace_back([&] { CHECK(api::clFinish(queue) == CL_SUCCESS); });
  std::this_thread::sleep_for(20ms);
  CHECK(api::clSetUserEventStatus(gate, CL_COMPLETE) == CL_SUCCESS);
  for (std::thread& thread : waiting) thread.join();
  cl_uint got = 0;
  CHECK(api::clEnqueueReadBuffer(queue, buffer, CL_TRUE, 60, 4, &got, 0, nullptr, nullptr) ==
        CL_SUCCESS);
  CHECK(got == 7);
  for (const cl_event event : {gate, filled}) CHECK(api::clReleaseEvent(event) == CL_SUCCESS);
  CHECK(api::clReleaseMemObject(buffer) == CL_SUCCESS);
  CHECK(api::clReleaseCommandQueue(queue) == CL_SUCCESS);
  CHECK(api::clReleaseContext(context) == CL_SUCCESS);
}

void CL_CALLBACK wait_again(cl_event, cl_int, void* user_data) {
  // A callback may call the API, and wait.
  auto* queue = static_cast<cl_command_queue>(user_data);
  CHECK(api::clFinish(queue) == CL_SUCCESS);
  CHECK(api::clReleaseCommandQueue(queue) == CL_SUCCESS);
}

void a_callback_may_wait(TransportKind kind) {
  ClientPair pair(kind);
  const cl_context context = pair.make_context();
  const cl_command_queue queue = make_queue(pair, context);
  const cl_event gate = make_gate(context);
  cl_event marker = nullptr;
  CHECK(api::clEnqueueMarkerWithWaitList(queue, 1, &gate, &marker) == CL_SUCCESS);
  CHECK(api::clRetainCommandQueue(queue) == CL_SUCCESS);
  CHECK(api::clSetEventCallback(marker, CL_COMPLETE, wait_again, queue) == CL_SUCCESS);
  // The program lets go of everything: the callback must come all the same.
  CHECK(api::clReleaseEvent(marker) == CL_SUCCESS);
  CHECK(api::clSetUserEventStatus(gate, CL_COMPLETE) == CL_SUCCESS);
  CHECK(becomes([&] {
    cl_uint references = 0;
    CHECK(api::clGetCommandQueueInfo(queue, CL_QUEUE_REFERENCE_COUNT, sizeof references,
                                     &references, nullptr) == CL_SUCCESS);
    return references == 1;
  }));
  CHECK(api::clReleaseEvent(gate) == CL_SUCCESS);
  CHECK(api::clReleaseCommandQueue(queue) == CL_SUCCESS);
  CHECK(api::clReleaseContext(context) == CL_SUCCESS);
}

void a_wait_list_longer_than_a_message() {
  ClientPair pair(TransportKind::shm);
  const cl_context context = pair.make_context();
  const cl_command_queue queue = make_queue(pair, context, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
  constexpr cl_uint kMany = 9000;
  std::vector<cl_event> gates(kMany, make_gate(context));
  cl_event marker = nullptr;
  CHECK(api::clEnqueueMarkerWithWaitList(queue, kMany, gates.data(), &marker) == CL_SUCCESS);
  CHECK(api::clFlush(queue) == CL_SUCCESS);
  cl_int status = 0;
  CHECK(api::clGetEventInfo(marker, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status,
                            nullptr) == CL_SUCCESS);
  CHECK(status > CL_COMPLETE);
  CHECK(api::clSetUserEventStatus(gates[0], CL_COMPLETE) == CL_SUCCESS);
  std::vector<cl_event> all(kMany, marker);
  CHECK(api::clWaitForEvents(kMany, all.data()) == CL_SUCCESS);
  for (const cl_event event : {gates[0], marker}) CHECK(api::clReleaseEvent(event) == CL_SUCCESS);
  CHECK(api::clReleaseCommandQueue(queue) == CL_SUCCESS);
  CHECK(api::clReleaseContext(context) == CL_SUCCESS);
}

constexpr std::size_t kLarge = (40 << 20) + 12;  // bytes, more than a window holds

std::vector<cl_uint> write_pattern(cl_command_queue queue, cl_mem buffer) {
  std::vector<cl_uint> words(kLarge / 4);
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = static_cast<cl_uint>(i * 2654435761u);
  CHECK(api::clEnqueueWriteBuffer(queue, buffer, CL_TRUE, 0, kLarge, words.data(), 0, nullptr,
                                  nullptr) == CL_SUCCESS);
  return words;
}

// The thread that sets the event has itself enqueued what no window holds.
void a_large_read_waits_for_an_event(TransportKind kind) {
  ClientPair pair(kind);
  const cl_context context = pair.make_context();
  const cl_command_queue queue = make_queue(pair, context);
  const cl_mem buffer = make_buffer(context, kLarge);
  const auto in = write_pattern(queue, buffer);
  const cl_event gate = make_gate(context);
  std::vector<cl_uint> out(in.size());
  CHECK(api::clEnqueueReadBuffer(queue, buffer, CL_FALSE, 0, kLarge, out.data(), 1, &gate,
                                 nullptr) == CL_SUCCESS);
  CHECK(api::clSetUserEventStatus(gate, CL_COMPLETE) == CL_SUCCESS);
  CHECK(api::clFinish(queue) == CL_SUCCESS);
  CHECK(out == in);
  CHECK(api::clReleaseEvent(gate) == CL_SUCCESS);
  CHECK(api::clReleaseMemObject(buffer) == CL_SUCCESS);
  CHECK(api::clReleaseCommandQueue(queue) == CL_SUCCESS);
  CHECK(api::clReleaseContext(context) == CL_SUCCESS);
}

// Each asks for a bounded part at a time, however many there are and whatever they wait for.
void large_reads_that_block_keep_to_their_part(TransportKind kind) {
  ClientPair pair(kind);
  const cl_context context = pair.make_context();
  const cl_command_queue queue = make_queue(pair, context);
  const cl_mem buffer = make_buffer(context, kLarge);
  const auto in = write_pattern(queue, buffer);
  CHECK(api::clFinish(queue) == CL_SUCCESS);
  const cl_event gate = make_gate(context);
  constexpr std::uint64_t kReaders = 4;
  const std::uint64_t messages = pair.session().counters().messages;
  const std::uint64_t trips = pair.session().counters().round_trips;
  std::vector<std::thread> readers;
  for (std::uint64_t i = 0; i < kReaders; ++i) {
    readers.emplace_back([&] {
      std::vector<cl_uint> out(in.size());
      CHECK(api::clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, kLarge, out.data(), 1, &gate,
                                     nullptr) == CL_SUCCESS);
      CHECK(out == in);
    });
  }
  const auto sent = [&] { return pair.session().counters().messages - messages; };
  const std::uint64_t part = pair.session().bulk_ahead() / kPiece;
  CHECK(becomes([&] { return sent() >= kReaders * part; }));
  std::this_thread::sleep_for(20ms);
  CHECK(sent() == kReaders * part);
  CHECK(api::clSetUserEventStatus(gate, CL_COMPLETE) == CL_SUCCESS);
  for (std::thread& reader : readers) reader.join();
  CHECK(sent() == kReaders * 41 + 1);
  CHECK(pair.session().counters().round_trips - trips == kReaders);
  CHECK(api::clReleaseEvent(gate) == CL_SUCCESS);
  CHECK(api::clReleaseMemObject(buffer) == CL_SUCCESS);
  CHECK(api::clReleaseCommandQueue(queue) == CL_SUCCESS);
  CHECK(api::clReleaseContext(context) == CL_SUCCESS);
}

void the_worker_dies(TransportKind kind) {
  ClientPair pair(kind);
  const cl_context context = pair.make_context();
  const cl_command_queue queue = make_queue(pair, context);
  const cl_mem buffer = make_buffer(context, kWords * 4);
  const cl_event gate = make_gate(context);
  std::vector<cl_uint> out(kWords);
  cl_event read = nullptr;
  CHECK(api::clEnqueueReadBuffer(queue, buffer, CL_FALSE, 0, kWords * 4, out.data(), 1, &gate,
                                 &read) == CL_SUCCESS);
  std::atomic<int> calls{0};
  CHECK(api::clSetEventCallback(read, CL_COMPLETE, count_call, &calls) == CL_SUCCESS);
  std::vector<std::thread> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.emplace_back([&] { CHECK(api::clWaitForEvents(1, &read) == CL_OUT_OF_RESOURCES); });
    waiting.emplace_back([&] { CHECK(api::clFinish(queue) == CL_OUT_OF_RESOURCES); });
  }
  std::this_thread::sleep_for(20ms);
  pair.kill_worker();
  for (std::thread& thread : waiting) thread.join();
  CHECK(becomes([&] { return calls == 1000; }));
  cl_int status = 1;
  CHECK(api::clGetEventInfo(read, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status,
                            nullptr) == CL_SUCCESS);
  CHECK(status == CL_OUT_OF_RESOURCES);
  cl_int code = 0;
  CHECK(api::clCreateBuffer(context, CL_MEM_READ_WRITE, 64, nullptr, &code) == nullptr);
  CHECK(code == CL_OUT_OF_RESOURCES);
  for (const cl_event event : {gate, read}) CHECK(api::clReleaseEvent(event) == CL_SUCCESS);
  CHECK(api::clReleaseMemObject(buffer) == CL_SUCCESS);
  CHECK(api::clReleaseCommandQueue(queue) == CL_SUCCESS);
  CHECK(api::clReleaseContext(context) == CL_SUCCESS);
}

void memory_is_counted() {
  ClientPair pair(TransportKind::shm);
  const cl_context context = pair.make_context();
  const std::uint64_t before = pair.session().counters().messages;
  cl_int code = 0;
  cl_mem half = make_buffer(context, kLeaseBytes / 2);
  CHECK(pair.session().counters().messages == before + 1);
  // One that seems not to fit asks before it fails.
  const std::uint64_t trips = pair.session().counters().round_trips;
  CHECK(api::clCreateBuffer(context, 0, kLeaseBytes / 2 + 1, nullptr, &code) == nullptr);
  CHECK(code == CL_MEM_OBJECT_ALLOCATION_FAILURE);
  CHECK(pair.session().counters().round_trips == trips + 1);
  CHECK(api::clReleaseMemObject(half) == CL_SUCCESS);
  half = make_buffer(context, kLeaseBytes / 2);
  CHECK(api::clReleaseMemObject(half) == CL_SUCCESS);
  CHECK(api::clReleaseContext(context) == CL_SUCCESS);
}

cl_ulong told_memory(ClientPair& pair) {
  cl_ulong bytes = 0;
  CHECK(api::clGetDeviceInfo(pair.device(), CL_DEVICE_GLOBAL_MEM_SIZE, sizeof bytes, &bytes,
                             nullptr) == CL_SUCCESS);
  return bytes;
}

void a_resized_lease_is_noticed(TransportKind kind) {
  ClientPair pair(kind);
  const cl_context context = pair.make_context();
  const cl_command_queue queue = make_queue(pair, context);
  const cl_ulong told = told_memory(pair);
  const std::size_t part = kLeaseBytes / 4;
  std::vector<cl_mem> held;
  for (int i = 0; i < 4; ++i) held.push_back(make_buffer(context, part));
  cl_int code = 0;
  CHECK(api::clCreateBuffer(context, 0, part, nullptr, &code) == nullptr);
  CHECK(code == CL_MEM_OBJECT_ALLOCATION_FAILURE);
  // It grows: the same call succeeds, and further ones need not ask.
  const NewLimit larger{0, 2 * kLeaseBytes};
  CHECK(!pair.quota().resize({&larger, 1}));
  held.push_back(make_buffer(context, part));
  const std::uint64_t trips = pair.session().counters().round_trips;
  for (int i = 0; i < 3; ++i) held.push_back(make_buffer(context, part));
  CHECK(pair.session().counters().round_trips == trips);
  CHECK(told_memory(pair) == told);
  // It shrinks to what is used: the answer of any call tells, and a creation asks and fails.
  for (int i = 0; i < 6; ++i) CHECK(api::clReleaseMemObject(held[i]) == CL_SUCCESS);
  held.erase(held.begin(), held.begin() + 6);
  CHECK(api::clFinish(queue) == CL_SUCCESS);
  const NewLimit smaller{0, 2 * part};
  CHECK(becomes([&] { return !pair.quota().resize({&smaller, 1}); }));
  CHECK(api::clFinish(queue) == CL_SUCCESS);
  CHECK(api::clCreateBuffer(context, 0, 1, nullptr, &code) == nullptr);
  CHECK(code == CL_MEM_OBJECT_ALLOCATION_FAILURE);
  for (const cl_mem buffer : held) CHECK(api::clReleaseMemObject(buffer) == CL_SUCCESS);
  CHECK(api::clReleaseCommandQueue(queue) == CL_SUCCESS);
  CHECK(api::clReleaseContext(context) == CL_SUCCESS);
}

// The window that stays: created before the client could learn of the new limit.
void a_creation_under_way_while_the_lease_shrinks_fails_where_it_is_used() {
  ClientPair pair(TransportKind::shm);
  const cl_context context = pair.make_context();
  const cl_command_queue queue = make_queue(pair, context);
  CHECK(api::clFinish(queue) == CL_SUCCESS);
  const NewLimit smaller{0, kLeaseBytes / 4};
  CHECK(!pair.quota().resize({&smaller, 1}));
  const cl_mem late = make_buffer(context, kLeaseBytes / 2);
  const cl_uint seven = 7;
  (void)!api::clEnqueueFillBuffer(queue, late, &seven, 4, 0, 64, 0, nullptr, nullptr);
  CHECK(api::clFinish(queue) == CL_MEM_OBJECT_ALLOCATION_FAILURE);
  // By now it knows.
  cl_int code = 0;
  CHECK(api::clCreateBuffer(context, 0, kLeaseBytes / 2, nullptr, &code) == nullptr);
  CHECK(code == CL_MEM_OBJECT_ALLOCATION_FAILURE);
  CHECK(pair.quota().page().gpus[0].used == 0);
  CHECK(api::clReleaseMemObject(late) == CL_SUCCESS);
  CHECK(api::clReleaseCommandQueue(queue) == CL_SUCCESS);
  CHECK(api::clReleaseContext(context) == CL_SUCCESS);
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  for (const auto kind : kAllKinds) {
    many_threads_at_once(kind);
    a_wait_ends_by_another_thread(kind);
    a_callback_may_wait(kind);
    a_large_read_waits_for_an_event(kind);
    large_reads_that_block_keep_to_their_part(kind);
    the_worker_dies(kind);
    a_resized_lease_is_noticed(kind);
  }
  a_wait_list_longer_than_a_message();
  memory_is_counted();
  a_creation_under_way_while_the_lease_shrinks_fails_where_it_is_used();
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// What is done looks done, bytes land in the order of their events, and nothing waits for what it
// need not wait for.
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

constexpr std::size_t kLarge = 65536;  // bytes
constexpr std::size_t kOrigin[3] = {0, 0, 0};
constexpr std::size_t kOneItem = 1;

void need_svm(const World& w) {
  if (!w.svm_coarse) throw Skip("the device has no shared virtual memory");
}

bool soon(const std::function<bool()>& holds) {
  for (int i = 0; i < 5000 && !holds(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return holds();
}

// ---- what is done looks done

USE(clWaitForEvents, what_the_last_one_waited_for_is_complete) {
  Queue first = new_queue(w), second = new_queue(w);
  for (cl_int i = 0; i < 300; ++i) {
    Event before, last;
    OK(clEnqueueFillBuffer(first, w.dst, &i, sizeof i, 0, 64, 0, nullptr, before.out()));
    OK(clFlush(first));
    OK(clEnqueueMarkerWithWaitList(second, 1, before.at(), last.out()));
    OK(clWaitForEvents(1, last.at()));
    SAME(status_of(before), CL_COMPLETE);
  }
}
USE(clWaitForEvents, a_chain_is_complete_with_its_last_one) {
  Kernel add = new_kernel(w.program, "add_one");
  OK(clSetKernelArg(add, 0, sizeof(cl_mem), w.dst.at()));
  const cl_command_queue queues[] = {w.unordered, w.unprofiled};
  for (int round = 0; round < 10; ++round) {
    std::array<Event, 300> events;
    for (std::size_t i = 0; i < events.size(); ++i) {
      OK(clEnqueueNDRangeKernel(queues[i % 2], add, 1, nullptr, &kOneItem, nullptr, i != 0 ? 1 : 0,
                                i != 0 ? events[i - 1].at() : nullptr, events[i].out()));
      OK(clFlush(queues[i % 2]));
    }
    OK(clWaitForEvents(1, events.back().at()));
    for (const Event& event : events) SAME(status_of(event), CL_COMPLETE);
  }
}
USE(clFinish, what_its_queue_waited_for_is_complete) {
  Queue first = new_queue(w), second = new_queue(w);
  for (cl_int i = 0; i < 300; ++i) {
    Event before;
    OK(clEnqueueFillBuffer(first, w.dst, &i, sizeof i, 0, 64, 0, nullptr, before.out()));
    OK(clFlush(first));
    OK(clEnqueueMarkerWithWaitList(second, 1, before.at(), nullptr));
    OK(clFinish(second));
    SAME(status_of(before), CL_COMPLETE);
  }
}
USE(clEnqueueReadBuffer, what_a_blocking_one_waited_for_is_complete) {
  Queue first = new_queue(w), second = new_queue(w);
  std::array<cl_int, 16> out{};
  for (cl_int i = 0; i < 300; ++i) {
    Event before;
    OK(clEnqueueFillBuffer(first, w.dst, &i, sizeof i, 0, 64, 0, nullptr, before.out()));
    OK(clFlush(first));
    OK(clEnqueueReadBuffer(second, w.dst, CL_TRUE, 0, 64, out.data(), 1, before.at(), nullptr));
    SAME(status_of(before), CL_COMPLETE);
    SAME(out[3], i);
  }
}
USE(clGetEventInfo, what_a_polled_one_waited_for_is_complete) {
  Queue first = new_queue(w), second = new_queue(w);
  for (cl_int i = 0; i < 300; ++i) {
    Event before, last;
    OK(clEnqueueFillBuffer(first, w.dst, &i, sizeof i, 0, 64, 0, nullptr, before.out()));
    OK(clFlush(first));
    OK(clEnqueueMarkerWithWaitList(second, 1, before.at(), last.out()));
    OK(clFlush(second));
    while (status_of(last) > CL_COMPLETE) std::this_thread::yield();
    SAME(status_of(before), CL_COMPLETE);
  }
}

// What a callback finds.
struct Found {
  cl_event before;
  std::atomic<cl_int> status{1};
};
void CL_CALLBACK look(cl_event, cl_int, void* found) {
  auto* at = static_cast<Found*>(found);
  cl_int status = 1000;
  clGetEventInfo(at->before, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, nullptr);
  at->status.store(1000 + status);
}
void callback_finds_it_complete(World& w, cl_int state) {
  Queue first = new_queue(w), second = new_queue(w);
  for (cl_int i = 0; i < 200; ++i) {
    Event before, last;
    OK(clEnqueueFillBuffer(first, w.dst, &i, sizeof i, 0, 64, 0, nullptr, before.out()));
    OK(clFlush(first));
    OK(clEnqueueFillBuffer(second, w.buf, &i, sizeof i, 0, 64, 1, before.at(), last.out()));
    Found found{before, {}};
    OK(clSetEventCallback(last, state, look, &found));
    OK(clFlush(second));
    THAT(soon([&] { return found.status.load() >= 1000; }));
    SAME(found.status.load(), 1000 + CL_COMPLETE);
    OK(clFinish(second));
  }
}
USE(clSetEventCallback, at_the_end_what_it_waited_for_is_complete) {
  callback_finds_it_complete(w, CL_COMPLETE);
}
USE(clSetEventCallback, when_it_runs_what_it_waited_for_is_complete) {
  callback_finds_it_complete(w, CL_RUNNING);
}
void CL_CALLBACK give_back(cl_event event, cl_int, void* count) {
  clReleaseEvent(event);
  static_cast<std::atomic<int>*>(count)->fetch_add(1);
}
USE(clSetEventCallback, may_give_the_last_reference_back) {
  constexpr int kCount = 20'000;
  std::atomic<int> count{0};
  for (int i = 0; i < kCount; ++i) {
    cl_event event = nullptr;
    OK(clEnqueueFillBuffer(w.queue, w.dst, &i, sizeof i, 0, 64, 0, nullptr, &event));
    if (i % 3 == 0) OK(clFlush(w.queue));
    OK(clSetEventCallback(event, CL_COMPLETE, give_back, &count));
  }
  OK(clFinish(w.queue));
  THAT(soon([&] { return count.load() == kCount; }));
}
USE(clSetUserEventStatus, is_complete_before_what_waits_for_it) {
  std::atomic<cl_event> next{nullptr};
  std::atomic<bool> over{false};
  std::thread setter([&] {
    while (!over) {
      const cl_event event = next.exchange(nullptr);
      if (event == nullptr) continue;
      clSetUserEventStatus(event, CL_COMPLETE);
      clReleaseEvent(event);
    }
  });
  int wrong = 0;
  for (int i = 0; i < 3000; ++i) {
    Event gate = new_user_event(w), last;
    OK(clEnqueueMarkerWithWaitList(w.queue, 1, gate.at(), last.out()));
    OK(clFlush(w.queue));
    OK(clRetainEvent(gate));
    next = gate;
    OK(clWaitForEvents(1, last.at()));
    wrong += status_of(gate) != CL_COMPLETE;
  }
  over = true;
  setter.join();
  SAME(wrong, 0);
}

// ---- what kernels print

class Captured {
 public:
  Captured() : keep_(::dup(STDOUT_FILENO)) {
    char name[] = "/tmp/tessera-conformance.XXXXXX";
    file_ = ::mkstemp(name);
    THAT(file_ >= 0);
    ::unlink(name);
    std::fflush(stdout);
    ::dup2(file_, STDOUT_FILENO);
  }
  ~Captured() {
    ::dup2(keep_, STDOUT_FILENO);
    ::close(keep_);
    ::close(file_);
  }
  Captured(const Captured&) = delete;
  long bytes() const {
    struct stat found {};
    return ::fstat(file_, &found) == 0 ? static_cast<long>(found.st_size) : -1;
  }

 private:
  int keep_;
  int file_ = -1;
};

void text_is_there(World& w, const std::function<void(cl_event)>& wait) {
  Program program =
      new_program(w, "kernel void say(global uint* a) { a[0]++; printf(\"0123456789\\n\"); }");
  Kernel say = new_kernel(program, "say");
  Mem memory = new_buffer(w, CL_MEM_READ_WRITE, 64);
  OK(clSetKernelArg(say, 0, sizeof(cl_mem), memory.at()));
  Queue queue = new_queue(w);
  int late = 0;
  {
    const Captured text;
    for (int i = 1; i <= 100; ++i) {
      Event event;
      OK(clEnqueueNDRangeKernel(queue, say, 1, nullptr, &kOneItem, nullptr, 0, nullptr,
                                event.out()));
      OK(clFlush(queue));
      wait(event);
      late += text.bytes() != 11 * i;
    }
  }
  SAME(late, 0);
}
USE(clGetEventInfo, text_is_there_when_a_poll_sees_the_end) {
  text_is_there(w, [](cl_event event) {
    while (status_of(event) > CL_COMPLETE) std::this_thread::yield();
  });
}
void CL_CALLBACK set(cl_event, cl_int, void* flag) {
  static_cast<std::atomic<bool>*>(flag)->store(true);
}
USE(clSetEventCallback, text_is_there_when_it_is_called) {
  text_is_there(w, [](cl_event event) {
    std::atomic<bool> called{false};
    OK(clSetEventCallback(event, CL_COMPLETE, set, &called));
    while (!called) std::this_thread::yield();
  });
}
USE(clEnqueueReadBuffer, text_is_there_when_one_behind_it_has_ended) {
  Queue other = new_queue(w);
  text_is_there(w, [&](cl_event event) {
    std::array<cl_int, 4> out{};
    Event read;
    OK(clEnqueueReadBuffer(other, w.dst, CL_FALSE, 0, sizeof out, out.data(), 1, &event,
                           read.out()));
    OK(clFlush(other));
    while (status_of(read) > CL_COMPLETE) std::this_thread::yield();
  });
}

// ---- bytes land in the order of their events

USE(clEnqueueReadBuffer, the_later_of_two_into_one_memory_stays) {
  const cl_queue_properties properties[] = {CL_QUEUE_PROPERTIES, CL_QUEUE_PROFILING_ENABLE, 0};
  Queue first = new_queue(w), second = new_queue(w);
  Queue busy(clCreateCommandQueueWithProperties(w.ctx, w.device, properties, nullptr));
  constexpr std::size_t kSize = 256;
  std::array<unsigned char, kSize> ones, twos, here;
  ones.fill(1);
  twos.fill(2);
  Mem a = new_buffer(w, CL_MEM_COPY_HOST_PTR, kSize, ones.data());
  Mem b = new_buffer(w, CL_MEM_COPY_HOST_PTR, kSize, twos.data());
  std::array<std::array<unsigned char, 64>, 12> others;
  for (int i = 0; i < 3000; ++i) {
    std::array<Event, 12> ended;
    for (std::size_t k = 0; k < others.size(); ++k) {
      OK(clEnqueueReadBuffer(busy, a, CL_FALSE, 0, 64, others[k].data(), 0, nullptr,
                             ended[k].out()));
    }
    Event one, two;
    OK(clEnqueueReadBuffer(first, a, CL_FALSE, 0, kSize, here.data(), 0, nullptr, one.out()));
    OK(clFlush(first));
    OK(clEnqueueReadBuffer(second, b, CL_FALSE, 0, kSize, here.data(), 1, one.at(), two.out()));
    OK(clFlush(second));
    OK(clWaitForEvents(1, two.at()));
    OK(clFinish(first));
    OK(clFinish(busy));
    THAT(here == twos);
  }
}
USE(clEnqueueUnmapMemObject, of_what_the_host_never_saw_changes_nothing) {
  const std::vector<unsigned char> bytes = pattern(kBytes);
  for (int i = 0; i < 50; ++i) {
    std::vector<unsigned char> in = bytes;
    Mem memory = new_buffer(w, CL_MEM_COPY_HOST_PTR, kBytes, in.data());
    Event mapped;
    cl_int e = 1;
    void* at = clEnqueueMapBuffer(w.queue, memory, CL_FALSE, CL_MAP_WRITE, 0, kBytes, 0, nullptr,
                                  mapped.out(), &e);
    OK(e);
    OK(clEnqueueUnmapMemObject(w.queue, memory, at, 1, mapped.at(), nullptr));
    THAT(read_all<unsigned char>(w, memory, kBytes) == bytes);
  }
}
USE(clEnqueueUnmapMemObject, of_an_image_that_the_host_never_saw_changes_nothing) {
  constexpr std::size_t kAll[3] = {kImageSide, kImageSide, 1};
  constexpr std::size_t kSize = kImageSide * kImageSide * 4;
  const std::vector<unsigned char> bytes = pattern(kSize);
  for (int i = 0; i < 50; ++i) {
    std::vector<unsigned char> in = bytes, out(kSize);
    Mem image = new_image(w, CL_MEM_COPY_HOST_PTR, {CL_RGBA, CL_UNSIGNED_INT8},
                          image_2d(kImageSide, kImageSide), in.data());
    Event mapped;
    cl_int e = 1;
    std::size_t row = 0;
    void* at = clEnqueueMapImage(w.queue, image, CL_FALSE, CL_MAP_WRITE, kOrigin, kAll, &row,
                                 nullptr, 0, nullptr, mapped.out(), &e);
    OK(e);
    OK(clEnqueueUnmapMemObject(w.queue, image, at, 1, mapped.at(), nullptr));
    OK(clEnqueueReadImage(w.queue, image, CL_TRUE, kOrigin, kAll, 0, 0, out.data(), 0, nullptr,
                          nullptr));
    THAT(out == bytes);
  }
}
USE(clEnqueueSVMUnmap, of_what_the_host_never_saw_changes_nothing) {
  need_svm(w);
  const std::vector<unsigned char> bytes = pattern(kBytes);
  for (int i = 0; i < 50; ++i) {
    void* memory = clSVMAlloc(w.ctx, CL_MEM_READ_WRITE, kBytes, 0);
    std::vector<unsigned char> out(kBytes);
    Event mapped;
    OK(clEnqueueSVMMemcpy(w.queue, CL_TRUE, memory, bytes.data(), kBytes, 0, nullptr, nullptr));
    OK(clEnqueueSVMMap(w.queue, CL_FALSE, CL_MAP_WRITE, memory, kBytes, 0, nullptr, mapped.out()));
    OK(clEnqueueSVMUnmap(w.queue, memory, 1, mapped.at(), nullptr));
    OK(clEnqueueSVMMemcpy(w.queue, CL_TRUE, out.data(), memory, kBytes, 0, nullptr, nullptr));
    clSVMFree(w.ctx, memory);
    THAT(out == bytes);
  }
}
USE(clEnqueueFillBuffer, behind_a_map_of_a_buffer_over_shared_memory_stays) {
  need_svm(w);
  void* memory = clSVMAlloc(w.ctx, CL_MEM_READ_WRITE, kLarge, 0);
  Mem buffer = new_buffer(w, CL_MEM_USE_HOST_PTR, kLarge, memory);
  const unsigned char one = 1, two = 2;
  const std::vector<unsigned char> wanted(kLarge, two);
  for (int i = 0; i < 100; ++i) {
    OK(clEnqueueFillBuffer(w.queue, buffer, &one, 1, 0, kLarge, 0, nullptr, nullptr));
    cl_int e = 1;
    void* at = clEnqueueMapBuffer(w.queue, buffer, CL_FALSE, CL_MAP_READ, 0, kLarge, 0, nullptr,
                                  nullptr, &e);
    OK(e);
    OK(clEnqueueUnmapMemObject(w.queue, buffer, at, 0, nullptr, nullptr));
    OK(clEnqueueFillBuffer(w.queue, buffer, &two, 1, 0, kLarge, 0, nullptr, nullptr));
    OK(clFinish(w.queue));
    THAT(read_all<unsigned char>(w, buffer, kLarge) == wanted);
  }
  buffer.reset();
  clSVMFree(w.ctx, memory);
}
USE(clEnqueueMapImage, overwriting_is_not_overwritten_by_an_earlier_map) {
  constexpr std::size_t kSide = 128;
  constexpr std::size_t kAll[3] = {kSide, kSide, 1};
  Mem image = new_image(w, CL_MEM_READ_WRITE, {CL_RGBA, CL_UNSIGNED_INT8}, image_2d(kSide, kSide));
  const std::array<cl_uint, 4> ones{1, 1, 1, 1};
  const std::vector<unsigned char> wanted(kLarge, 2);
  for (int i = 0; i < 50; ++i) {
    Event earlier;
    cl_int e = 1;
    std::size_t row = 0;
    OK(clEnqueueFillImage(w.queue, image, ones.data(), kOrigin, kAll, 0, nullptr, nullptr));
    void* at = clEnqueueMapImage(w.queue, image, CL_FALSE, CL_MAP_READ, kOrigin, kAll, &row,
                                 nullptr, 0, nullptr, earlier.out(), &e);
    OK(e);
    OK(clEnqueueUnmapMemObject(w.queue, image, at, 0, nullptr, nullptr));
    auto* over = static_cast<unsigned char*>(
        clEnqueueMapImage(w.queue, image, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION, kOrigin, kAll,
                          &row, nullptr, 0, nullptr, nullptr, &e));
    OK(e);
    for (std::size_t y = 0; y < kSide; ++y) std::memset(over + y * row, 2, kSide * 4);
    std::this_thread::sleep_for(std::chrono::microseconds(300));
    status_of(earlier);
    OK(clEnqueueUnmapMemObject(w.queue, image, over, 0, nullptr, nullptr));
    std::vector<unsigned char> out(kLarge);
    OK(clEnqueueReadImage(w.queue, image, CL_TRUE, kOrigin, kAll, 0, 0, out.data(), 0, nullptr,
                          nullptr));
    THAT(out == wanted);
  }
}

// Staging through host memory, which the write reads when it runs.
void staged(World& w, cl_command_queue reads, cl_command_queue writes, cl_bool blocking) {
  for (int i = 0; i < 50; ++i) {
    std::vector<unsigned char> in(kLarge, static_cast<unsigned char>(i + 1)), between(kLarge);
    Mem from = new_buffer(w, CL_MEM_COPY_HOST_PTR, kLarge, in.data());
    Mem to = new_buffer(w, CL_MEM_READ_WRITE, kLarge);
    Event read;
    OK(clEnqueueReadBuffer(reads, from, CL_FALSE, 0, kLarge, between.data(), 0, nullptr,
                           read.out()));
    OK(clFlush(reads));
    OK(clEnqueueWriteBuffer(writes, to, blocking, 0, kLarge, between.data(), 1, read.at(),
                            nullptr));
    std::vector<unsigned char> out(kLarge);
    OK(clEnqueueReadBuffer(writes, to, CL_TRUE, 0, kLarge, out.data(), 0, nullptr, nullptr));
    THAT(out == in);
  }
}
USE(clEnqueueWriteBuffer, reads_what_an_earlier_read_of_its_queue_brings) {
  Queue queue = new_queue(w);
  staged(w, queue, queue, CL_FALSE);
}
USE(clEnqueueWriteBuffer, reads_what_an_earlier_read_of_another_queue_brings) {
  Queue reads = new_queue(w), writes = new_queue(w);
  staged(w, reads, writes, CL_FALSE);
}
USE(clEnqueueWriteBuffer, blocking_reads_what_an_earlier_read_brings) {
  Queue reads = new_queue(w), writes = new_queue(w);
  staged(w, reads, writes, CL_TRUE);
}
// A read that waits for this write's end overwrites the memory only then.
USE(clEnqueueWriteBuffer, does_not_wait_for_a_read_that_comes_later) {
  Queue reads = new_queue(w), writes = new_queue(w);
  std::vector<unsigned char> in(kLarge, 3), zeros(kLarge, 0), between(kLarge, 7);
  Mem from = new_buffer(w, CL_MEM_COPY_HOST_PTR, kLarge, in.data());
  Mem to = new_buffer(w, CL_MEM_COPY_HOST_PTR, kLarge, zeros.data());
  Event gate = new_user_event(w), read, written;
  OK(clEnqueueReadBuffer(reads, from, CL_FALSE, 0, kLarge, between.data(), 1, gate.at(),
                         read.out()));
  OK(clFlush(reads));
  OK(clEnqueueWriteBuffer(writes, to, CL_FALSE, 0, kLarge, between.data(), 0, nullptr,
                          written.out()));
  OK(clFlush(writes));
  OK(clWaitForEvents(1, written.at()));
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(reads));
  THAT(read_all<unsigned char>(w, to, kLarge) == std::vector<unsigned char>(kLarge, 7));
  THAT(between == in);
}

// ---- nothing waits for what it need not wait for

USE_ALONE(clEnqueueMapBuffer, overwriting_and_not_blocking_does_not_block) {
  Queue first = new_queue(w), second = new_queue(w);
  Mem memory = new_buffer(w, CL_MEM_READ_WRITE, 2 * kBytes);
  Event gate = new_user_event(w);
  cl_int e = 1;
  void* held = clEnqueueMapBuffer(first, memory, CL_FALSE, CL_MAP_READ, 0, kBytes, 1, gate.at(),
                                  nullptr, &e);
  OK(e);
  void* other = clEnqueueMapBuffer(second, memory, CL_FALSE, CL_MAP_WRITE_INVALIDATE_REGION, kBytes,
                                   kBytes, 0, nullptr, nullptr, &e);
  OK(e);
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(first));
  OK(clFinish(second));
  OK(clEnqueueUnmapMemObject(first, memory, held, 0, nullptr, nullptr));
  OK(clEnqueueUnmapMemObject(second, memory, other, 0, nullptr, nullptr));
  OK(clFinish(first));
  OK(clFinish(second));
}
// On a queue without an order; `command(event)` does not wait for what is behind the gate.
void passes_the_gate(World& w, const std::function<void(cl_command_queue, cl_event*)>& command) {
  const cl_queue_properties properties[] = {CL_QUEUE_PROPERTIES,
                                            CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, 0};
  Queue queue(clCreateCommandQueueWithProperties(w.ctx, w.device, properties, nullptr));
  Mem held = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
  Event gate = new_user_event(w), passed;
  const cl_uint one = 1;
  OK(clEnqueueFillBuffer(queue, held, &one, sizeof one, 0, kBytes, 1, gate.at(), nullptr));
  command(queue, passed.out());
  OK(clFlush(queue));
  OK(clWaitForEvents(1, passed.at()));
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(queue));
}
USE_ALONE(clEnqueueUnmapMemObject, out_of_order_passes_a_held_command) {
  cl_int e = 1;
  void* at =
      clEnqueueMapBuffer(w.queue, w.dst, CL_TRUE, CL_MAP_READ, 0, kBytes, 0, nullptr, nullptr, &e);
  OK(e);
  passes_the_gate(w, [&](cl_command_queue queue, cl_event* event) {
    OK(clEnqueueUnmapMemObject(queue, w.dst, at, 0, nullptr, event));
  });
}
USE_ALONE(clEnqueueMapBuffer, out_of_order_and_overwriting_passes_a_held_command) {
  passes_the_gate(w, [&](cl_command_queue queue, cl_event* event) {
    cl_int e = 1;
    clEnqueueMapBuffer(queue, w.dst, CL_FALSE, CL_MAP_WRITE_INVALIDATE_REGION, 0, kBytes, 0,
                       nullptr, event, &e);
    OK(e);
  });
}
// Threads that are cancelled while they wait: they end, and the program and its other threads go
// on.
USE_ALONE(clWaitForEvents, a_cancelled_thread_ends_alone) {
  if (!w.tessera) throw Skip("the bare device keeps its locks when a thread is cancelled");
  Queue queue = new_queue(w);
  Event gate = new_user_event(w), held;
  OK(clEnqueueMarkerWithWaitList(queue, 1, gate.at(), held.out()));
  OK(clFlush(queue));
  static std::atomic<int> began{0};
  const auto wait = [](void* event) -> void* {
    began.fetch_add(1);
    clWaitForEvents(1, static_cast<const cl_event*>(event));
    ::pthread_testcancel();
    return nullptr;
  };
  std::array<pthread_t, 3> threads{};
  for (pthread_t& thread : threads) {
    SAME(::pthread_create(&thread, nullptr, wait, const_cast<cl_event*>(held.at())), 0);
  }
  THAT(soon([] { return began.load() == 3; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  for (int i = 0; i < 2; ++i) SAME(::pthread_cancel(threads[i]), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  for (int i = 0; i < 3; ++i) {
    void* result = nullptr;
    SAME(::pthread_join(threads[i], &result), 0);
    THAT((result == PTHREAD_CANCELED) == (i < 2));
  }
  OK(clFinish(queue));
}
void CL_CALLBACK gone(cl_mem, void* flag) {
  static_cast<std::atomic<bool>*>(flag)->store(true);
}
USE_ALONE(clSetMemObjectDestructorCallback, waits_for_its_own_commands_only) {
  static std::atomic<bool> called{false};
  Queue busy = new_queue(w), other = new_queue(w);
  Mem held = new_buffer(w, CL_MEM_READ_WRITE, kBytes), unused = new_buffer(w, 0, kBytes);
  Event gate = new_user_event(w);
  const cl_uint one = 1;
  OK(clEnqueueFillBuffer(other, unused, &one, sizeof one, 0, kBytes, 0, nullptr, nullptr));
  OK(clFinish(other));
  OK(clEnqueueFillBuffer(busy, held, &one, sizeof one, 0, kBytes, 1, gate.at(), nullptr));
  OK(clFlush(busy));
  OK(clSetMemObjectDestructorCallback(unused, gone, &called));
  unused.reset();
  const bool told = soon([] { return called.load(); });
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(busy));
  THAT(told);
}
USE_ALONE(clSetMemObjectDestructorCallback, comes_without_another_call) {
  static std::atomic<bool> called{false};
  Queue queue = new_queue(w);
  Mem memory = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
  OK(clSetMemObjectDestructorCallback(memory, gone, &called));
  cl_int e = 1;
  void* at = clEnqueueMapBuffer(queue, memory, CL_FALSE, CL_MAP_READ | CL_MAP_WRITE, 0, kBytes, 0,
                                nullptr, nullptr, &e);
  OK(e);
  OK(clEnqueueUnmapMemObject(queue, memory, at, 0, nullptr, nullptr));
  OK(clFlush(queue));
  memory.reset();
  THAT(soon([] { return called.load(); }));
  OK(clFinish(queue));
}
USE_ALONE(clSetMemObjectDestructorCallback, waits_for_a_held_command_of_its_own) {
  static std::atomic<bool> called{false};
  Queue queue = new_queue(w);
  Mem memory = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
  Event gate = new_user_event(w);
  const cl_uint one = 1;
  OK(clSetMemObjectDestructorCallback(memory, gone, &called));
  OK(clEnqueueFillBuffer(queue, memory, &one, sizeof one, 0, kBytes, 1, gate.at(), nullptr));
  OK(clFlush(queue));
  memory.reset();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const bool early = called;
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(queue));
  THAT(!early);
  THAT(soon([] { return called.load(); }));
}

}  // namespace
}  // namespace tessera::conformance

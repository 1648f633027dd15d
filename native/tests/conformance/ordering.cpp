// SPDX-License-Identifier: Apache-2.0
//
// Orders of execution: chains, diamonds, queues that overtake; the device's printf.
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "tests/conformance/command_buffers.h"

namespace tessera::conformance {
namespace {

constexpr int kDeep = 1000;
constexpr std::size_t kItems = 64;

Kernel add_to(const World& w, cl_mem buffer) {
  Kernel add = new_kernel(w.program, "add_one");
  OK(clSetKernelArg(add, 0, sizeof(cl_mem), &buffer));
  return add;
}

USE(clEnqueueNDRangeKernel, a_thousand_in_order) {
  zero(w, w.dst, kBytes);
  Kernel add = add_to(w, w.dst);
  for (int i = 0; i < kDeep; ++i) {
    OK(clEnqueueNDRangeKernel(w.queue, add, 1, nullptr, &kItems, nullptr, 0, nullptr, nullptr));
  }
  OK(clFinish(w.queue));
  SAME(read_all<cl_int>(w, w.dst, kItems)[kItems - 1], kDeep);
}
USE(clEnqueueNDRangeKernel, a_thousand_that_depend_on_each_other) {
  zero(w, w.dst, kBytes);
  Kernel add = add_to(w, w.dst);
  Event last;
  for (int i = 0; i < kDeep; ++i) {
    Event next;
    OK(clEnqueueNDRangeKernel(w.unordered, add, 1, nullptr, &kItems, nullptr,
                              last != nullptr ? 1 : 0, last != nullptr ? last.at() : nullptr,
                              next.out()));
    last = std::move(next);
  }
  OK(clFinish(w.unordered));
  SAME(status_of(last), CL_COMPLETE);
  SAME(read_all<cl_int>(w, w.dst, kItems)[0], kDeep);
}
USE(clEnqueueNDRangeKernel, alternating_between_two_queues) {
  zero(w, w.dst, kBytes);
  Kernel add = add_to(w, w.dst);
  Queue other = new_queue(w);
  const cl_command_queue queues[] = {w.queue, other};
  Event last;
  for (int i = 0; i < 100; ++i) {
    Event next;
    OK(clEnqueueNDRangeKernel(queues[i % 2], add, 1, nullptr, &kItems, nullptr,
                              last != nullptr ? 1 : 0, last != nullptr ? last.at() : nullptr,
                              next.out()));
    OK(clFlush(queues[i % 2]));
    last = std::move(next);
  }
  OK(clWaitForEvents(1, last.at()));
  SAME(read_all<cl_int>(w, w.dst, kItems)[7], 100);
}
USE(clEnqueueCopyBuffer, diamond_of_dependencies) {
  std::array<Mem, 4> m;
  for (Mem& one : m) one = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
  std::array<Event, 4> done;
  const cl_uint five = 5;
  OK(clEnqueueFillBuffer(w.unordered, m[0], &five, 4, 0, kBytes, 0, nullptr, done[0].out()));
  OK(clEnqueueCopyBuffer(w.unordered, m[0], m[1], 0, 0, kBytes, 1, done[0].at(), done[1].out()));
  OK(clEnqueueCopyBuffer(w.unordered, m[0], m[2], 0, 0, kBytes, 1, done[0].at(), done[2].out()));
  const cl_event both[] = {done[1], done[2]};
  OK(clEnqueueCopyBuffer(w.unordered, m[1], m[3], 0, 0, kBytes / 2, 2, both, done[3].out()));
  Event last;
  OK(clEnqueueCopyBuffer(w.unordered, m[2], m[3], kBytes / 2, kBytes / 2, kBytes / 2, 1,
                         done[3].at(), last.out()));
  OK(clWaitForEvents(1, last.at()));
  const auto seen = read_all<cl_uint>(w, m[3], kBytes / 4);
  SAME(seen.front(), 5u);
  SAME(seen.back(), 5u);
}
USE(clEnqueueFillBuffer, overtakes_on_an_unordered_queue) {
  Mem held = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
  Event gate = new_user_event(w), slow, fast;
  const cl_uint one = 1;
  OK(clEnqueueFillBuffer(w.unordered, held, &one, 4, 0, kBytes, 1, gate.at(), slow.out()));
  OK(clEnqueueFillBuffer(w.unordered, w.dst, &one, 4, 0, kBytes, 0, nullptr, fast.out()));
  const cl_int waited = clWaitForEvents(1, fast.at());
  const cl_int held_back = status_of(slow);
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(w.unordered));
  OK(waited);
  THAT(held_back > CL_RUNNING);
}
USE(clEnqueueFillBuffer, waits_its_turn_on_an_ordered_queue) {
  Queue queue = new_queue(w);
  Event gate = new_user_event(w), first, second;
  const cl_uint one = 1, two = 2;
  OK(clEnqueueFillBuffer(queue, w.dst, &one, 4, 0, kBytes, 1, gate.at(), first.out()));
  OK(clEnqueueFillBuffer(queue, w.dst, &two, 4, 0, kBytes, 0, nullptr, second.out()));
  OK(clFlush(queue));
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const cl_int held_back = status_of(second);
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(queue));
  THAT(held_back > CL_RUNNING);
  SAME(read_all<cl_uint>(w, w.dst, 1)[0], 2u);
}
USE(clFinish, waits_for_a_gate_in_another_thread) {
  Queue queue = new_queue(w);
  Event gate = new_user_event(w);
  const cl_uint nine = 9;
  zero(w, w.dst, kBytes);
  OK(clEnqueueFillBuffer(queue, w.dst, &nine, 4, 0, kBytes, 1, gate.at(), nullptr));
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    clSetUserEventStatus(gate, CL_COMPLETE);
  });
  const cl_int code = clFinish(queue);
  other.join();
  OK(code);
  SAME(read_all<cl_uint>(w, w.dst, 1)[0], 9u);
}
USE(clEnqueueReadBuffer, blocking_while_another_thread_opens_the_gate) {
  Queue queue = new_queue(w);
  Event gate = new_user_event(w);
  const cl_uint ten = 10;
  OK(clEnqueueFillBuffer(queue, w.dst, &ten, 4, 0, kBytes, 1, gate.at(), nullptr));
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    clSetUserEventStatus(gate, CL_COMPLETE);
  });
  cl_uint seen = 0;
  const cl_int code = clEnqueueReadBuffer(queue, w.dst, CL_TRUE, 0, 4, &seen, 0, nullptr, nullptr);
  other.join();
  OK(code);
  SAME(seen, 10u);
}

// What `work` lets reach the process's standard output.
template <class Work>
std::string printed(Work work) {
  std::fflush(stdout);
  std::FILE* file = std::tmpfile();
  THAT(file != nullptr);
  const int kept = ::dup(1);
  ::dup2(::fileno(file), 1);
  try {
    work();
  } catch (...) {
    ::dup2(kept, 1);
    ::close(kept);
    std::fclose(file);
    throw;
  }
  std::fflush(stdout);
  ::dup2(kept, 1);
  ::close(kept);
  std::string text(65536, '\0');
  std::rewind(file);
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

USE(clEnqueueNDRangeKernel, printf_reaches_standard_output) {
  Program program = new_program(w,
                                "kernel void say(int n) { printf(\"item %d of %s: %f\\n\", n + "
                                "(int)get_global_id(0), \"two\", 1.5f); }");
  Kernel say = new_kernel(program, "say");
  const cl_int n = 40;
  OK(clSetKernelArg(say, 0, sizeof n, &n));
  const std::size_t one = 1;
  const std::string text = printed([&] {
    OK(clEnqueueNDRangeKernel(w.queue, say, 1, nullptr, &one, nullptr, 0, nullptr, nullptr));
    OK(clFinish(w.queue));
  });
  SAME(text, std::string("item 40 of two: 1.500000\n"));
}
USE(clEnqueueNDRangeKernel, printf_of_many_launches_in_order) {
  Program program = new_program(w, "kernel void tell(int n) { printf(\"<%d>\", n); }");
  Kernel tell = new_kernel(program, "tell");
  const std::size_t one = 1;
  std::string want;
  const std::string text = printed([&] {
    for (cl_int n = 0; n < 50; ++n) {
      OK(clSetKernelArg(tell, 0, sizeof n, &n));
      OK(clEnqueueNDRangeKernel(w.queue, tell, 1, nullptr, &one, nullptr, 0, nullptr, nullptr));
      want += "<" + std::to_string(n) + ">";
    }
    OK(clFinish(w.queue));
  });
  SAME(text, want);
}

USE(clEnqueueCommandBufferKHR, printf_is_there_when_its_end_is_seen) {
  Program program = new_program(w, "kernel void tell(int n) { printf(\"(%d)\", n); }");
  Kernel tell = new_kernel(program, "tell");
  const std::size_t one = 1;
  CommandBuffer made = new_command_buffer(w, w.queue);
  // The embedded device takes a kernel's arguments of when it is launched.
  const cl_int n = 7;
  OK(clSetKernelArg(tell, 0, sizeof n, &n));
  for (int i = 0; i < 3; ++i) {
    OK(command_buffers(w).nd_range(made, nullptr, nullptr, tell, 1, nullptr, &one, nullptr, 0,
                                   nullptr, nullptr, nullptr));
  }
  OK(command_buffers(w).finalize(made));
  const std::string text = printed([&] {
    Event done;
    OK(command_buffers(w).enqueue(0, nullptr, made, 0, nullptr, done.out()));
    OK(clWaitForEvents(1, done.at()));
  });
  SAME(text, std::string("(7)(7)(7)"));
}

}  // namespace
}  // namespace tessera::conformance

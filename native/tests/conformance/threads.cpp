// SPDX-License-Identifier: Apache-2.0
//
// Many threads in one context, and a process that forks.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

constexpr int kThreads = 8;
constexpr std::size_t kItems = 256;

// Runs `work(i)` in kThreads threads at once and throws what the first of them threw.
void in_threads(const std::function<void(int)>& work) {
  std::vector<std::thread> threads;
  std::exception_ptr first;
  std::mutex guard;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      try {
        work(i);
      } catch (...) {
        const std::lock_guard lock(guard);
        if (!first) first = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (first) std::rethrow_exception(first);
}

void work_on_own_objects(const World& w, cl_command_queue queue, int seed) {
  Kernel add = new_kernel(w.program, "add_one");
  for (int round = 0; round < 10; ++round) {
    Mem buffer = new_buffer(w, CL_MEM_READ_WRITE, kItems * 4);
    std::vector<cl_int> values(kItems, seed * 1000 + round);
    OK(clEnqueueWriteBuffer(queue, buffer, CL_FALSE, 0, kItems * 4, values.data(), 0, nullptr,
                            nullptr));
    OK(clSetKernelArg(add, 0, sizeof(cl_mem), buffer.at()));
    for (int i = 0; i < 5; ++i) {
      OK(clEnqueueNDRangeKernel(queue, add, 1, nullptr, &kItems, nullptr, 0, nullptr, nullptr));
    }
    std::vector<cl_int> seen(kItems);
    OK(clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, kItems * 4, seen.data(), 0, nullptr,
                           nullptr));
    for (const cl_int value : seen) SAME(value, seed * 1000 + round + 5);
  }
}

USE(clCreateCommandQueueWithProperties, a_queue_for_each_of_eight_threads) {
  in_threads([&](int i) {
    Queue queue = new_queue(w);
    work_on_own_objects(w, queue, i);
  });
}
USE(clEnqueueNDRangeKernel, one_queue_for_eight_threads) {
  Queue queue = new_queue(w);
  in_threads([&](int i) { work_on_own_objects(w, queue, i); });
}
USE(clCreateContext, in_eight_threads_at_once) {
  in_threads([&](int i) {
    for (int round = 0; round < 3; ++round) {
      cl_int e = 1;
      Context ctx(clCreateContext(nullptr, 1, &w.device, nullptr, nullptr, &e));
      OK(e);
      Queue queue(clCreateCommandQueueWithProperties(ctx, w.device, nullptr, &e));
      OK(e);
      Mem buffer(clCreateBuffer(ctx, CL_MEM_READ_WRITE, 4096, nullptr, &e));
      OK(e);
      const cl_int value = i * 10 + round;
      cl_int seen = -1;
      OK(clEnqueueFillBuffer(queue, buffer, &value, 4, 0, 4096, 0, nullptr, nullptr));
      OK(clEnqueueReadBuffer(queue, buffer, CL_TRUE, 4092, 4, &seen, 0, nullptr, nullptr));
      SAME(seen, value);
    }
  });
}
USE(clBuildProgram, in_eight_threads_at_once) {
  in_threads([&](int i) {
    Program program = new_program(w, "kernel void put(global int* p) { *p = NUMBER; }",
                                  ("-DNUMBER=" + std::to_string(100 + i)).c_str());
    Kernel put = new_kernel(program, "put");
    Queue queue = new_queue(w);
    Mem out = new_buffer(w, CL_MEM_READ_WRITE, 4);
    OK(clSetKernelArg(put, 0, sizeof(cl_mem), out.at()));
    const std::size_t one = 1;
    cl_int seen = 0;
    OK(clEnqueueNDRangeKernel(queue, put, 1, nullptr, &one, nullptr, 0, nullptr, nullptr));
    OK(clEnqueueReadBuffer(queue, out, CL_TRUE, 0, 4, &seen, 0, nullptr, nullptr));
    SAME(seen, 100 + i);
  });
}
USE(clRetainMemObject, from_eight_threads) {
  Mem shared = new_buffer(w, CL_MEM_READ_WRITE, 64);
  in_threads([&](int) {
    for (int i = 0; i < 1000; ++i) {
      OK(clRetainMemObject(shared));
      OK(clReleaseMemObject(shared));
    }
  });
  SAME(reference_count(clGetMemObjectInfo, cl_mem(shared), CL_MEM_REFERENCE_COUNT), 1u);
}
USE(clWaitForEvents, from_eight_threads_on_one_event) {
  Event gate = new_user_event(w), event;
  Queue queue = new_queue(w);
  const cl_uint one = 1;
  OK(clEnqueueFillBuffer(queue, w.dst, &one, 4, 0, kBytes, 1, gate.at(), event.out()));
  std::thread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    clSetUserEventStatus(gate, CL_COMPLETE);
  });
  std::exception_ptr failed;
  try {
    in_threads([&](int) { OK(clWaitForEvents(1, event.at())); });
  } catch (...) {
    failed = std::current_exception();
  }
  opener.join();
  if (failed) std::rethrow_exception(failed);
}

// Runs `inside` in a forked child; the child's exit code, or -1 where it did not end in time.
int forked(const std::function<int()>& inside, bool orderly = false) {
  const pid_t pid = ::fork();
  THAT(pid >= 0);
  if (pid == 0) {
    const int code = inside();
    if (orderly) std::exit(code);
    ::_exit(code);
  }
  for (int i = 0; i < 1000; ++i) {
    int status = 0;
    if (::waitpid(pid, &status, WNOHANG) == pid)
      return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  return -1;
}

void parent_still_computes(const World& w) {
  for (int i = 0; i < 3; ++i) work_on_own_objects(w, w.queue, 7);
}

USE_ALONE(clFinish, after_a_forked_child_left_at_once) {
  parent_still_computes(w);
  SAME(forked([] { return 0; }), 0);
  parent_still_computes(w);
}
USE_ALONE(clFinish, after_a_forked_child_ran_its_exit_handlers) {
  parent_still_computes(w);
  SAME(forked([] { return 0; }, true), 0);
  parent_still_computes(w);
}
USE_ALONE(clFinish, while_a_forked_child_lives) {
  int ends[2];
  THAT(::pipe(ends) == 0);
  const pid_t pid = ::fork();
  THAT(pid >= 0);
  if (pid == 0) {
    char byte = 0;
    ::close(ends[1]);
    const ssize_t n = ::read(ends[0], &byte, 1);
    ::_exit(n == 0 ? 0 : 1);
  }
  ::close(ends[0]);
  parent_still_computes(w);
  ::close(ends[1]);
  ::waitpid(pid, nullptr, 0);
  parent_still_computes(w);
}
// In the child: an error or the right answer, in time; then the parent goes on unharmed.
USE_ALONE(clEnqueueFillBuffer, in_a_forked_child_answers_or_refuses) {
  parent_still_computes(w);
  const int code = forked([&] {
    const cl_uint value = 0x5A5A5A5A;
    cl_uint seen = 0;
    cl_int e = clEnqueueFillBuffer(w.queue, w.dst, &value, 4, 0, kBytes, 0, nullptr, nullptr);
    if (e != CL_SUCCESS) return 0;
    e = clEnqueueReadBuffer(w.queue, w.dst, CL_TRUE, 0, 4, &seen, 0, nullptr, nullptr);
    return e != CL_SUCCESS || seen == value ? 0 : 1;
  });
  SAME(code, 0);
  parent_still_computes(w);
}
USE_ALONE(clCreateContext, in_a_forked_child_answers_or_refuses) {
  parent_still_computes(w);
  const int code = forked([&] {
    cl_int e = 1;
    cl_context ctx = clCreateContext(nullptr, 1, &w.device, nullptr, nullptr, &e);
    if (ctx == nullptr) return e != CL_SUCCESS ? 0 : 1;
    cl_command_queue queue = clCreateCommandQueueWithProperties(ctx, w.device, nullptr, &e);
    if (queue == nullptr) return e != CL_SUCCESS ? 0 : 2;
    cl_mem buffer = clCreateBuffer(ctx, CL_MEM_READ_WRITE, 64, nullptr, &e);
    if (buffer == nullptr) return e != CL_SUCCESS ? 0 : 3;
    const cl_uint value = 77;
    cl_uint seen = 0;
    e = clEnqueueFillBuffer(queue, buffer, &value, 4, 0, 64, 0, nullptr, nullptr);
    if (e == CL_SUCCESS)
      e = clEnqueueReadBuffer(queue, buffer, CL_TRUE, 60, 4, &seen, 0, nullptr, nullptr);
    return e != CL_SUCCESS || seen == value ? 0 : 4;
  });
  SAME(code, 0);
  parent_still_computes(w);
}
USE_ALONE(clFlush, two_processes_compute_side_by_side) {
  const pid_t pid = ::fork();
  THAT(pid >= 0);
  if (pid == 0) {
    ::dup2(::open("/dev/null", O_WRONLY), 1);
    ::execl("/proc/self/exe", "tessera-conformance", "--filter", "clFinish.everything_is_done",
            static_cast<char*>(nullptr));
    ::_exit(127);
  }
  parent_still_computes(w);
  int status = 0;
  ::waitpid(pid, &status, 0);
  THAT(WIFEXITED(status));
  SAME(WEXITSTATUS(status), 0);
  parent_still_computes(w);
}

}  // namespace
}  // namespace tessera::conformance

// SPDX-License-Identifier: Apache-2.0
//
// Command buffers: what launches of recorded commands do, and when.
#include <algorithm>
#include <array>
#include <thread>

#include "tests/conformance/command_buffers.h"

namespace tessera::conformance {
namespace {

constexpr std::size_t kItems = 64;
constexpr cl_uint kPending = 2;  // CL_COMMAND_BUFFER_STATE_PENDING_KHR
constexpr cl_properties kSimultaneous = 1;

cl_uint state_of(const World& w, cl_command_buffer_khr buffer) {
  cl_uint state = 99;
  OK(command_buffers(w).info(buffer, CL_COMMAND_BUFFER_STATE_KHR, sizeof state, &state, nullptr));
  return state;
}

// The driver may learn of an end a moment after the event has told it.
bool becomes_executable(const World& w, cl_command_buffer_khr buffer) {
  for (int i = 0; i < 1000; ++i) {
    if (state_of(w, buffer) == CL_COMMAND_BUFFER_STATE_EXECUTABLE_KHR) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

void launch(const World& w, cl_command_buffer_khr buffer, cl_uint count = 0,
            const cl_event* list = nullptr, cl_event* event = nullptr) {
  OK(command_buffers(w).enqueue(0, nullptr, buffer, count, list, event));
}

cl_sync_point_khr add_one(const World& w, cl_command_buffer_khr buffer, cl_kernel kernel,
                          const std::vector<cl_sync_point_khr>& after = {}) {
  cl_sync_point_khr point = 0;
  OK(command_buffers(w).nd_range(buffer, nullptr, nullptr, kernel, 1, nullptr, &kItems, nullptr,
                                 static_cast<cl_uint>(after.size()),
                                 after.empty() ? nullptr : after.data(), &point, nullptr));
  return point;
}

cl_sync_point_khr fill(const World& w, cl_command_buffer_khr buffer, cl_mem mem, cl_uint value,
                       const std::vector<cl_sync_point_khr>& after = {}) {
  cl_sync_point_khr point = 0;
  OK(command_buffers(w).fill_buffer(buffer, nullptr, mem, &value, sizeof value, 0, kBytes,
                                    static_cast<cl_uint>(after.size()),
                                    after.empty() ? nullptr : after.data(), &point, nullptr));
  return point;
}

cl_sync_point_khr copy(const World& w, cl_command_buffer_khr buffer, cl_mem from, cl_mem to,
                       const std::vector<cl_sync_point_khr>& after = {}) {
  cl_sync_point_khr point = 0;
  OK(command_buffers(w).copy_buffer(buffer, nullptr, from, to, 0, 0, kBytes,
                                    static_cast<cl_uint>(after.size()),
                                    after.empty() ? nullptr : after.data(), &point, nullptr));
  return point;
}

Kernel add_to(const World& w, cl_mem buffer) {
  Kernel add = new_kernel(w.program, "add_one");
  OK(clSetKernelArg(add, 0, sizeof(cl_mem), &buffer));
  return add;
}

template <class T>
T told(const World& w, cl_command_buffer_khr buffer, cl_uint what) {
  T value{};
  OK(command_buffers(w).info(buffer, what, sizeof value, &value, nullptr));
  return value;
}

USE(clCreateCommandBufferKHR, without_properties) {
  CommandBuffer made = new_command_buffer(w, w.queue);
  std::size_t size = 99;
  OK(command_buffers(w).info(made, CL_COMMAND_BUFFER_PROPERTIES_ARRAY_KHR, 0, nullptr, &size));
  SAME(size, 0u);
}
USE(clGetCommandBufferInfoKHR, tells_what_it_was_made_with) {
  CommandBuffer made = new_command_buffer(w, w.queue, kSimultaneous);
  SAME(told<cl_uint>(w, made, CL_COMMAND_BUFFER_NUM_QUEUES_KHR), 1u);
  SAME(told<cl_command_queue>(w, made, CL_COMMAND_BUFFER_QUEUES_KHR), w.queue);
  SAME(told<cl_uint>(w, made, CL_COMMAND_BUFFER_REFERENCE_COUNT_KHR), 1u);
  SAME(state_of(w, made), static_cast<cl_uint>(CL_COMMAND_BUFFER_STATE_RECORDING_KHR));
  std::array<cl_properties, 3> list{};
  std::size_t size = 0;
  OK(command_buffers(w).info(made, CL_COMMAND_BUFFER_PROPERTIES_ARRAY_KHR, sizeof list, list.data(),
                             &size));
  SAME(size, sizeof list);
  THAT((list == std::array<cl_properties, 3>{CL_COMMAND_BUFFER_FLAGS_KHR, kSimultaneous, 0}));
}
USE(clGetCommandBufferInfoKHR, sizes) {
  CommandBuffer made = new_command_buffer(w, w.queue);
  const auto& f = command_buffers(w);
  check_info([&](cl_uint what, size_t room, void* at,
                 size_t* size) { return f.info(made, what, room, at, size); },
             {{CL_COMMAND_BUFFER_NUM_QUEUES_KHR, sizeof(cl_uint)},
              {CL_COMMAND_BUFFER_QUEUES_KHR, sizeof(cl_command_queue)},
              {CL_COMMAND_BUFFER_REFERENCE_COUNT_KHR, sizeof(cl_uint)},
              {CL_COMMAND_BUFFER_STATE_KHR, sizeof(cl_uint)}});
}
USE(clRetainCommandBufferKHR, counts) {
  CommandBuffer made = new_command_buffer(w, w.queue);
  OK(command_buffers(w).retain(made));
  SAME(told<cl_uint>(w, made, CL_COMMAND_BUFFER_REFERENCE_COUNT_KHR), 2u);
  OK(command_buffers(w).release(made));
  SAME(told<cl_uint>(w, made, CL_COMMAND_BUFFER_REFERENCE_COUNT_KHR), 1u);
}
USE(clReleaseCommandBufferKHR, while_it_runs) {
  zero(w, w.dst, kBytes);
  Kernel add = add_to(w, w.dst);
  Event gate = new_user_event(w);
  {
    CommandBuffer made = new_command_buffer(w, w.queue);
    add_one(w, made, add);
    OK(command_buffers(w).finalize(made));
    launch(w, made, 1, gate.at());
  }
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(w.queue));
  SAME(read_all<cl_int>(w, w.dst, kItems)[5], 1);
}
USE(clReleaseCommandBufferKHR, gives_back_what_its_commands_use) {
  Mem from = new_buffer(w, CL_MEM_READ_WRITE, kBytes),
      to = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
  Kernel add = add_to(w, to);
  const auto count = [](cl_mem mem) {
    return reference_count(clGetMemObjectInfo, mem, CL_MEM_REFERENCE_COUNT);
  };
  CommandBuffer made = new_command_buffer(w, w.queue);
  copy(w, made, from, to);
  SAME(count(from), 2u);
  add_one(w, made, add);
  SAME(reference_count(clGetKernelInfo, cl_kernel(add), CL_KERNEL_REFERENCE_COUNT), 2u);
  made.reset();
  SAME(count(from), 1u);
  SAME(count(to), 1u);
  SAME(reference_count(clGetKernelInfo, cl_kernel(add), CL_KERNEL_REFERENCE_COUNT), 1u);
}
USE(clFinalizeCommandBufferKHR, makes_it_executable) {
  CommandBuffer made = new_command_buffer(w, w.queue);
  fill(w, made, w.dst, 1);
  OK(command_buffers(w).finalize(made));
  SAME(state_of(w, made), static_cast<cl_uint>(CL_COMMAND_BUFFER_STATE_EXECUTABLE_KHR));
}
USE(clEnqueueCommandBufferKHR, runs_its_commands_in_order_each_time) {
  Mem middle = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
  Kernel add = add_to(w, middle);
  CommandBuffer made = new_command_buffer(w, w.queue);
  copy(w, made, w.dst, middle);
  add_one(w, made, add);
  add_one(w, made, add);
  copy(w, made, middle, w.dst);
  OK(command_buffers(w).finalize(made));
  zero(w, w.dst, kBytes);
  for (cl_int i = 1; i <= 5; ++i) {
    launch(w, made);
    SAME(read_all<cl_int>(w, w.dst, kItems)[kItems - 1], 2 * i);
    THAT(becomes_executable(w, made));
  }
}
USE(clEnqueueCommandBufferKHR, behind_and_before_other_commands) {
  Kernel add = add_to(w, w.dst);
  CommandBuffer made = new_command_buffer(w, w.queue);
  add_one(w, made, add);
  OK(command_buffers(w).finalize(made));
  const cl_int ten = 10;
  OK(clEnqueueFillBuffer(w.queue, w.dst, &ten, 4, 0, kBytes, 0, nullptr, nullptr));
  launch(w, made);
  OK(clEnqueueNDRangeKernel(w.queue, add, 1, nullptr, &kItems, nullptr, 0, nullptr, nullptr));
  SAME(read_all<cl_int>(w, w.dst, kItems)[3], 12);
}
USE(clEnqueueCommandBufferKHR, on_another_queue) {
  Queue other = new_queue(w, CL_QUEUE_PROFILING_ENABLE);
  Queue made_for = new_queue(w, CL_QUEUE_PROFILING_ENABLE);
  CommandBuffer made = new_command_buffer(w, made_for);
  fill(w, made, w.dst, 17);
  OK(command_buffers(w).finalize(made));
  cl_command_queue queue = other;
  Event done;
  OK(command_buffers(w).enqueue(1, &queue, made, 0, nullptr, done.out()));
  OK(clWaitForEvents(1, done.at()));
  cl_command_queue told_queue = nullptr;
  OK(clGetEventInfo(done, CL_EVENT_COMMAND_QUEUE, sizeof told_queue, &told_queue, nullptr));
  SAME(told_queue, queue);
  SAME(read_all<cl_uint>(w, w.dst, 1)[0], 17u);
}
USE(clEnqueueCommandBufferKHR, gives_an_event) {
  CommandBuffer made = new_command_buffer(w, w.queue);
  fill(w, made, w.dst, 18);
  OK(command_buffers(w).finalize(made));
  Event done;
  launch(w, made, 0, nullptr, done.out());
  cl_command_type type = 0;
  OK(clGetEventInfo(done, CL_EVENT_COMMAND_TYPE, sizeof type, &type, nullptr));
  SAME(type, static_cast<cl_command_type>(CL_COMMAND_COMMAND_BUFFER_KHR));
  OK(clWaitForEvents(1, done.at()));
  SAME(status_of(done), CL_COMPLETE);
}
USE(clEnqueueCommandBufferKHR, its_times_are_those_of_all_its_commands) {
  Queue queue = new_queue(w, CL_QUEUE_PROFILING_ENABLE);
  Program program = new_program(w,
                                "kernel void slow(global int* p) { int x = p[0]; for (int i = 0; i "
                                "< 20000000; ++i) x = x * 3 + i; p[0] = x; }");
  Kernel slow = new_kernel(program, "slow");
  OK(clSetKernelArg(slow, 0, sizeof(cl_mem), w.dst.at()));
  const std::size_t one = 1;
  Event alone;
  OK(clEnqueueNDRangeKernel(queue, slow, 1, nullptr, &one, nullptr, 0, nullptr, alone.out()));
  OK(clWaitForEvents(1, alone.at()));
  const auto time = [](cl_event event, cl_profiling_info what) {
    cl_ulong value = 0;
    OK(clGetEventProfilingInfo(event, what, sizeof value, &value, nullptr));
    return value;
  };
  const cl_ulong once =
      time(alone, CL_PROFILING_COMMAND_END) - time(alone, CL_PROFILING_COMMAND_START);
  CommandBuffer made = new_command_buffer(w, queue);
  for (int i = 0; i < 4; ++i) {
    OK(command_buffers(w).nd_range(made, nullptr, nullptr, slow, 1, nullptr, &one, nullptr, 0,
                                   nullptr, nullptr, nullptr));
  }
  OK(command_buffers(w).finalize(made));
  Event done;
  launch(w, made, 0, nullptr, done.out());
  OK(clWaitForEvents(1, done.at()));
  const cl_ulong start = time(done, CL_PROFILING_COMMAND_START);
  THAT(time(done, CL_PROFILING_COMMAND_QUEUED) <= time(done, CL_PROFILING_COMMAND_SUBMIT));
  THAT(time(done, CL_PROFILING_COMMAND_SUBMIT) <= start);
  THAT(time(done, CL_PROFILING_COMMAND_END) - start > once);
}
USE(clEnqueueCommandBufferKHR, waits_for_its_list) {
  Queue queue = new_queue(w);
  CommandBuffer made = new_command_buffer(w, queue);
  fill(w, made, w.dst, 21);
  OK(command_buffers(w).finalize(made));
  zero(w, w.dst, kBytes);
  Event gate = new_user_event(w), done;
  launch(w, made, 1, gate.at(), done.out());
  OK(clFlush(queue));
  const cl_int held_back = status_of(done);
  const cl_uint before = read_all<cl_uint>(w, w.dst, 1)[0];
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clWaitForEvents(1, done.at()));
  THAT(held_back > CL_RUNNING);
  SAME(before, 0u);
  SAME(read_all<cl_uint>(w, w.dst, 1)[0], 21u);
}
USE(clEnqueueCommandBufferKHR, without_commands_waits_for_its_list) {
  for (const cl_command_queue queue : {cl_command_queue(w.queue), cl_command_queue(w.unordered)}) {
    CommandBuffer made = new_command_buffer(w, queue);
    OK(command_buffers(w).finalize(made));
    Event gate = new_user_event(w), done;
    launch(w, made, 1, gate.at(), done.out());
    OK(clFlush(queue));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const cl_int held_back = status_of(done);
    OK(clSetUserEventStatus(gate, CL_COMPLETE));
    OK(clWaitForEvents(1, done.at()));
    THAT(held_back > CL_COMPLETE);
  }
}
USE(clEnqueueCommandBufferKHR, fails_with_its_list) {
  CommandBuffer made = new_command_buffer(w, w.unordered);
  const auto first = fill(w, made, w.dst, 1);
  copy(w, made, w.dst, w.buf, {first});
  OK(command_buffers(w).finalize(made));
  Event gate = new_user_event(w), done;
  launch(w, made, 1, gate.at(), done.out());
  OK(clFlush(w.unordered));
  OK(clSetUserEventStatus(gate, -5));
  CODE(clWaitForEvents(1, done.at()), CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
  THAT(status_of(done) < 0);
}
USE(clEnqueueCommandBufferKHR, many_at_once) {
  zero(w, w.dst, kBytes);
  Kernel add = add_to(w, w.dst);
  CommandBuffer made = new_command_buffer(w, w.queue, kSimultaneous);
  for (int i = 0; i < 4; ++i) add_one(w, made, add);
  OK(command_buffers(w).finalize(made));
  Event gate = new_user_event(w);
  launch(w, made, 1, gate.at());
  for (int i = 1; i < 50; ++i) launch(w, made);
  SAME(state_of(w, made), kPending);
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(w.queue));
  THAT(becomes_executable(w, made));
  SAME(read_all<cl_int>(w, w.dst, kItems)[9], 200);
}
USE(clEnqueueCommandBufferKHR, from_several_threads) {
  zero(w, w.dst, kBytes);
  Kernel add = add_to(w, w.dst);
  CommandBuffer made = new_command_buffer(w, w.queue, kSimultaneous);
  add_one(w, made, add);
  add_one(w, made, add);
  OK(command_buffers(w).finalize(made));
  std::array<cl_int, 4> failed{};
  std::vector<std::thread> threads;
  for (cl_int& each : failed) {
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i) {
        if (command_buffers(w).enqueue(0, nullptr, made, 0, nullptr, nullptr) != CL_SUCCESS) ++each;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  OK(clFinish(w.queue));
  THAT((failed == std::array<cl_int, 4>{}));
  SAME(read_all<cl_int>(w, w.dst, kItems)[9], 200);
}
USE(clEnqueueCommandBufferKHR, keeps_what_its_commands_use) {
  CommandBuffer made = new_command_buffer(w, w.queue);
  {
    Mem middle = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
    Kernel add = add_to(w, middle);
    fill(w, made, middle, 30);
    add_one(w, made, add);
    copy(w, made, middle, w.dst);
  }
  OK(command_buffers(w).finalize(made));
  launch(w, made);
  SAME(read_all<cl_int>(w, w.dst, kItems)[1], 31);
}
USE(clCommandNDRangeKernelKHR, takes_the_arguments_of_when_it_was_recorded) {
  Mem other = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
  zero(w, w.dst, kBytes);
  zero(w, other, kBytes);
  Kernel add = add_to(w, w.dst);
  CommandBuffer made = new_command_buffer(w, w.queue);
  add_one(w, made, add);
  OK(clSetKernelArg(add, 0, sizeof(cl_mem), other.at()));
  add_one(w, made, add);
  add_one(w, made, add);
  OK(command_buffers(w).finalize(made));
  OK(clSetKernelArg(add, 0, sizeof(cl_mem), w.buf.at()));
  launch(w, made);
  SAME(read_all<cl_int>(w, w.dst, kItems)[2], 1);
  SAME(read_all<cl_int>(w, other, kItems)[2], 2);
  Event done;
  OK(clEnqueueNDRangeKernel(w.queue, add, 1, nullptr, &kItems, nullptr, 0, nullptr, done.out()));
  OK(clWaitForEvents(1, done.at()));
  SAME(read_all<cl_int>(w, other, kItems)[2], 2);
}
USE(clCommandNDRangeKernelKHR, with_a_value_an_offset_and_local_memory) {
  Program program = new_program(w,
                                "kernel void put(global int* p, int value, local int* room) { "
                                "room[get_local_id(0)] = value; barrier(CLK_LOCAL_MEM_FENCE); "
                                "p[get_global_id(0)] = room[0] + (int)get_global_id(0); }");
  Kernel put = new_kernel(program, "put");
  const cl_int value = 100;
  OK(clSetKernelArg(put, 0, sizeof(cl_mem), w.dst.at()));
  OK(clSetKernelArg(put, 1, sizeof value, &value));
  OK(clSetKernelArg(put, 2, 8 * sizeof(cl_int), nullptr));
  const std::size_t offset = 16, size = 16, group = 8;
  CommandBuffer made = new_command_buffer(w, w.queue);
  OK(command_buffers(w).nd_range(made, nullptr, nullptr, put, 1, &offset, &size, &group, 0, nullptr,
                                 nullptr, nullptr));
  OK(command_buffers(w).finalize(made));
  zero(w, w.dst, kBytes);
  launch(w, made);
  const auto seen = read_all<cl_int>(w, w.dst, kItems);
  SAME(seen[15], 0);
  SAME(seen[16], 116);
  SAME(seen[31], 131);
  SAME(seen[32], 0);
}
USE(clCommandFillBufferKHR, waits_for_its_sync_points) {
  std::array<Mem, 4> m;
  for (Mem& one : m) one = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
  CommandBuffer made = new_command_buffer(w, w.unordered);
  const auto top = fill(w, made, m[0], 5);
  const auto left = copy(w, made, m[0], m[1], {top});
  const auto right = copy(w, made, m[0], m[2], {top});
  Kernel add_left = add_to(w, m[1]), add_right = add_to(w, m[2]);
  const auto left_done = add_one(w, made, add_left, {left});
  const auto right_done = add_one(w, made, add_right, {right});
  copy(w, made, m[1], m[3], {left_done, right_done});
  OK(command_buffers(w).finalize(made));
  for (int i = 0; i < 20; ++i) {
    zero(w, m[3], kBytes);
    Event done;
    launch(w, made, 0, nullptr, done.out());
    OK(clWaitForEvents(1, done.at()));
    SAME(read_all<cl_int>(w, m[3], kItems)[11], 6);
    SAME(read_all<cl_int>(w, m[2], kItems)[11], 6);
    THAT(becomes_executable(w, made));
  }
}
USE(clCommandCopyBufferKHR, its_event_is_behind_every_command) {
  std::array<Mem, 3> m;
  for (Mem& one : m) one = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
  CommandBuffer made = new_command_buffer(w, w.unordered);
  for (std::size_t i = 0; i < m.size(); ++i) fill(w, made, m[i], static_cast<cl_uint>(i + 40));
  OK(command_buffers(w).finalize(made));
  Event done;
  launch(w, made, 0, nullptr, done.out());
  std::array<cl_uint, 3> seen{};
  for (std::size_t i = 0; i < m.size(); ++i) {
    OK(clEnqueueReadBuffer(w.unordered, m[i], CL_TRUE, 8, 4, &seen[i], 1, done.at(), nullptr));
  }
  THAT((seen == std::array<cl_uint, 3>{40, 41, 42}));
}
USE(clCommandBarrierWithWaitListKHR, orders_what_is_around_it) {
  std::array<Mem, 3> m;
  for (Mem& one : m) one = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
  const auto& f = command_buffers(w);
  CommandBuffer made = new_command_buffer(w, w.unordered);
  OK(f.barrier(made, nullptr, 0, nullptr, nullptr, nullptr));
  fill(w, made, m[0], 60);
  fill(w, made, m[1], 70);
  OK(f.barrier(made, nullptr, 0, nullptr, nullptr, nullptr));
  copy(w, made, m[0], m[2]);
  cl_sync_point_khr point = 0;
  OK(f.barrier(made, nullptr, 0, nullptr, &point, nullptr));
  copy(w, made, m[1], m[0]);
  OK(f.barrier(made, nullptr, 1, &point, nullptr, nullptr));
  OK(f.finalize(made));
  for (int i = 0; i < 20; ++i) {
    Event done;
    launch(w, made, 0, nullptr, done.out());
    OK(clWaitForEvents(1, done.at()));
    SAME(read_all<cl_uint>(w, m[2], 9)[8], 60u);
    SAME(read_all<cl_uint>(w, m[0], 9)[8], 70u);
    THAT(becomes_executable(w, made));
  }
}
USE(clCommandBarrierWithWaitListKHR, holds_back_nothing_else_in_its_queue) {
  const auto& f = command_buffers(w);
  CommandBuffer made = new_command_buffer(w, w.unordered);
  fill(w, made, w.dst, 1);
  OK(f.barrier(made, nullptr, 0, nullptr, nullptr, nullptr));
  fill(w, made, w.dst, 2);
  OK(f.finalize(made));
  Event gate = new_user_event(w), done, fast;
  launch(w, made, 1, gate.at(), done.out());
  const cl_uint one = 1;
  OK(clEnqueueFillBuffer(w.unordered, w.buf, &one, 4, 0, kBytes, 0, nullptr, fast.out()));
  const cl_int waited = clWaitForEvents(1, fast.at());
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clWaitForEvents(1, done.at()));
  OK(waited);
}
USE(clCommandBarrierWithWaitListKHR, in_order) {
  CommandBuffer made = new_command_buffer(w, w.queue);
  fill(w, made, w.dst, 3);
  cl_sync_point_khr point = 0;
  OK(command_buffers(w).barrier(made, nullptr, 0, nullptr, &point, nullptr));
  copy(w, made, w.dst, w.buf, {point});
  OK(command_buffers(w).finalize(made));
  launch(w, made);
  SAME(read_all<cl_uint>(w, w.buf, 1)[0], 3u);
}
USE(clCommandCopyBufferRectKHR, copies_a_rectangle) {
  const auto bytes = pattern(kBytes);
  Mem to = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
  write_all(w, w.buf, bytes);
  zero(w, to, kBytes);
  const size_t from[] = {4, 2, 0}, at[] = {8, 1, 0}, region[] = {16, 5, 1};
  CommandBuffer made = new_command_buffer(w, w.queue);
  OK(command_buffers(w).copy_rect(made, nullptr, w.buf, to, from, at, region, 64, 0, 32, 0, 0,
                                  nullptr, nullptr, nullptr));
  OK(command_buffers(w).finalize(made));
  launch(w, made);
  const auto seen = read_all<unsigned char>(w, to, kBytes);
  SAME(seen[32 + 8], bytes[2 * 64 + 4]);
  SAME(seen[5 * 32 + 8 + 15], bytes[6 * 64 + 4 + 15]);
  SAME(seen[32 + 7], 0);
  SAME(seen[32 + 24], 0);
}

}  // namespace
}  // namespace tessera::conformance

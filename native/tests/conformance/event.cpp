// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <atomic>
#include <thread>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

using std::chrono::milliseconds;

template <class Ready>
bool becomes(Ready ready, int limit_ms = 5000) {
  for (int i = 0; i < limit_ms && !ready(); ++i) std::this_thread::sleep_for(milliseconds(1));
  return ready();
}

cl_int fill_after(const World& w, cl_command_queue queue, cl_event gate, cl_event* out) {
  const cl_uint seven = 7;
  return clEnqueueFillBuffer(queue, w.dst, &seven, 4, 0, kBytes, 1, &gate, out);
}

USE(clWaitForEvents, of_several_queues) {
  std::array<Event, 2> events;
  OK(clEnqueueMarkerWithWaitList(w.queue, 0, nullptr, events[0].out()));
  OK(clEnqueueMarkerWithWaitList(w.unordered, 0, nullptr, events[1].out()));
  const cl_event list[] = {events[0], events[1]};
  OK(clWaitForEvents(2, list));
  SAME(status_of(events[0]), CL_COMPLETE);
  SAME(status_of(events[1]), CL_COMPLETE);
}
USE(clWaitForEvents, without_a_flush) {
  Queue queue = new_queue(w);
  Event event;
  const cl_uint seven = 7;
  OK(clEnqueueFillBuffer(queue, w.dst, &seven, 4, 0, kBytes, 0, nullptr, event.out()));
  OK(clWaitForEvents(1, event.at()));
}
USE(clWaitForEvents, until_another_thread_sets_a_user_event) {
  Event gate = new_user_event(w), event;
  OK(fill_after(w, w.queue, gate, event.out()));
  std::atomic<bool> set{false};
  std::thread other([&] {
    std::this_thread::sleep_for(milliseconds(50));
    set = true;
    clSetUserEventStatus(gate, CL_COMPLETE);
  });
  const cl_int code = clWaitForEvents(1, event.at());
  const bool was_set = set;
  other.join();
  OK(code);
  THAT(was_set);
}
TABLE_FAULT(clWaitForEvents, none, CL_INVALID_VALUE, (0, nullptr))
TABLE_FAULT(clWaitForEvents, null_list, CL_INVALID_VALUE, (1, nullptr))
TABLE_FAULT(clWaitForEvents, null_event, CL_INVALID_EVENT,
            (1, std::vector<cl_event>{nullptr}.data()))
FAULT_BODY(clWaitForEvents, of_two_contexts) {
  const cl_event list[] = {w.done, w.other_done};
  CODE(clWaitForEvents(2, list), CL_INVALID_CONTEXT);
}
FAULT_BODY(clWaitForEvents, failed_user_event) {
  Event gate = new_user_event(w);
  OK(clSetUserEventStatus(gate, -7));
  CODE(clWaitForEvents(1, gate.at()), CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
}
FAULT_BODY(clWaitForEvents, command_behind_a_failed_event) {
  Event gate = new_user_event(w), event;
  Queue queue = new_queue(w);
  OK(fill_after(w, queue, gate, event.out()));
  OK(clSetUserEventStatus(gate, -7));
  CODE(clWaitForEvents(1, event.at()), CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
  THAT(status_of(event) < 0);
}

USE(clGetEventInfo, every_parameter) {
  check_info([&](cl_uint what, std::size_t n, void* to,
                 std::size_t* size) { return clGetEventInfo(w.done, what, n, to, size); },
             {{CL_EVENT_COMMAND_QUEUE, 8},
              {CL_EVENT_COMMAND_TYPE, 4},
              {CL_EVENT_CONTEXT, 8},
              {CL_EVENT_COMMAND_EXECUTION_STATUS, 4},
              {CL_EVENT_REFERENCE_COUNT, 4}});
  cl_command_queue queue = nullptr;
  cl_context ctx = nullptr;
  OK(clGetEventInfo(w.done, CL_EVENT_COMMAND_QUEUE, sizeof queue, &queue, nullptr));
  OK(clGetEventInfo(w.done, CL_EVENT_CONTEXT, sizeof ctx, &ctx, nullptr));
  SAME(queue, cl_command_queue(w.queue));
  SAME(ctx, cl_context(w.ctx));
}
USE(clGetEventInfo, status_of_a_waiting_command) {
  Event gate = new_user_event(w), event;
  OK(fill_after(w, w.unordered, gate, event.out()));
  OK(clFlush(w.unordered));
  const cl_int before = status_of(event);
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(w.unordered));
  THAT(before == CL_QUEUED || before == CL_SUBMITTED);
  SAME(status_of(event), CL_COMPLETE);
}
TABLE_FAULT(clGetEventInfo, null_event, CL_INVALID_EVENT,
            (nullptr, CL_EVENT_CONTEXT, 0, nullptr, nullptr))
FAULT(clGetEventInfo, unknown_parameter, CL_INVALID_VALUE, (w.done, 0x1, 0, nullptr, nullptr))
FAULT(clGetEventInfo, wrong_kind, CL_INVALID_EVENT,
      (as<cl_event>(w.ctx), CL_EVENT_CONTEXT, 0, nullptr, nullptr))

USE(clRetainEvent, counts) {
  Event gate = new_user_event(w);
  OK(clRetainEvent(gate));
  const auto two = reference_count(clGetEventInfo, cl_event(gate), CL_EVENT_REFERENCE_COUNT);
  OK(clReleaseEvent(gate));
  const auto one = reference_count(clGetEventInfo, cl_event(gate), CL_EVENT_REFERENCE_COUNT);
  SAME(two - one, 1u);
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
}
TABLE_FAULT(clRetainEvent, null_event, CL_INVALID_EVENT, (nullptr))
FAULT(clRetainEvent, wrong_kind, CL_INVALID_EVENT, (as<cl_event>(w.queue)))
USE(clReleaseEvent, before_the_command_is_done) {
  Event gate = new_user_event(w);
  cl_event event = nullptr;
  OK(fill_after(w, w.unordered, gate, &event));
  OK(clReleaseEvent(event));
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(w.unordered));
}
TABLE_FAULT(clReleaseEvent, null_event, CL_INVALID_EVENT, (nullptr))
FAULT(clReleaseEvent, wrong_kind, CL_INVALID_EVENT, (as<cl_event>(w.ctx)))

USE(clCreateUserEvent, facts) {
  Event gate = new_user_event(w);
  cl_command_type type = 0;
  cl_command_queue queue = w.queue;
  OK(clGetEventInfo(gate, CL_EVENT_COMMAND_TYPE, sizeof type, &type, nullptr));
  OK(clGetEventInfo(gate, CL_EVENT_COMMAND_QUEUE, sizeof queue, &queue, nullptr));
  SAME(type, cl_command_type{CL_COMMAND_USER});
  SAME(queue, static_cast<cl_command_queue>(nullptr));
  SAME(status_of(gate), CL_SUBMITTED);
}
TABLE_FAULT_NEW(clCreateUserEvent, null_context, CL_INVALID_CONTEXT, (nullptr, &e))
FAULT_NEW(clCreateUserEvent, wrong_kind, CL_INVALID_CONTEXT, (as<cl_context>(w.queue), &e))

USE(clSetUserEventStatus, lets_the_commands_go) {
  zero(w, w.dst, kBytes);
  Event gate = new_user_event(w), event;
  OK(fill_after(w, w.unordered, gate, event.out()));
  OK(clFlush(w.unordered));
  SAME(read_all<cl_uint>(w, w.dst, 1)[0], 0u);
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clWaitForEvents(1, event.at()));
  SAME(read_all<cl_uint>(w, w.dst, 1)[0], 7u);
}
USE(clSetUserEventStatus, an_error_ends_what_waits) {
  Event gate = new_user_event(w), first, second;
  Queue queue = new_queue(w, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
  zero(w, w.dst, kBytes);
  OK(fill_after(w, queue, gate, first.out()));
  OK(fill_after(w, queue, first, second.out()));
  OK(clFlush(queue));
  OK(clSetUserEventStatus(gate, -42));
  SAME(status_of(gate), -42);
  THAT(becomes([&] { return status_of(second) < 0; }));
  THAT(status_of(first) < 0);
  SAME(read_all<cl_uint>(w, w.dst, 1)[0], 0u);
}
TABLE_FAULT(clSetUserEventStatus, null_event, CL_INVALID_EVENT, (nullptr, CL_COMPLETE))
FAULT(clSetUserEventStatus, of_a_command, CL_INVALID_EVENT, (w.done, CL_COMPLETE))
FAULT(clSetUserEventStatus, wrong_kind, CL_INVALID_EVENT, (as<cl_event>(w.ctx), CL_COMPLETE))
FAULT_BODY(clSetUserEventStatus, running) {
  Event gate = new_user_event(w);
  CODE(clSetUserEventStatus(gate, CL_RUNNING), CL_INVALID_VALUE);
  CODE(clSetUserEventStatus(gate, 17), CL_INVALID_VALUE);
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
}
FAULT_BODY(clSetUserEventStatus, twice) {
  Event gate = new_user_event(w);
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  CODE(clSetUserEventStatus(gate, CL_COMPLETE), CL_INVALID_OPERATION);
}

struct Calls {
  std::atomic<int> count{0};
  std::atomic<cl_int> status{99};
  std::atomic<cl_event> event{nullptr};
};
void CL_CALLBACK note(cl_event event, cl_int status, void* user) {
  auto* calls = static_cast<Calls*>(user);
  calls->event = event;
  calls->status = status;
  calls->count += 1;
}

USE(clSetEventCallback, for_every_state) {
  Event gate = new_user_event(w), event;
  OK(fill_after(w, w.unordered, gate, event.out()));
  std::array<Calls, 3> calls;
  OK(clSetEventCallback(event, CL_SUBMITTED, note, &calls[0]));
  OK(clSetEventCallback(event, CL_RUNNING, note, &calls[1]));
  OK(clSetEventCallback(event, CL_COMPLETE, note, &calls[2]));
  OK(clFlush(w.unordered));
  SAME(calls[2].count.load(), 0);
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  for (Calls& one : calls) THAT(becomes([&] { return one.count == 1; }));
  SAME(calls[2].status.load(), CL_COMPLETE);
  SAME(calls[2].event.load(), cl_event(event));
  std::this_thread::sleep_for(milliseconds(20));
  for (Calls& one : calls) SAME(one.count.load(), 1);
}
USE(clSetEventCallback, on_a_complete_event) {
  Calls calls;
  OK(clSetEventCallback(w.done, CL_COMPLETE, note, &calls));
  THAT(becomes([&] { return calls.count == 1; }));
  SAME(calls.status.load(), CL_COMPLETE);
}
USE(clSetEventCallback, on_a_user_event) {
  Event gate = new_user_event(w);
  Calls calls;
  OK(clSetEventCallback(gate, CL_COMPLETE, note, &calls));
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  THAT(becomes([&] { return calls.count == 1; }));
  SAME(calls.status.load(), CL_COMPLETE);
}
USE(clSetEventCallback, on_the_error_of_a_user_event) {
  Event gate = new_user_event(w);
  // Static: a driver that calls late must not find the stack of a case that is over.
  static Calls calls;
  OK(clSetEventCallback(gate, CL_COMPLETE, note, &calls));
  OK(clSetUserEventStatus(gate, -9));
  THAT(becomes([&] { return calls.count == 1; }));
  SAME(calls.status.load(), -9);
}
USE(clSetEventCallback, called_though_the_event_was_released) {
  Event gate = new_user_event(w);
  cl_event event = nullptr;
  Calls calls;
  OK(fill_after(w, w.unordered, gate, &event));
  OK(clSetEventCallback(event, CL_COMPLETE, note, &calls));
  OK(clReleaseEvent(event));
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(w.unordered));
  THAT(becomes([&] { return calls.count == 1; }));
}
struct Chain {
  const World* world;
  std::atomic<cl_int> code{99};
  Event next;
  std::atomic<bool> ran{false};
};
USE(clSetEventCallback, may_enqueue) {
  // The standard forbids blocking calls here, and enqueueing is none.
  Event gate = new_user_event(w), event;
  Chain chain{.world = &w, .next = {}};
  OK(fill_after(w, w.unordered, gate, event.out()));
  OK(clSetEventCallback(
      event, CL_COMPLETE,
      [](cl_event, cl_int, void* user) {
        auto* c = static_cast<Chain*>(user);
        c->code = clEnqueueMarkerWithWaitList(c->world->queue, 0, nullptr, c->next.out());
        clFlush(c->world->queue);
        c->ran = true;
      },
      &chain));
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  THAT(becomes([&] { return chain.ran.load(); }));
  OK(chain.code);
  OK(clWaitForEvents(1, chain.next.at()));
}
TABLE_FAULT(clSetEventCallback, null_event, CL_INVALID_EVENT, (nullptr, CL_COMPLETE, note, nullptr))
FAULT(clSetEventCallback, null_function, CL_INVALID_VALUE, (w.done, CL_COMPLETE, nullptr, nullptr))
FAULT(clSetEventCallback, for_queued, CL_INVALID_VALUE, (w.done, CL_QUEUED, note, nullptr))
FAULT(clSetEventCallback, for_a_number, CL_INVALID_VALUE, (w.done, 17, note, nullptr))
FAULT(clSetEventCallback, wrong_kind, CL_INVALID_EVENT,
      (as<cl_event>(w.ctx), CL_COMPLETE, note, nullptr))

cl_ulong time_of(cl_event event, cl_profiling_info what) {
  cl_ulong value = 0;
  OK(clGetEventProfilingInfo(event, what, sizeof value, &value, nullptr));
  return value;
}

USE(clGetEventProfilingInfo, times_are_in_order) {
  std::array<Event, 3> events;
  const cl_uint seven = 7;
  for (Event& event : events) {
    OK(clEnqueueFillBuffer(w.queue, w.dst, &seven, 4, 0, kBytes, 0, nullptr, event.out()));
  }
  OK(clFinish(w.queue));
  cl_ulong before = 0;
  for (Event& event : events) {
    const cl_ulong queued = time_of(event, CL_PROFILING_COMMAND_QUEUED);
    const cl_ulong submitted = time_of(event, CL_PROFILING_COMMAND_SUBMIT);
    const cl_ulong start = time_of(event, CL_PROFILING_COMMAND_START);
    const cl_ulong end = time_of(event, CL_PROFILING_COMMAND_END);
    THAT(queued > 0);
    THAT(queued <= submitted);
    THAT(submitted <= start);
    THAT(start <= end);
    THAT(before <= start);
    THAT(time_of(event, CL_PROFILING_COMMAND_COMPLETE) >= end);
    before = end;
  }
}
USE(clGetEventProfilingInfo, every_parameter) {
  Event event;
  OK(clEnqueueMarkerWithWaitList(w.queue, 0, nullptr, event.out()));
  OK(clFinish(w.queue));
  check_info([&](cl_uint what, std::size_t n, void* to,
                 std::size_t* size) { return clGetEventProfilingInfo(event, what, n, to, size); },
             {{CL_PROFILING_COMMAND_QUEUED, 8},
              {CL_PROFILING_COMMAND_SUBMIT, 8},
              {CL_PROFILING_COMMAND_START, 8},
              {CL_PROFILING_COMMAND_END, 8},
              {CL_PROFILING_COMMAND_COMPLETE, 8}});
}
TABLE_FAULT(clGetEventProfilingInfo, null_event, CL_INVALID_EVENT,
            (nullptr, CL_PROFILING_COMMAND_START, 0, nullptr, nullptr))
FAULT(clGetEventProfilingInfo, unknown_parameter, CL_INVALID_VALUE,
      (w.done, 0x1, 8, &w.device, nullptr))
FAULT(clGetEventProfilingInfo, wrong_kind, CL_INVALID_EVENT,
      (as<cl_event>(w.ctx), CL_PROFILING_COMMAND_START, 0, nullptr, nullptr))
FAULT_BODY(clGetEventProfilingInfo, of_a_user_event) {
  Event gate = new_user_event(w);
  cl_ulong value = 0;
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  CODE(clGetEventProfilingInfo(gate, CL_PROFILING_COMMAND_START, sizeof value, &value, nullptr),
       CL_PROFILING_INFO_NOT_AVAILABLE);
}
FAULT_BODY(clGetEventProfilingInfo, on_a_queue_without_profiling) {
  Event event;
  cl_ulong value = 0;
  OK(clEnqueueMarkerWithWaitList(w.unprofiled, 0, nullptr, event.out()));
  OK(clFinish(w.unprofiled));
  CODE(clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof value, &value, nullptr),
       CL_PROFILING_INFO_NOT_AVAILABLE);
}
FAULT_BODY(clGetEventProfilingInfo, before_it_is_done) {
  Event gate = new_user_event(w), event;
  cl_ulong value = 0;
  OK(fill_after(w, w.unordered, gate, event.out()));
  const cl_int code =
      clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof value, &value, nullptr);
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(w.unordered));
  CODE(code, CL_PROFILING_INFO_NOT_AVAILABLE);
}

}  // namespace
}  // namespace tessera::conformance

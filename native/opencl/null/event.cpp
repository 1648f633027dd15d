// SPDX-License-Identifier: Apache-2.0
#include "opencl/null/engine.h"

using namespace tessera::null;

extern "C" {

cl_event CL_API_CALL clCreateUserEvent(cl_context context, cl_int* errcode) {
  if (!valid(context)) return refuse(errcode, CL_INVALID_CONTEXT);
  auto event = std::make_unique<_cl_event>();
  event->context = Ref<_cl_context>(context);
  event->status = CL_SUBMITTED;
  return grant(errcode, std::move(event));
}

cl_int CL_API_CALL clSetUserEventStatus(cl_event event, cl_int status) {
  if (!valid(event)) return CL_INVALID_EVENT;
  if (event->type != CL_COMMAND_USER) return CL_INVALID_EVENT;
  if (status > CL_COMPLETE) return CL_INVALID_VALUE;
  return end_user_event(event, status);
}

cl_int CL_API_CALL clRetainEvent(cl_event event) {
  return retain(event, CL_INVALID_EVENT);
}
cl_int CL_API_CALL clReleaseEvent(cl_event event) {
  return release(event, CL_INVALID_EVENT);
}

cl_int CL_API_CALL clGetEventInfo(cl_event event, cl_event_info what, size_t size, void* value,
                                  size_t* needed) {
  if (!valid(event)) return CL_INVALID_EVENT;
  const Query query{size, value, needed};
  switch (what) {
    case CL_EVENT_COMMAND_QUEUE:
      return query.one(event->queue.get());
    case CL_EVENT_CONTEXT:
      return query.one(event->context.get());
    case CL_EVENT_COMMAND_TYPE:
      return query.one(event->type);
    case CL_EVENT_REFERENCE_COUNT:
      return query.one(event->api.load());
    case CL_EVENT_COMMAND_EXECUTION_STATUS: {
      const std::lock_guard lock(big_lock());
      return query.one(event->status);
    }
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int CL_API_CALL clGetEventProfilingInfo(cl_event event, cl_profiling_info what, size_t size,
                                           void* value, size_t* needed) {
  if (!valid(event)) return CL_INVALID_EVENT;
  const std::lock_guard lock(big_lock());
  if (!event->queue || (event->queue->properties & CL_QUEUE_PROFILING_ENABLE) == 0 ||
      event->status != CL_COMPLETE) {
    return CL_PROFILING_INFO_NOT_AVAILABLE;
  }
  const Query query{size, value, needed};
  switch (what) {
    case CL_PROFILING_COMMAND_QUEUED:
    case CL_PROFILING_COMMAND_SUBMIT:
    case CL_PROFILING_COMMAND_START:
    case CL_PROFILING_COMMAND_END:
      return query.one(event->times[what - CL_PROFILING_COMMAND_QUEUED]);
    case CL_PROFILING_COMMAND_COMPLETE:
      return query.one(event->times[3]);
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int CL_API_CALL clSetEventCallback(cl_event event, cl_int when,
                                      void(CL_CALLBACK* call)(cl_event, cl_int, void*),
                                      void* user_data) {
  if (!valid(event)) return CL_INVALID_EVENT;
  if (call == nullptr || when < CL_COMPLETE || when > CL_SUBMITTED) return CL_INVALID_VALUE;
  add_callback(event, {when, call, user_data});
  return CL_SUCCESS;
}

cl_int CL_API_CALL clWaitForEvents(cl_uint count, const cl_event* list) {
  if (count == 0 || list == nullptr) return CL_INVALID_VALUE;
  std::vector<cl_event> events(list, list + count);
  for (cl_event event : events) {
    if (!valid(event)) return CL_INVALID_EVENT;
    if (event->context.get() != events[0]->context.get()) return CL_INVALID_CONTEXT;
  }
  std::vector<Ref<_cl_event>> held;
  for (cl_event event : events) held.emplace_back(event);
  return wait_until_ended(events);
}

cl_int CL_API_CALL clEnqueueMarkerWithWaitList(cl_command_queue queue, cl_uint count,
                                               const cl_event* list, cl_event* event) {
  return submit({queue, CL_COMMAND_MARKER, count, list, event, false, true, false},
                [] { return CL_COMPLETE; });
}

cl_int CL_API_CALL clEnqueueBarrierWithWaitList(cl_command_queue queue, cl_uint count,
                                                const cl_event* list, cl_event* event) {
  return submit({queue, CL_COMMAND_BARRIER, count, list, event, false, true, true},
                [] { return CL_COMPLETE; });
}

cl_int CL_API_CALL clEnqueueMarker(cl_command_queue queue, cl_event* event) {
  return event == nullptr ? CL_INVALID_VALUE
                          : clEnqueueMarkerWithWaitList(queue, 0, nullptr, event);
}

cl_int CL_API_CALL clEnqueueBarrier(cl_command_queue queue) {
  return clEnqueueBarrierWithWaitList(queue, 0, nullptr, nullptr);
}

cl_int CL_API_CALL clEnqueueWaitForEvents(cl_command_queue queue, cl_uint count,
                                          const cl_event* list) {
  if (count == 0) return CL_INVALID_VALUE;
  return clEnqueueBarrierWithWaitList(queue, count, list, nullptr);
}

}  // extern "C"

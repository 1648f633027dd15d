// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>

#include "generated/client_entries.h"
#include "generated/messages_event.h"
#include "generated/messages_queue.h"
#include "opencl/client/command.h"
#include "opencl/client/event.h"
#include "opencl/client/info.h"
#include "opencl/client/session.h"

namespace tessera::client {
namespace {

constexpr std::size_t kMaxIdsPerMessage = 4096;

// How long until the worker is asked again: some drivers never call back for a command that fails
// because another did.
constexpr std::chrono::milliseconds kAskAgain{100};

bool all_ended(std::span<const Ref<Event>> events) {
  return std::ranges::all_of(events, [](const auto& event) { return event->ended(); });
}

// Asks the worker to push the ends, and waits for them.
void wait_for_news(Session& session, std::span<const Ref<Event>> events) {
  session.count_round_trip();
  const Queue* flushed = nullptr;
  for (const auto& event : events) {
    event->subscribe(false);
    // As a wait does in the driver.
    if (event->queue() == nullptr || event->queue() == flushed) continue;
    flushed = event->queue();
    wire::FlushQueue message;
    message.queue = flushed->id();
    session.post(message);
  }
  while (!session.wait_for([&] { return all_ended(events); }, kAskAgain)) {
    for (const auto& event : events) {
      if (!event->ended()) event->ask();
    }
  }
}

// Asks the worker to wait for the events, and takes over what it says. Returns the first bad
// answer.
cl_int wait_in_worker(Session& session, std::span<const Ref<Event>> events) {
  cl_int status = CL_SUCCESS;
  while (!events.empty()) {
    const auto part = events.first(std::min(events.size(), kMaxIdsPerMessage));
    std::vector<wire::Id> ids;
    for (const auto& event : part) ids.push_back(event->id());
    wire::WaitForEvents message;
    message.events = ids;
    const Reply reply = session.call(message);
    if (status == CL_SUCCESS) status = reply.status;
    events = events.subspan(part.size());
  }
  return status;
}

// Returns the first bad answer.
cl_int wait_for_open(Session& session, std::span<const Ref<Event>> events) {
  const Session::Waiter here(session);
  if (!here.alone()) {
    wait_for_news(session, events);
    return CL_SUCCESS;
  }
  const cl_int status = wait_in_worker(session, events);
  if (status == CL_SUCCESS) {
    for (const auto& event : events) event->on_done(CL_COMPLETE, {});
  }
  session.wait_until([&] { return status < 0 || all_ended(events); });
  return status;
}

std::vector<Ref<Event>> required(cl_uint count, const cl_event* list) {
  std::vector<Ref<Event>> events;
  events.reserve(count);
  for (cl_uint i = 0; i < count; ++i) events.emplace_back(require<Event>(list[i]));
  return events;
}

Event::Time time_of(cl_profiling_info param) {
  switch (param) {
    case CL_PROFILING_COMMAND_QUEUED:
      return Event::kQueued;
    case CL_PROFILING_COMMAND_SUBMIT:
      return Event::kSubmit;
    case CL_PROFILING_COMMAND_START:
      return Event::kStart;
    case CL_PROFILING_COMMAND_END:
      return Event::kEnd;
    case CL_PROFILING_COMMAND_COMPLETE:
      return Event::kComplete;
    default:
      throw ApiError(CL_INVALID_VALUE);
  }
}

// Not by a round trip: what the worker knows is pushed, and arrives with the next message at the
// latest. But a program that looks for what a failure of its own making brought down finds it at
// once.
cl_int look_at(Event& event) {
  Session& session = event.session();
  session.drain();
  if (!event.ended() && !session.lost()) {
    if (event.ask() && session.saw_failure()) session.synchronise();
    session.drain();
  }
  return event.status();
}

}  // namespace

void wait_for_events(std::span<const Ref<Event>> events) {
  Session& session = events.front()->session();
  std::vector<Ref<Event>> open;
  for (const auto& event : events) {
    if (!event->ended()) open.push_back(event);
  }
  cl_int status = CL_SUCCESS;
  if (!open.empty()) status = wait_for_open(session, open);
  const bool failed = std::any_of(events.begin(), events.end(),
                                  [](const auto& event) { return event->status() < 0; });
  ensure(!failed || session.lost(), CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
  ensure(!session.lost(), CL_OUT_OF_RESOURCES);
  ensure_success(status);
}

namespace entry {

cl_int CL_API_CALL clWaitForEvents(cl_uint num_events, const cl_event* event_list) {
  return guarded([&] {
    ensure(num_events != 0 && event_list != nullptr, CL_INVALID_VALUE);
    const auto events = required(num_events, event_list);
    for (const auto& event : events) {
      ensure(&event->context() == &events.front()->context(), CL_INVALID_CONTEXT);
    }
    wait_for_events(events);
  });
}

cl_int CL_API_CALL clGetEventInfo(cl_event event, cl_event_info param_name, size_t param_value_size,
                                  void* param_value, size_t* param_value_size_ret) {
  return guarded([&] {
    Event& object = require<Event>(event);
    const Info info(param_value_size, param_value, param_value_size_ret);
    switch (param_name) {
      case CL_EVENT_COMMAND_QUEUE:
        return info.value(object.queue() != nullptr ? object.queue()->handle() : nullptr);
      case CL_EVENT_CONTEXT:
        return info.value(object.context().handle());
      case CL_EVENT_COMMAND_TYPE:
        return info.value(object.type());
      case CL_EVENT_COMMAND_EXECUTION_STATUS:
        return info.value(look_at(object));
      case CL_EVENT_REFERENCE_COUNT:
        return info.value(object.references());
      default:
        throw ApiError(CL_INVALID_VALUE);
    }
  });
}

cl_int CL_API_CALL clGetEventProfilingInfo(cl_event event, cl_profiling_info param_name,
                                           size_t param_value_size, void* param_value,
                                           size_t* param_value_size_ret) {
  return guarded([&] {
    const Ref<Event> object(require<Event>(event));
    const Event::Time which = time_of(param_name);
    ensure(object->queue() != nullptr && object->queue()->profiling(),
           CL_PROFILING_INFO_NOT_AVAILABLE);
    if (!object->has_times()) {
      ensure(look_at(*object) == CL_COMPLETE, CL_PROFILING_INFO_NOT_AVAILABLE);
    }
    if (!object->has_times()) {
      // Known to be complete only because a later command is: the times are still on their way.
      wait_in_worker(object->session(), std::span(&object, 1));
      ensure(object->has_times(), CL_PROFILING_INFO_NOT_AVAILABLE);
    }
    const Info info(param_value_size, param_value, param_value_size_ret);
    info.value(static_cast<cl_ulong>(object->time(which)));
  });
}

cl_int CL_API_CALL clSetEventCallback(cl_event event, cl_int command_exec_callback_type,
                                      tessera_event_callback pfn_notify, void* user_data) {
  return guarded([&] {
    Event& object = require<Event>(event);
    ensure(pfn_notify != nullptr && (command_exec_callback_type == CL_SUBMITTED ||
                                     command_exec_callback_type == CL_RUNNING ||
                                     command_exec_callback_type == CL_COMPLETE),
           CL_INVALID_VALUE);
    object.add_callback(command_exec_callback_type, pfn_notify, user_data);
  });
}

cl_event CL_API_CALL clCreateUserEvent(cl_context context, cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    Context& owner = require<Context>(context);
    ensure_success(owner.poison());
    Session& session = owner.session();
    auto event = make<Event>(session, owner);
    wire::CreateUserEvent message;
    message.event = event->id();
    message.context = owner.id();
    session.create(*event, message);
    return give_handle(std::move(event));
  });
}

cl_int CL_API_CALL clSetUserEventStatus(cl_event event, cl_int execution_status) {
  return guarded([&] {
    Event& object = require<Event>(event);
    ensure(object.is_user(), CL_INVALID_EVENT);
    object.set_user_status(execution_status);
  });
}

cl_int CL_API_CALL clEnqueueMarker(cl_command_queue command_queue, cl_event* event) {
  return guarded([&] {
    Command command(command_queue, CL_COMMAND_MARKER, 0, nullptr, event);
    ensure(event != nullptr, CL_INVALID_VALUE);
    wire::EnqueueMarker message;
    command.post(message);
  });
}

cl_int CL_API_CALL clEnqueueWaitForEvents(cl_command_queue command_queue, cl_uint num_events,
                                          const cl_event* event_list) {
  return guarded([&] {
    require<Queue>(command_queue);
    ensure(num_events != 0 && event_list != nullptr, CL_INVALID_VALUE);
    required(num_events,
             event_list);  // this call names a bad event otherwise than a wait list does
    Command command(command_queue, CL_COMMAND_BARRIER, num_events, event_list, nullptr);
    wire::EnqueueBarrier message;
    command.post(message);
  });
}

cl_int CL_API_CALL clEnqueueBarrier(cl_command_queue command_queue) {
  return guarded([&] {
    Command command(command_queue, CL_COMMAND_BARRIER, 0, nullptr, nullptr);
    wire::EnqueueBarrier message;
    command.post(message);
  });
}

}  // namespace entry
}  // namespace tessera::client

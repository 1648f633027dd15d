// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "opencl/worker/command.h"
#include "opencl/worker/event_status.h"
#include "opencl/worker/session.h"

namespace tessera::worker {
namespace {

// Until each has ended: a driver may come back at the first failed one.
cl_int wait_for_each(const std::vector<cl_event>& handles) {
  if (handles.empty()) return CL_SUCCESS;
  const cl_int all = clWaitForEvents(static_cast<cl_uint>(handles.size()), handles.data());
  if (all == CL_SUCCESS) return all;
  for (const cl_event& handle : handles) clWaitForEvents(1, &handle);
  return all;
}

// Only a message of the client can end it.
bool may_never_end(const std::shared_ptr<EventEntry>& event) {
  return (event->user && !event->user_done) || !event->command.expired();
}

}  // namespace

void Session::handle(const wire::CreateUserEvent& m, Incoming& incoming) {
  const auto entry = objects_.add<EventEntry>(m.event, Record(incoming.opcode, incoming.fields));
  entry->context = objects_.share<ContextEntry>(m.context);
  entry->user = true;
  cl_int status = entry->poison;
  if (status == CL_SUCCESS) status = entry->context->poison;
  if (status == CL_SUCCESS) entry->handle = clCreateUserEvent(entry->context->handle, &status);
  if (entry->handle != nullptr) {
    ++open_user_events_;
  } else {
    entry->user_done = true;
    poison(*entry, status, m.kOpcode);
  }
}

void Session::handle(const wire::SetUserEventStatus& m, Incoming&) {
  EventEntry& event = objects_.get<EventEntry>(m.event);
  cl_int status = event.poison;
  if (status == CL_SUCCESS && !event.user) status = CL_INVALID_EVENT;
  if (status == CL_SUCCESS && m.status > CL_COMPLETE) status = CL_INVALID_VALUE;
  if (status == CL_SUCCESS && event.user_done) status = CL_INVALID_OPERATION;
  if (status == CL_SUCCESS) {
    event.user_done = true;
    if (m.status < CL_COMPLETE) event.poison = m.status;
    status = set_user_event(event, m.status);
    --open_user_events_;
    if (m.status < CL_COMPLETE) {
      // What waited for it has failed with it, and is told at once, asked for or not.
      completions_.tell();
      callbacks_.catch_up();
      channel_.flush();
    }
  }
  if (status != CL_SUCCESS) answers_.deferred_error(event.id, status, m.kOpcode);
}

void Session::handle(const wire::SubscribeEvent& m, Incoming&) {
  const auto event = objects_.share<EventEntry>(m.event);
  if (event->poison != CL_SUCCESS) return callbacks_.report_end(*event, event->poison);
  if (m.every_state != 0) {
    event->every_state = true;
    callbacks_.watch_states(event);
  }
  callbacks_.watch(event);
  // Some drivers do not call back for an event that has failed already.
  const auto completion = event->completion.lock();
  if (completion != nullptr && completion->status() <= CL_COMPLETE) {
    completions_.tell(completion->number + 1);
  }
  channel_.flush();
}

// An unmap or a map without bytes: complete when its wait list is, and in order when its queue is.
// Out of order it is no marker, which without a list waits for the whole queue, and with one does
// so too in some drivers.
void Session::handle(const wire::EnqueueNothing& m, Incoming&) {
  Command command(*this, m.kOpcode, m.queue, m.wait_list, m.event);
  cl_mem nothing = nullptr;
  if (command.queue().out_of_order && command.status() == CL_SUCCESS) {
    cl_int status = CL_SUCCESS;
    nothing = command.context().nothing(&status);
    command.check(status);
  }
  const cl_int status = command.run(
      [&](cl_command_queue queue, cl_uint count, const cl_event* list, cl_event* event) {
        if (nothing == nullptr) return clEnqueueMarkerWithWaitList(queue, count, list, event);
        return clEnqueueMigrateMemObjects(
            queue, 1, &nothing, CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED, count, list, event);
      },
      m.fence != 0);
  if (status == CL_SUCCESS && m.fence != 0) command.fence();
}

void Session::handle(const wire::WaitForEvents& m, Incoming& incoming) {
  const std::uint64_t sequence = incoming.sequence;
  if (wait_promptly(sequence, m.events)) return;
  const std::vector<Id> ids(m.events.begin(), m.events.end());
  while (!wait_for_events(sequence, ids)) wait_until_active();
}

// False: cut short by a suspend, nothing was answered.
bool Session::wait_for_events(std::uint64_t sequence, std::span<const Id> ids) {
  std::vector<std::shared_ptr<EventEntry>> events;
  std::vector<cl_event> handles;
  cl_int status = ids.empty() ? CL_INVALID_VALUE : CL_SUCCESS;
  bool failed = false;
  for (const Id id : ids) {
    auto event = objects_.share<EventEntry>(id);
    event->waited = true;
    if (!events.empty() && event->context != events.front()->context) status = CL_INVALID_CONTEXT;
    if (event->poison != CL_SUCCESS) {
      failed = true;
    } else {
      handles.push_back(event->handle);
    }
    events.push_back(std::move(event));
  }
  if (status == CL_SUCCESS && !may_block()) status = CL_OUT_OF_RESOURCES;
  if (status != CL_SUCCESS) {
    answers_.reply(sequence, status);
    return true;
  }
  const std::uint64_t before = epoch();
  const auto held_back = [&] { return std::ranges::any_of(events, may_never_end); };
  status = wait_in_driver(held_back, [&] { return wait_for_each(handles); });
  if (cut_short(before)) return false;
  settle_gates();
  std::uint64_t position = 0;
  for (const auto& event : events) {
    const auto queue = event->queue.lock();
    if (queue != nullptr && !queue->out_of_order) count_finished(*queue, event->number);
    if (const auto completion = event->completion.lock()) {
      position = std::max(position, completion->number + 1);
    }
  }
  completions_.tell(position);
  for (const auto& event : events) {
    if (event->user && event->handle != nullptr && has_ended(event->handle)) {
      callbacks_.report_end(*event, status_of(event->handle));
    }
  }
  if (failed && status == CL_SUCCESS) status = CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST;
  answers_.reply(sequence, status);
  return true;
}

}  // namespace tessera::worker

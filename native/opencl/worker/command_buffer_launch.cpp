// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/command_buffer_launch.h"

namespace tessera::worker {
namespace {

const cl_event* first_of(std::span<const cl_event> events) {
  return events.empty() ? nullptr : events.data();
}

cl_uint count_of(std::span<const cl_event> events) {
  return static_cast<cl_uint>(events.size());
}

}  // namespace

cl_int CommandBufferLaunch::run(cl_command_queue queue, cl_uint count, const cl_event* list,
                                cl_event* event) {
  queue_ = queue;
  const std::span<const cl_event> waits(list, count);
  return command_.queue().out_of_order ? run_by_sync_points(waits, event)
                                       : run_in_order(waits, event);
}

cl_int CommandBufferLaunch::enqueue(const RecordedCommand& recorded,
                                    std::span<const cl_event> waits, Event* event) {
  cl_event made = nullptr;
  const auto& cost = recorded.cost != nullptr ? recorded.cost : command_.session().transfer_cost();
  const cl_int status =
      command_.part(cost, recorded.units, event != nullptr ? &made : nullptr, [&](cl_event* place) {
        return recorded.enqueue(queue_, count_of(waits), first_of(waits), place);
      });
  if (event != nullptr) event->reset(made);
  return status;
}

cl_int CommandBufferLaunch::enqueue_nothing(std::span<const cl_event> waits, Event* event) {
  cl_event made = nullptr;
  const cl_int status =
      nothing_ == nullptr
          ? clEnqueueMarkerWithWaitList(queue_, count_of(waits), first_of(waits), &made)
          : clEnqueueMigrateMemObjects(queue_, 1, &nothing_,
                                       CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED, count_of(waits),
                                       first_of(waits), &made);
  event->reset(made);
  return status;
}

cl_int CommandBufferLaunch::run_in_order(std::span<const cl_event> list, cl_event* event) {
  std::vector<const RecordedCommand*> work;
  for (const RecordedCommand& each : buffer_.commands) {
    if (each.enqueue) work.push_back(&each);
  }
  Event end;
  if (work.empty()) {
    const cl_int status = enqueue_nothing(list, &end);
    if (event != nullptr) *event = end.release();
    return status;
  }
  const bool timed = command_.queue().profiling && work.size() > 1;
  for (std::size_t i = 0; i < work.size(); ++i) {
    const bool last = i + 1 == work.size();
    const bool wants = (last && event != nullptr) || (i == 0 && timed);
    const auto waits = i == 0 ? list : std::span<const cl_event>();
    const cl_int status = enqueue(*work[i], waits, wants ? &end : nullptr);
    if (status != CL_SUCCESS) return status;
    if (i == 0 && timed) command_.begins_with(end.get());
  }
  if (event != nullptr) *event = end.release();
  return CL_SUCCESS;
}

std::vector<cl_event> CommandBufferLaunch::ends_of(std::span<const std::uint32_t> places,
                                                   std::span<const cl_event> list) const {
  std::vector<cl_event> ends;
  bool at_once = places.empty();
  for (const std::uint32_t place : places) {
    if (ends_[place] != nullptr) {
      ends.push_back(ends_[place].get());
    } else {
      at_once = true;
    }
  }
  if (at_once) ends.insert(ends.end(), list.begin(), list.end());
  return ends;
}

cl_int CommandBufferLaunch::join(std::span<const cl_event> waits, Event* event) {
  if (waits.empty()) return CL_SUCCESS;
  if (waits.size() > 1) return enqueue_nothing(waits, event);
  clRetainEvent(waits.front());
  event->reset(waits.front());
  return CL_SUCCESS;
}

cl_int CommandBufferLaunch::run_by_sync_points(std::span<const cl_event> list, cl_event* event) {
  Event head;
  cl_event before = nullptr;
  if (command_.queue().profiling) {
    const cl_int status = enqueue_nothing(list, &head);
    if (status != CL_SUCCESS) return status;
    command_.begins_with(head.get());
    before = head.get();
    list = std::span(&before, 1);
  }
  ends_.reserve(buffer_.commands.size());
  for (const RecordedCommand& each : buffer_.commands) {
    const std::vector<cl_event> waits = ends_of(each.waits, list);
    Event end;
    const cl_int status = each.enqueue ? enqueue(each, waits, &end) : join(waits, &end);
    if (status != CL_SUCCESS) return status;
    ends_.push_back(std::move(end));
  }
  const std::vector<std::uint32_t> last(buffer_.last.begin(), buffer_.last.end());
  const std::vector<cl_event> waits = ends_of(last, list);
  Event end;
  // One that ends with an event of the list would have that one's times and type.
  const bool own = last.size() == 1 && buffer_.commands[last.front()].enqueue;
  const cl_int status = own ? join(waits, &end) : enqueue_nothing(waits, &end);
  if (event != nullptr) *event = end.release();
  return status;
}

}  // namespace tessera::worker

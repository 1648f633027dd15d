// SPDX-License-Identifier: Apache-2.0
#include <CL/cl_ext.h>

#include <algorithm>

#include "opencl/worker/devices.h"
#include "opencl/worker/event_status.h"
#include "opencl/worker/session.h"

namespace tessera::worker {
namespace {

// Only what a host queue may have: the rest is not announced (snapshot.cpp).
cl_int check_properties(std::span<const std::uint64_t> properties,
                        cl_command_queue_properties& bits) {
  if (properties.size() % 2 != 0) return CL_INVALID_VALUE;
  for (std::size_t i = 0; i < properties.size(); i += 2) {
    switch (properties[i]) {
      case CL_QUEUE_PROPERTIES:
        bits = properties[i + 1];
        break;
      case CL_QUEUE_PRIORITY_KHR:
      case CL_QUEUE_THROTTLE_KHR:
        break;
      default:
        return CL_INVALID_VALUE;
    }
  }
  constexpr cl_command_queue_properties kHost =
      CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE | CL_QUEUE_PROFILING_ENABLE;
  return (bits & ~kHost) == 0 ? CL_SUCCESS : CL_INVALID_QUEUE_PROPERTIES;
}

// The client's properties; a metered queue is profiled, whatever the client wants to see of it.
std::vector<cl_queue_properties> for_driver(std::span<const std::uint64_t> given,
                                            cl_command_queue_properties bits, bool metered) {
  std::vector<cl_queue_properties> properties;
  for (std::size_t i = 0; i + 1 < given.size(); i += 2) {
    if (given[i] == CL_QUEUE_PROPERTIES) continue;
    properties.insert(properties.end(), {given[i], given[i + 1]});
  }
  if (metered) bits |= CL_QUEUE_PROFILING_ENABLE;
  properties.insert(properties.end(), {CL_QUEUE_PROPERTIES, bits, 0});
  return properties;
}

}  // namespace

void Session::handle(const wire::CreateQueue& m, Incoming& incoming) {
  const auto entry = objects_.add<QueueEntry>(m.queue, Record(incoming.opcode, incoming.fields));
  entry->context = objects_.share<ContextEntry>(m.context);
  entry->device = m.device;
  entry->gpu = gpu_of(m.device);
  const cl_device_id id = device(m.device).id;
  cl_command_queue_properties bits = 0;
  cl_int status = entry->poison;
  if (status == CL_SUCCESS) status = entry->context->poison;
  if (status == CL_SUCCESS) status = check_properties(m.properties, bits);
  const auto& devices = entry->context->devices;
  if (status == CL_SUCCESS && std::ranges::find(devices, m.device) == devices.end()) {
    status = CL_INVALID_DEVICE;
  }
  if (status != CL_SUCCESS) return poison(*entry, status, m.kOpcode);
  entry->profiling = (bits & CL_QUEUE_PROFILING_ENABLE) != 0;
  entry->out_of_order = (bits & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) != 0;
  entry->prompt = on_host_cores(device(m.device));
  const auto properties = for_driver(m.properties, bits, gate(entry->gpu) != nullptr);
  entry->handle =
      clCreateCommandQueueWithProperties(entry->context->handle, id, properties.data(), &status);
  if (entry->handle == nullptr) poison(*entry, status, m.kOpcode);
}

void Session::handle(const wire::FlushQueue& m, Incoming&) {
  const QueueEntry& queue = objects_.get<QueueEntry>(m.queue);
  if (queue.poison == CL_SUCCESS) clFlush(queue.handle);
}

void Session::handle(const wire::FinishQueue& m, Incoming& incoming) {
  const std::uint64_t sequence = incoming.sequence;
  const Id queue = m.queue;
  const std::uint64_t upto = objects_.get<QueueEntry>(queue).enqueued;
  std::uint64_t position = completions_.position();
  if (finish_promptly(sequence, objects_.share<QueueEntry>(queue))) return;
  while (!finish(sequence, queue, upto, position)) {
    wait_until_active();
    position = Completions::kAll;  // the resume has enqueued anew
  }
}

// Waits for the first `upto` commands. False: cut short by a suspend, nothing was answered.
bool Session::finish(std::uint64_t sequence, Id id, std::uint64_t upto, std::uint64_t position) {
  const auto queue = objects_.share<QueueEntry>(id);
  cl_int status = queue->poison;
  if (queue->last != nullptr && queue->enqueued == upto && has_ended(queue->last)) {
    count_finished(*queue, upto);
    settle_gates();
  }
  if (status == CL_SUCCESS && queue->finished < upto) {
    if (!may_block()) {
      answers_.reply(sequence, CL_OUT_OF_RESOURCES);
      return true;
    }
    const std::uint64_t before = epoch();
    const auto held_back = [&] { return blocked_.count(*queue) != 0; };
    status = wait_in_driver(held_back, [&] { return clFinish(queue->handle); });
    if (cut_short(before)) return false;
    count_finished(*queue, upto);
    settle_gates();
  }
  completions_.tell(position);
  const cl_int deferred = std::exchange(queue->deferred, CL_SUCCESS);
  answers_.reply(sequence, status != CL_SUCCESS ? status : deferred);
  return true;
}

}  // namespace tessera::worker

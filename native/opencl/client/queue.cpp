// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/queue.h"

#include <CL/cl_ext.h>

#include <algorithm>

#include "generated/client_entries.h"
#include "generated/messages_queue.h"
#include "opencl/client/command.h"
#include "opencl/client/generated_support.h"
#include "opencl/client/info.h"
#include "opencl/client/session.h"

namespace tessera::client {

Queue::Queue(Session& session, Context& context, Device& device,
             cl_command_queue_properties properties, std::vector<cl_queue_properties> given)
    : Typed(&session),
      context_(context),
      device_(device),
      properties_(properties),
      given_(std::move(given)) {
  session.add_queue(*this);
}

Queue::~Queue() {
  session().remove_queue(*this);
}

void Queue::set_complete(std::uint64_t number) noexcept {
  std::uint64_t known = complete_.load(std::memory_order_relaxed);
  while (known < number &&
         !complete_.compare_exchange_weak(known, number, std::memory_order_release,
                                          std::memory_order_relaxed)) {
  }
}

void Queue::read_begins(std::uint64_t number) {
  const std::lock_guard lock(reads_mutex_);
  reads_.insert(number);
  read_count_.fetch_add(1, std::memory_order_relaxed);
}

void Queue::read_ends(std::uint64_t number) noexcept {
  const std::lock_guard lock(reads_mutex_);
  reads_.erase(reads_.find(number));
  read_count_.fetch_sub(1, std::memory_order_release);
}

bool Queue::reads_arrived(std::uint64_t number) {
  if (read_count_.load(std::memory_order_acquire) == 0) return true;
  const std::lock_guard lock(reads_mutex_);
  return reads_.empty() || *reads_.begin() > number;
}

void release_reference(Queue& queue) {
  if (!queue.release()) return;
  try {
    wire::FlushQueue message;
    message.queue = queue.id();
    queue.session().post(message);
  } catch (const SessionLost&) {  // nothing is left to flush
  }
  queue.drop();
}

namespace {

cl_int finish_in_worker(Queue& queue) {
  queue.take_failure();
  wire::FinishQueue message;
  message.queue = queue.id();
  return queue.session().call(message).status;
}

// No thread of the worker waits for the answer, whatever their number.
bool is_prompt(Queue& queue) {
  return (queue.device().type() & CL_DEVICE_TYPE_CPU) != 0 && queue.in_order() &&
         !queue.session().unfinished().unset();
}

// By a marker behind everything, whose end the worker pushes.
void finish_by_marker(Queue& queue) {
  cl_event handle = nullptr;
  Command command(queue.handle(), CL_COMMAND_MARKER, 0, nullptr, &handle);
  wire::EnqueueMarker message;
  command.post(message);
  // The program's reference to the event is ours here.
  const auto marker = Ref<Event>::adopt(&require<Event>(handle));
  wait_for_events(std::span(&marker, 1));
}

}  // namespace

cl_int finish(Queue& queue) {
  std::uint64_t number;
  {
    // Whatever has a number up to this one has been sent by now.
    const std::lock_guard lock(queue.order());
    number = queue.sent();
  }
  cl_int status = CL_SUCCESS;
  const Session::Waiter here(queue.session());
  const bool asks = here.alone() || is_prompt(queue) || queue.has_failure();
  if (!asks) {
    try {
      finish_by_marker(queue);
    } catch (const SessionLost&) {
      throw;
    } catch (const ApiError&) {
      queue.note_failure();
    }
  }
  if (asks || queue.has_failure()) status = finish_in_worker(queue);
  queue.session().wait_until([&] { return queue.reads_arrived(number); });
  queue.set_complete(number);
  return status;
}

namespace {

constexpr cl_command_queue_properties kHostProperties =
    CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE | CL_QUEUE_PROFILING_ENABLE;
constexpr cl_command_queue_properties kDeviceProperties =
    CL_QUEUE_ON_DEVICE | CL_QUEUE_ON_DEVICE_DEFAULT;

void ensure_properties(const Device& device, cl_command_queue_properties properties) {
  ensure((properties & ~(kHostProperties | kDeviceProperties)) == 0, CL_INVALID_VALUE);
  if ((properties & kDeviceProperties) != 0) {
    // A queue on the device has to be out of order, and its default flag needs such a queue.
    ensure((properties & CL_QUEUE_ON_DEVICE) != 0 &&
               (properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) != 0,
           CL_INVALID_VALUE);
    throw ApiError(CL_INVALID_QUEUE_PROPERTIES);
  }
  const auto able = device.fact_or<cl_command_queue_properties>(CL_DEVICE_QUEUE_ON_HOST_PROPERTIES,
                                                                kHostProperties);
  ensure((properties & ~able) == 0, CL_INVALID_QUEUE_PROPERTIES);
}

struct Request {
  cl_command_queue_properties properties = 0;
  std::vector<cl_queue_properties> given;  // with the closing 0
  std::vector<std::uint64_t> for_worker;   // without it
};

Request read_request(const Device& device, const cl_queue_properties* list) {
  Request request;
  if (list == nullptr) return request;
  std::vector<cl_queue_properties> seen;
  bool has_size = false;
  for (; *list != 0; list += 2) {
    ensure(std::find(seen.begin(), seen.end(), list[0]) == seen.end(), CL_INVALID_VALUE);
    seen.push_back(list[0]);
    request.given.insert(request.given.end(), list, list + 2);
    bool forward = true;
    switch (list[0]) {
      case CL_QUEUE_PROPERTIES:
        request.properties = list[1];
        break;
      case CL_QUEUE_SIZE:
        has_size = true;
        break;
      case CL_QUEUE_PRIORITY_KHR:
        forward = device.has_extension("cl_khr_priority_hints");
        break;
      case CL_QUEUE_THROTTLE_KHR:
        forward = device.has_extension("cl_khr_throttle_hints");
        break;
      default:
        throw ApiError(CL_INVALID_VALUE);
    }
    if (forward) request.for_worker.insert(request.for_worker.end(), list, list + 2);
  }
  request.given.push_back(0);
  ensure(!has_size || (request.properties & CL_QUEUE_ON_DEVICE) != 0, CL_INVALID_VALUE);
  return request;
}

Ref<Queue> make_queue(Context& context, Device& device, Request request) {
  Session& session = context.session();
  auto queue = make<Queue>(session, context, device, request.properties, std::move(request.given));
  wire::CreateQueue message;
  message.queue = queue->id();
  message.context = context.id();
  message.device = device.index();
  message.properties = request.for_worker;
  session.create(*queue, message);
  return queue;
}

cl_command_queue create_queue(Context& context, Device& device, Request request) {
  ensure(context.has_device(device), CL_INVALID_DEVICE);
  ensure_properties(device, request.properties);
  return give_handle(make_queue(context, device, std::move(request)));
}

}  // namespace

Ref<Queue> Queue::transfers() {
  const std::lock_guard lock(transfers_mutex_);
  if (!transfers_) transfers_ = make_queue(context(), device_, {});
  return transfers_;
}

namespace entry {

cl_command_queue CL_API_CALL clCreateCommandQueue(cl_context context, cl_device_id device,
                                                  cl_command_queue_properties properties,
                                                  cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    Context& owner = require<Context>(context);
    Device& chosen = require<Device>(device);
    ensure((properties & ~kHostProperties) == 0, CL_INVALID_VALUE);
    Request request;
    request.properties = properties;
    if (properties != 0) request.for_worker = {CL_QUEUE_PROPERTIES, properties};
    return create_queue(owner, chosen, std::move(request));
  });
}

cl_command_queue CL_API_CALL
clCreateCommandQueueWithProperties(cl_context context, cl_device_id device,
                                   const cl_queue_properties* properties, cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    Context& owner = require<Context>(context);
    Device& chosen = require<Device>(device);
    return create_queue(owner, chosen, read_request(chosen, properties));
  });
}

cl_int CL_API_CALL clGetCommandQueueInfo(cl_command_queue command_queue,
                                         cl_command_queue_info param_name, size_t param_value_size,
                                         void* param_value, size_t* param_value_size_ret) {
  return guarded([&] {
    Queue& queue = require<Queue>(command_queue);
    const Info info(param_value_size, param_value, param_value_size_ret);
    switch (param_name) {
      case CL_QUEUE_CONTEXT:
        return info.value(queue.context().handle());
      case CL_QUEUE_DEVICE:
        return info.value(queue.device().handle());
      case CL_QUEUE_REFERENCE_COUNT:
        return info.value(queue.references());
      case CL_QUEUE_PROPERTIES:
        return info.value(queue.properties());
      case CL_QUEUE_PROPERTIES_ARRAY:
        return info.array(std::span(queue.given()));
      case CL_QUEUE_SIZE:
        throw ApiError(CL_INVALID_COMMAND_QUEUE);
      case CL_QUEUE_DEVICE_DEFAULT:
        return info.value(cl_command_queue{nullptr});
      default:
        throw ApiError(CL_INVALID_VALUE);
    }
  });
}

cl_int CL_API_CALL clFlush(cl_command_queue command_queue) {
  return guarded([&] {
    Queue& queue = require<Queue>(command_queue);
    wire::FlushQueue message;
    message.queue = queue.id();
    queue.session().post(message);
    queue.session().flush();
  });
}

cl_int CL_API_CALL clFinish(cl_command_queue command_queue) {
  return guarded([&] {
    const Ref<Queue> queue(require<Queue>(command_queue));
    ensure_success(queue->poison());
    ensure_success(finish(*queue));
  });
}

}  // namespace entry
}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "opencl/null/engine.h"

using namespace tessera::null;

_cl_context::~_cl_context() {
  for (auto at = destructors.rbegin(); at != destructors.rend(); ++at) at->first(this, at->second);
}

namespace {

// The list up to and with its closing 0; empty for NULL.
template <class T>
std::vector<T> property_list(const T* properties) {
  std::vector<T> list;
  if (properties == nullptr) return list;
  for (std::size_t i = 0; properties[i] != 0; i += 2) {
    list.push_back(properties[i]);
    list.push_back(properties[i + 1]);
  }
  list.push_back(0);
  return list;
}

bool acceptable(const std::vector<cl_context_properties>& properties) {
  for (std::size_t i = 0; i + 1 < properties.size(); i += 2) {
    const bool platform = properties[i] == CL_CONTEXT_PLATFORM;
    if (platform && !valid(reinterpret_cast<cl_platform_id>(properties[i + 1]))) return false;
    if (!platform && properties[i] != CL_CONTEXT_INTEROP_USER_SYNC) return false;
  }
  return true;
}

}  // namespace

extern "C" {

cl_context CL_API_CALL clCreateContext(const cl_context_properties* properties, cl_uint count,
                                       const cl_device_id* devices,
                                       void(CL_CALLBACK*)(const char*, const void*, size_t, void*),
                                       void*, cl_int* errcode) {
  if (count == 0 || devices == nullptr) return refuse(errcode, CL_INVALID_VALUE);
  auto context = std::make_unique<_cl_context>();
  context->properties = property_list(properties);
  if (!acceptable(context->properties)) return refuse(errcode, CL_INVALID_PROPERTY);
  for (cl_uint i = 0; i < count; ++i) {
    if (!valid(devices[i])) return refuse(errcode, CL_INVALID_DEVICE);
    context->devices.push_back(devices[i]);
  }
  return grant(errcode, std::move(context));
}

cl_context CL_API_CALL clCreateContextFromType(const cl_context_properties* properties,
                                               cl_device_type type,
                                               void(CL_CALLBACK* notify)(const char*, const void*,
                                                                         size_t, void*),
                                               void* user_data, cl_int* errcode) {
  cl_platform_id platform = nullptr;
  clGetPlatformIDs(1, &platform, nullptr);
  cl_device_id devices[8];
  cl_uint count = 0;
  const cl_int error = clGetDeviceIDs(platform, type, 8, devices, &count);
  if (error != CL_SUCCESS) return refuse(errcode, error);
  return clCreateContext(properties, count, devices, notify, user_data, errcode);
}

cl_int CL_API_CALL clRetainContext(cl_context context) {
  return retain(context, CL_INVALID_CONTEXT);
}
cl_int CL_API_CALL clReleaseContext(cl_context context) {
  return release(context, CL_INVALID_CONTEXT);
}

cl_int CL_API_CALL clGetContextInfo(cl_context context, cl_context_info what, size_t size,
                                    void* value, size_t* needed) {
  if (!valid(context)) return CL_INVALID_CONTEXT;
  const Query query{size, value, needed};
  switch (what) {
    case CL_CONTEXT_REFERENCE_COUNT:
      return query.one(context->api.load());
    case CL_CONTEXT_NUM_DEVICES:
      return query.one(static_cast<cl_uint>(context->devices.size()));
    case CL_CONTEXT_DEVICES:
      return query.list(context->devices);
    case CL_CONTEXT_PROPERTIES:
      return query.list(context->properties);
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int CL_API_CALL clSetContextDestructorCallback(cl_context context,
                                                  void(CL_CALLBACK* call)(cl_context, void*),
                                                  void* user_data) {
  if (!valid(context)) return CL_INVALID_CONTEXT;
  if (call == nullptr) return CL_INVALID_VALUE;
  const std::lock_guard lock(big_lock());
  context->destructors.emplace_back(call, user_data);
  return CL_SUCCESS;
}

cl_command_queue CL_API_CALL
clCreateCommandQueueWithProperties(cl_context context, cl_device_id device,
                                   const cl_queue_properties* properties, cl_int* errcode) {
  if (!valid(context)) return refuse(errcode, CL_INVALID_CONTEXT);
  if (!valid(device) || std::ranges::count(context->devices, device) == 0) {
    return refuse(errcode, CL_INVALID_DEVICE);
  }
  auto queue = std::make_unique<_cl_command_queue>();
  queue->asked = property_list(properties);
  for (std::size_t i = 0; i + 1 < queue->asked.size(); i += 2) {
    if (queue->asked[i] != CL_QUEUE_PROPERTIES) return refuse(errcode, CL_INVALID_VALUE);
    queue->properties = queue->asked[i + 1];
  }
  constexpr cl_command_queue_properties known =
      CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE | CL_QUEUE_PROFILING_ENABLE;
  if (queue->properties & ~known) return refuse(errcode, CL_INVALID_QUEUE_PROPERTIES);
  queue->context = Ref<_cl_context>(context);
  queue->device = device;
  return grant(errcode, std::move(queue));
}

cl_command_queue CL_API_CALL clCreateCommandQueue(cl_context context, cl_device_id device,
                                                  cl_command_queue_properties properties,
                                                  cl_int* errcode) {
  const cl_queue_properties list[] = {CL_QUEUE_PROPERTIES, properties, 0};
  return clCreateCommandQueueWithProperties(context, device, list, errcode);
}

cl_int CL_API_CALL clSetCommandQueueProperty(cl_command_queue queue, cl_command_queue_properties,
                                             cl_bool, cl_command_queue_properties*) {
  return valid(queue) ? CL_INVALID_OPERATION : CL_INVALID_COMMAND_QUEUE;
}

cl_int CL_API_CALL clRetainCommandQueue(cl_command_queue queue) {
  return retain(queue, CL_INVALID_COMMAND_QUEUE);
}
cl_int CL_API_CALL clReleaseCommandQueue(cl_command_queue queue) {
  return release(queue, CL_INVALID_COMMAND_QUEUE);
}

cl_int CL_API_CALL clGetCommandQueueInfo(cl_command_queue queue, cl_command_queue_info what,
                                         size_t size, void* value, size_t* needed) {
  if (!valid(queue)) return CL_INVALID_COMMAND_QUEUE;
  const Query query{size, value, needed};
  switch (what) {
    case CL_QUEUE_CONTEXT:
      return query.one(queue->context.get());
    case CL_QUEUE_DEVICE:
      return query.one(queue->device);
    case CL_QUEUE_REFERENCE_COUNT:
      return query.one(queue->api.load());
    case CL_QUEUE_PROPERTIES:
      return query.one(queue->properties);
    case CL_QUEUE_PROPERTIES_ARRAY:
      return query.list(queue->asked);
    case CL_QUEUE_DEVICE_DEFAULT:
      return query.one(static_cast<cl_command_queue>(nullptr));
    case CL_QUEUE_SIZE:
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int CL_API_CALL clFlush(cl_command_queue queue) {
  return valid(queue) ? CL_SUCCESS : CL_INVALID_COMMAND_QUEUE;
}

cl_int CL_API_CALL clFinish(cl_command_queue queue) {
  if (!valid(queue)) return CL_INVALID_COMMAND_QUEUE;
  const Ref<_cl_command_queue> held(queue);
  finish(queue);
  return CL_SUCCESS;
}

}  // extern "C"

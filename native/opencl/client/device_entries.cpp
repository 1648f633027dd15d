// SPDX-License-Identifier: Apache-2.0
#include "generated/client_entries.h"
#include "generated/messages_session.h"
#include "opencl/client/device.h"
#include "opencl/client/info.h"
#include "opencl/client/session.h"

namespace tessera::client {
namespace {

// Both times come from the worker's host, in one round trip: {device ns, host ns}.
std::array<cl_ulong, 2> timers(const Device& device) {
  ensure(device.platform().host_timer_resolution() != 0, CL_INVALID_OPERATION);
  wire::GetDeviceAndHostTimer message;
  message.device = device.index();
  const Reply reply = Session::current().call(message);
  ensure_success(reply.status);
  ensure(reply.values.size() == 2, CL_OUT_OF_RESOURCES);
  return {reply.values[0], reply.values[1]};
}

}  // namespace

namespace entry {

cl_int CL_API_CALL clGetDeviceIDs(cl_platform_id platform, cl_device_type device_type,
                                  cl_uint num_entries, cl_device_id* devices,
                                  cl_uint* num_devices) {
  return guarded([&] {
    const auto chosen = require<Platform>(platform).of_type(device_type);
    ensure((num_entries == 0) == (devices == nullptr), CL_INVALID_VALUE);
    ensure(devices != nullptr || num_devices != nullptr, CL_INVALID_VALUE);
    if (num_devices != nullptr) *num_devices = static_cast<cl_uint>(chosen.size());
    ensure(!chosen.empty(), CL_DEVICE_NOT_FOUND);
    for (cl_uint i = 0; i < num_entries && i < chosen.size(); ++i) devices[i] = chosen[i]->handle();
  });
}

cl_int CL_API_CALL clGetDeviceInfo(cl_device_id device, cl_device_info param_name,
                                   size_t param_value_size, void* param_value,
                                   size_t* param_value_size_ret) {
  return guarded([&] {
    const Device& object = require<Device>(device);
    const auto* fact = object.fact(param_name);
    ensure(fact != nullptr, CL_INVALID_VALUE);
    const Info info(param_value_size, param_value, param_value_size_ret);
    if (param_name == CL_DEVICE_REFERENCE_COUNT && object.is_sub_device()) {
      return info.value(object.references());
    }
    info.bytes(fact->data(), fact->size());
  });
}

cl_int CL_API_CALL clGetDeviceAndHostTimer(cl_device_id device, cl_ulong* device_timestamp,
                                           cl_ulong* host_timestamp) {
  return guarded([&] {
    const Device& object = require<Device>(device);
    ensure(device_timestamp != nullptr && host_timestamp != nullptr, CL_INVALID_VALUE);
    const auto [device_time, host_time] = timers(object);
    *device_timestamp = device_time;
    *host_timestamp = host_time;
  });
}

cl_int CL_API_CALL clGetHostTimer(cl_device_id device, cl_ulong* host_timestamp) {
  return guarded([&] {
    const Device& object = require<Device>(device);
    ensure(host_timestamp != nullptr, CL_INVALID_VALUE);
    *host_timestamp = timers(object)[1];
  });
}

}  // namespace entry
}  // namespace tessera::client

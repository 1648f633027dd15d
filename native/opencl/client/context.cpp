// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/context.h"

#include <algorithm>

#include "generated/client_entries.h"
#include "generated/messages_context.h"
#include "opencl/client/destructors.h"
#include "opencl/client/info.h"
#include "opencl/client/session.h"

namespace tessera::client {

Context::Context(Session& session, std::vector<Device*> devices,
                 std::vector<cl_context_properties> properties, Notify notify)
    : Typed(&session),
      devices_(std::move(devices)),
      properties_(std::move(properties)),
      notify_(notify) {
  for (Device* device : devices_) {
    if (device->is_sub_device()) sub_devices_.emplace_back(*device);
    Device* gpu = &device->gpu();
    if (std::find(gpus_.begin(), gpus_.end(), gpu) == gpus_.end()) gpus_.push_back(gpu);
  }
}

Context::~Context() {
  if (destructors_.empty()) return;
  run_outside_messages(session(), [handle = handle(), registered = std::move(destructors_)] {
    run_destructors(handle, registered);
  });
}

bool Context::has_device(const Device& device) const {
  return std::find(devices_.begin(), devices_.end(), &device) != devices_.end();
}

bool Context::images() const {
  return std::any_of(devices_.begin(), devices_.end(), [](Device* d) { return d->images(); });
}

std::uint64_t Context::max_alloc() const {
  std::uint64_t most = 0;
  for (const Device* device : devices_) most = std::max(most, device->max_alloc());
  return most;
}

void Context::on_destroy(tessera_context_release_callback function, void* user_data) {
  const std::lock_guard lock(mutex_);
  destructors_.emplace_back(function, user_data);
}

namespace {

struct Properties {
  std::vector<cl_context_properties> list;  // as given, with the closing 0
  bool interop_user_sync = false;
};

Properties read_properties(const cl_context_properties* given) {
  Properties properties;
  if (given == nullptr) return properties;
  bool has_platform = false;
  bool has_sync = false;
  for (; *given != 0; given += 2) {
    properties.list.insert(properties.list.end(), given, given + 2);
    if (given[0] == CL_CONTEXT_PLATFORM && !has_platform) {
      has_platform = true;
      require<Platform>(reinterpret_cast<cl_platform_id>(given[1]));
    } else if (given[0] == CL_CONTEXT_INTEROP_USER_SYNC && !has_sync) {
      has_sync = true;
      ensure(given[1] == CL_TRUE || given[1] == CL_FALSE, CL_INVALID_PROPERTY);
      properties.interop_user_sync = given[1] == CL_TRUE;
    } else {
      throw ApiError(CL_INVALID_PROPERTY);
    }
  }
  properties.list.push_back(0);
  return properties;
}

cl_context create_context(Properties properties, std::vector<Device*> devices,
                          Context::Notify notify) {
  Session& session = Session::current();
  std::vector<std::uint32_t> indexes;
  for (const Device* device : devices) indexes.push_back(device->index());
  auto context = make<Context>(session, std::move(devices), std::move(properties.list), notify);
  wire::CreateContext message;
  message.context = context->id();
  message.devices = indexes;
  message.interop_user_sync = properties.interop_user_sync ? 1 : 0;
  session.create(*context, message);
  return give_handle(std::move(context));
}

}  // namespace

namespace entry {

cl_context CL_API_CALL clCreateContext(const cl_context_properties* properties, cl_uint num_devices,
                                       const cl_device_id* devices,
                                       tessera_context_callback pfn_notify, void* user_data,
                                       cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    ensure(devices != nullptr && num_devices != 0, CL_INVALID_VALUE);
    ensure(pfn_notify != nullptr || user_data == nullptr, CL_INVALID_VALUE);
    Properties read = read_properties(properties);
    std::vector<Device*> chosen;
    for (cl_uint i = 0; i < num_devices; ++i) {
      Device& device = require<Device>(devices[i]);
      if (std::find(chosen.begin(), chosen.end(), &device) == chosen.end()) {
        chosen.push_back(&device);
      }
    }
    return create_context(std::move(read), std::move(chosen), {pfn_notify, user_data});
  });
}

cl_context CL_API_CALL clCreateContextFromType(const cl_context_properties* properties,
                                               cl_device_type device_type,
                                               tessera_context_callback pfn_notify, void* user_data,
                                               cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    ensure(pfn_notify != nullptr || user_data == nullptr, CL_INVALID_VALUE);
    Properties read = read_properties(properties);
    std::vector<Device*> chosen = Platform::get().of_type(device_type);
    ensure(!chosen.empty(), CL_DEVICE_NOT_FOUND);
    return create_context(std::move(read), std::move(chosen), {pfn_notify, user_data});
  });
}

cl_int CL_API_CALL clGetContextInfo(cl_context context, cl_context_info param_name,
                                    size_t param_value_size, void* param_value,
                                    size_t* param_value_size_ret) {
  return guarded([&] {
    Context& object = require<Context>(context);
    const Info info(param_value_size, param_value, param_value_size_ret);
    switch (param_name) {
      case CL_CONTEXT_REFERENCE_COUNT:
        return info.value(object.references());
      case CL_CONTEXT_NUM_DEVICES:
        return info.value(static_cast<cl_uint>(object.devices().size()));
      case CL_CONTEXT_DEVICES: {
        std::vector<cl_device_id> handles;
        for (Device* device : object.devices()) handles.push_back(device->handle());
        return info.array(std::span<const cl_device_id>(handles));
      }
      case CL_CONTEXT_PROPERTIES:
        return info.array(std::span(object.properties()));
      default:
        throw ApiError(CL_INVALID_VALUE);
    }
  });
}

cl_int CL_API_CALL clSetContextDestructorCallback(cl_context context,
                                                  tessera_context_release_callback pfn_notify,
                                                  void* user_data) {
  return guarded([&] {
    Context& object = require<Context>(context);
    ensure(pfn_notify != nullptr, CL_INVALID_VALUE);
    object.on_destroy(pfn_notify, user_data);
  });
}

}  // namespace entry
}  // namespace tessera::client

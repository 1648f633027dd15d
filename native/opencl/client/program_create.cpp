// SPDX-License-Identifier: Apache-2.0
//
// Programs from source, binaries, IL and built-in kernels.
#include <algorithm>
#include <cstring>

#include "generated/client_entries.h"
#include "generated/messages_program.h"
#include "opencl/client/build.h"
#include "opencl/client/program.h"
#include "opencl/client/session.h"

namespace tessera::client {
namespace {

// `bytes` must stay until the message was sent. Throws ApiError(CL_OUT_OF_HOST_MEMORY) for what no
// message can carry.
Bulk payload(Session& session, std::string_view bytes) {
  ensure(bytes.size() <= wire::kMaxMessageBulk, CL_OUT_OF_HOST_MEMORY);
  return session.bulk_of(bytes.data(), bytes.size());
}

std::string joined(cl_uint count, const char** strings, const size_t* lengths) {
  ensure(count != 0 && strings != nullptr, CL_INVALID_VALUE);
  std::string source;
  for (cl_uint i = 0; i < count; ++i) {
    ensure(strings[i] != nullptr, CL_INVALID_VALUE);
    const bool terminated = lengths == nullptr || lengths[i] == 0;
    source.append(strings[i], terminated ? std::strlen(strings[i]) : lengths[i]);
  }
  return source;
}

std::vector<Device*> listed_devices(const Context& context, cl_uint count,
                                    const cl_device_id* devices) {
  ensure(count != 0 && devices != nullptr, CL_INVALID_VALUE);
  std::vector<Device*> listed;
  for (cl_uint i = 0; i < count; ++i) {
    Device& device = require<Device>(devices[i]);
    ensure(context.has_device(device), CL_INVALID_DEVICE);
    ensure(std::find(listed.begin(), listed.end(), &device) == listed.end(), CL_INVALID_DEVICE);
    listed.push_back(&device);
  }
  return listed;
}

// Makes the object with one round trip, because only the driver can tell what is wrong with the
// bytes.
template <class Message>
Reply create_and_wait(Program& program, Message& message, Bulk bulk = {}) {
  message.program = program.id();
  message.context = program.context().id();
  return program.session().create_call(program, message, std::move(bulk));
}

void tell(cl_int* place, cl_uint count, const Reply& reply) {
  if (place == nullptr) return;
  for (cl_uint i = 0; i < count; ++i) {
    place[i] = i < reply.values.size() ? static_cast<cl_int>(reply.values[i]) : reply.status;
  }
}

void ensure_binaries(cl_uint count, const size_t* lengths, const unsigned char** binaries,
                     cl_int* status) {
  ensure(lengths != nullptr && binaries != nullptr, CL_INVALID_VALUE);
  bool good = true;
  for (cl_uint i = 0; i < count; ++i) {
    const bool given = lengths[i] != 0 && binaries[i] != nullptr;
    if (status != nullptr) status[i] = given ? CL_SUCCESS : CL_INVALID_VALUE;
    good = good && given;
  }
  ensure(good, CL_INVALID_VALUE);
}

bool some_device_takes_il(const std::vector<Device*>& devices) {
  return std::any_of(devices.begin(), devices.end(), [](const Device* device) {
    const auto* version = device->fact(CL_DEVICE_IL_VERSION);
    return version != nullptr && !version->empty() && (*version)[0] != std::byte{0};
  });
}

bool is_listed(std::string_view name, std::string_view list) {
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t end = std::min(list.find(';', at), list.size());
    if (list.substr(at, end - at) == name) return true;
    at = end + 1;
  }
  return false;
}

// Every name of the list is a built-in kernel of some of the devices.
void ensure_builtin(const std::vector<Device*>& devices, std::string_view names) {
  for (std::size_t at = 0; at <= names.size();) {
    const std::size_t end = std::min(names.find(';', at), names.size());
    const std::string_view name = names.substr(at, end - at);
    const bool known = std::any_of(devices.begin(), devices.end(), [&](const Device* device) {
      const auto* list = device->fact(CL_DEVICE_BUILT_IN_KERNELS);
      return list != nullptr && !list->empty() &&
             is_listed(name, {reinterpret_cast<const char*>(list->data()), list->size() - 1});
    });
    ensure(!name.empty() && known, CL_INVALID_VALUE);
    at = end + 1;
  }
}

}  // namespace

namespace entry {

cl_program CL_API_CALL clCreateProgramWithSource(cl_context context, cl_uint count,
                                                 const char** strings, const size_t* lengths,
                                                 cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    Context& owner = require<Context>(context);
    Ref<Program> program =
        make<Program>(owner, owner.devices(), Origin::source, joined(count, strings, lengths));
    Bulk bulk = payload(owner.session(), program->text());
    wire::CreateProgramWithSource message;
    message.program = program->id();
    message.context = owner.id();
    owner.session().create(*program, message, std::move(bulk));
    return give_handle(std::move(program));
  });
}

cl_program CL_API_CALL clCreateProgramWithBinary(cl_context context, cl_uint num_devices,
                                                 const cl_device_id* device_list,
                                                 const size_t* lengths,
                                                 const unsigned char** binaries,
                                                 cl_int* binary_status, cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    Context& owner = require<Context>(context);
    std::vector<Device*> devices = listed_devices(owner, num_devices, device_list);
    ensure_binaries(num_devices, lengths, binaries, binary_status);
    const std::vector<std::uint32_t> indexes = device_indexes(devices);
    std::string all;
    std::vector<std::uint64_t> sizes;
    for (cl_uint i = 0; i < num_devices; ++i) {
      all.append(reinterpret_cast<const char*>(binaries[i]), lengths[i]);
      sizes.push_back(lengths[i]);
    }
    Ref<Program> program = make<Program>(owner, std::move(devices), Origin::binary, "");
    wire::CreateProgramWithBinary message;
    message.devices = indexes;
    message.sizes = sizes;
    const Reply reply = create_and_wait(*program, message, payload(owner.session(), all));
    tell(binary_status, num_devices, reply);
    ensure_success(reply.status);
    for (cl_uint i = 0; i < num_devices; ++i) {
      const auto* bytes = reinterpret_cast<const std::byte*>(binaries[i]);
      const std::size_t type = num_devices + i;
      program->load_binary(*program->devices()[i], {bytes, bytes + lengths[i]},
                           type < reply.values.size()
                               ? static_cast<cl_program_binary_type>(reply.values[type])
                               : CL_PROGRAM_BINARY_TYPE_NONE);
    }
    return give_handle(std::move(program));
  });
}

cl_program CL_API_CALL clCreateProgramWithIL(cl_context context, const void* il, size_t length,
                                             cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    Context& owner = require<Context>(context);
    ensure(il != nullptr && length != 0, CL_INVALID_VALUE);
    ensure(some_device_takes_il(owner.devices()), CL_INVALID_OPERATION);
    Ref<Program> program = make<Program>(owner, owner.devices(), Origin::il,
                                         std::string(static_cast<const char*>(il), length));
    Bulk bulk = payload(owner.session(), program->text());
    wire::CreateProgramWithIl message;
    ensure_success(create_and_wait(*program, message, std::move(bulk)).status);
    return give_handle(std::move(program));
  });
}

cl_program CL_API_CALL clCreateProgramWithBuiltInKernels(cl_context context, cl_uint num_devices,
                                                         const cl_device_id* device_list,
                                                         const char* kernel_names,
                                                         cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    Context& owner = require<Context>(context);
    std::vector<Device*> devices = listed_devices(owner, num_devices, device_list);
    ensure(kernel_names != nullptr, CL_INVALID_VALUE);
    ensure_builtin(devices, kernel_names);
    const std::vector<std::uint32_t> indexes = device_indexes(devices);
    Ref<Program> program =
        make<Program>(owner, std::move(devices), Origin::builtin_kernels, kernel_names);
    wire::CreateProgramWithBuiltinKernels message;
    message.devices = indexes;
    message.kernel_names = kernel_names;
    ensure_success(create_and_wait(*program, message).status);
    return give_handle(std::move(program));
  });
}

cl_int CL_API_CALL clSetProgramSpecializationConstant(cl_program program, cl_uint spec_id,
                                                      size_t spec_size, const void* spec_value) {
  return guarded([&] {
    Program& object = require<Program>(program);
    ensure(some_device_takes_il(object.devices()), CL_INVALID_OPERATION);
    ensure(object.origin() == Origin::il, CL_INVALID_PROGRAM);
    ensure(spec_size != 0 && spec_value != nullptr, CL_INVALID_VALUE);
    wire::SetSpecializationConstant message;
    message.program = object.id();
    message.spec_id = spec_id;
    message.value = {static_cast<const std::byte*>(spec_value), spec_size};
    ensure_success(object.session().call(message).status);
  });
}

}  // namespace entry
}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "generated/client_entries.h"
#include "opencl/client/info.h"
#include "opencl/client/program.h"
#include "opencl/client/session.h"

namespace tessera::client {
namespace {

void tell_devices(const Info& info, const Program& program) {
  std::vector<cl_device_id> handles;
  for (Device* device : program.devices()) handles.push_back(device->handle());
  info.array(std::span<const cl_device_id>(handles));
}

void tell_binary_sizes(const Info& info, Program& program) {
  std::vector<size_t> sizes;
  for (const Device* device : program.devices()) sizes.push_back(program.binary_size(*device));
  info.array(std::span<const size_t>(sizes));
}

// The place holds pointers to the program's own memory; those that are NULL are passed over.
void tell_binaries(const Info& info, Program& program) {
  std::vector<unsigned char*> places(program.devices().size());
  if (info.place() != nullptr) {
    const size_t size = places.size() * sizeof(unsigned char*);
    ensure(info.room() >= size, CL_INVALID_VALUE);
    std::memcpy(places.data(), info.place(), size);
    for (size_t i = 0; i < places.size(); ++i) {
      if (places[i] == nullptr) continue;
      const std::vector<std::byte> binary = program.binary(*program.devices()[i]);
      if (!binary.empty()) std::memcpy(places[i], binary.data(), binary.size());
    }
  }
  info.array(std::span<unsigned char* const>(places));
}

std::string kernel_names(const Program& program) {
  std::string names;
  for (const Facts& facts : program.kernels()) {
    if (!names.empty()) names += ';';
    names += facts->name;
  }
  return names;
}

void tell_program(const Info& info, Program& program, cl_program_info what) {
  switch (what) {
    case CL_PROGRAM_REFERENCE_COUNT:
      return info.value(program.references());
    case CL_PROGRAM_CONTEXT:
      return info.value(program.context().handle());
    case CL_PROGRAM_NUM_DEVICES:
      return info.value(static_cast<cl_uint>(program.devices().size()));
    case CL_PROGRAM_DEVICES:
      return tell_devices(info, program);
    case CL_PROGRAM_SOURCE:
      return info.text(program.origin() == Origin::source ? program.text() : "");
    case CL_PROGRAM_IL:
      return info.bytes(program.text().data(),
                        program.origin() == Origin::il ? program.text().size() : 0);
    case CL_PROGRAM_BINARY_SIZES:
      return tell_binary_sizes(info, program);
    case CL_PROGRAM_BINARIES:
      return tell_binaries(info, program);
    case CL_PROGRAM_NUM_KERNELS:
      return info.value(program.kernels().size());
    case CL_PROGRAM_KERNEL_NAMES:
      return info.text(kernel_names(program));
    case CL_PROGRAM_SCOPE_GLOBAL_CTORS_PRESENT:
    case CL_PROGRAM_SCOPE_GLOBAL_DTORS_PRESENT:
      return info.value(static_cast<cl_bool>(CL_FALSE));
    default:
      throw ApiError(CL_INVALID_VALUE);
  }
}

}  // namespace

namespace entry {

cl_int CL_API_CALL clGetProgramInfo(cl_program program, cl_program_info param_name,
                                    size_t param_value_size, void* param_value,
                                    size_t* param_value_size_ret) {
  return guarded([&] {
    tell_program({param_value_size, param_value, param_value_size_ret}, require<Program>(program),
                 param_name);
  });
}

cl_int CL_API_CALL clGetProgramBuildInfo(cl_program program, cl_device_id device,
                                         cl_program_build_info param_name, size_t param_value_size,
                                         void* param_value, size_t* param_value_size_ret) {
  return guarded([&] {
    Program& object = require<Program>(program);
    Device& on = require<Device>(device);
    const Info info(param_value_size, param_value, param_value_size_ret);
    if (object.build() != nullptr) object.session().drain();
    const DeviceBuild state = object.state(on);
    switch (param_name) {
      case CL_PROGRAM_BUILD_STATUS:
        return info.value(state.status);
      case CL_PROGRAM_BUILD_OPTIONS:
        return info.text(state.options);
      case CL_PROGRAM_BUILD_LOG:
        return info.text(state.log == nullptr ? std::string_view() : *state.log);
      case CL_PROGRAM_BINARY_TYPE:
        return info.value(state.binary_type);
      case CL_PROGRAM_BUILD_GLOBAL_VARIABLE_TOTAL_SIZE:
        return info.value(state.global_variables);
      default:
        throw ApiError(CL_INVALID_VALUE);
    }
  });
}

}  // namespace entry
}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
//
// Building, compiling and linking.
#include <algorithm>

#include "generated/client_entries.h"
#include "generated/messages_program.h"
#include "opencl/client/build.h"
#include "opencl/client/program.h"
#include "opencl/client/program_options.h"
#include "opencl/client/session.h"
#include "opencl/client/shipped_headers.h"

namespace tessera::client {
namespace {

Build::Notify notify(tessera_program_callback function, void* user_data) {
  ensure(function != nullptr || user_data == nullptr, CL_INVALID_VALUE);
  return {function, user_data};
}

std::shared_ptr<Build> new_build(Program& program, std::vector<Device*> devices,
                                 const char* options, Build::Notify notify) {
  auto build = std::make_shared<Build>(program, std::move(devices),
                                       options == nullptr ? "" : options, notify);
  build->arg_info = options_keep_arg_info(options);
  return build;
}

// A binary does not tell how it was built; the driver then judges each work-group itself.
bool uniform_after(const Program& program, std::string_view options) {
  return program.origin() == Origin::source && options_ask_for_uniform_work_groups(options);
}

void ensure_compiler(const std::vector<Device*>& devices, cl_device_info capability,
                     cl_int otherwise) {
  for (const Device* device : devices) {
    ensure(device->fact_or<cl_bool>(capability, CL_TRUE) != CL_FALSE, otherwise);
  }
}

struct Headers {
  std::vector<wire::Id> programs;
  std::vector<std::string_view> names;
  std::vector<std::string_view> texts;
};

Headers headers_of(const Program& program, cl_uint count, const cl_program* programs,
                   const char** names) {
  ensure((count == 0) == (programs == nullptr), CL_INVALID_VALUE);
  ensure((count == 0) == (names == nullptr), CL_INVALID_VALUE);
  Headers headers;
  for (cl_uint i = 0; i < count; ++i) {
    Program& header = require<Program>(programs[i]);
    ensure(&header.context() == &program.context(), CL_INVALID_PROGRAM);
    ensure(header.origin() == Origin::source, CL_INVALID_OPERATION);
    ensure(names[i] != nullptr, CL_INVALID_VALUE);
    headers.programs.push_back(header.id());
    headers.names.push_back(names[i]);
    headers.texts.push_back(header.text());
  }
  return headers;
}

// The files that the source, and the headers, of a build include, as they are now.
ShippedHeaders included(const Program& program, const Build& build, const Headers& headers = {}) {
  if (program.origin() != Origin::source) return {};
  std::vector<std::string_view> sources{program.text()};
  sources.insert(sources.end(), headers.texts.begin(), headers.texts.end());
  return ship_headers(sources, build.options, headers.names);
}

template <class Message>
void post_with(Session& session, Message& message, const ShippedHeaders& shipped) {
  message.part_sizes = shipped.part_sizes;
  message.part_files = shipped.part_files;
  message.text_ends = shipped.text_ends;
  session.post(message, session.bulk_of(shipped.bytes.data(), shipped.bytes.size()));
}

bool is_linkable(const Program& program, const Device& device) {
  if (!program.has_device(device)) return false;
  const DeviceBuild state = program.state(device);
  if (program.origin() == Origin::binary) {
    // Of some drivers' binaries nobody knows what they are until they are built.
    if (state.binary_type == CL_PROGRAM_BINARY_TYPE_NONE) return true;
  } else if (state.status != CL_BUILD_SUCCESS) {
    return false;
  }
  return state.binary_type == CL_PROGRAM_BINARY_TYPE_COMPILED_OBJECT ||
         state.binary_type == CL_PROGRAM_BINARY_TYPE_LIBRARY;
}

// On each device either all inputs or none have something to link, and on some device all have.
void ensure_linkable(const std::vector<Program*>& inputs, const std::vector<Device*>& devices) {
  bool some = false;
  for (const Device* device : devices) {
    const auto n = std::count_if(inputs.begin(), inputs.end(), [&](const Program* program) {
      return is_linkable(*program, *device);
    });
    ensure(n == 0 || n == static_cast<std::ptrdiff_t>(inputs.size()), CL_INVALID_OPERATION);
    some = some || n != 0;
  }
  ensure(some, CL_INVALID_OPERATION);
}

std::vector<Program*> inputs_of(const Context& context, cl_uint count, const cl_program* programs) {
  ensure(count != 0 && programs != nullptr, CL_INVALID_VALUE);
  std::vector<Program*> inputs;
  for (cl_uint i = 0; i < count; ++i) {
    Program& input = require<Program>(programs[i]);
    ensure(&input.context() == &context, CL_INVALID_PROGRAM);
    ensure(input.build() == nullptr, CL_INVALID_OPERATION);
    inputs.push_back(&input);
  }
  return inputs;
}

std::vector<Device*> link_devices(const Context& context, cl_uint count,
                                  const cl_device_id* devices) {
  ensure((count == 0) == (devices == nullptr), CL_INVALID_VALUE);
  if (count == 0) return context.devices();
  std::vector<Device*> chosen;
  for (cl_uint i = 0; i < count; ++i) {
    Device& device = require<Device>(devices[i]);
    ensure(context.has_device(device), CL_INVALID_DEVICE);
    chosen.push_back(&device);
  }
  return chosen;
}

}  // namespace

namespace entry {

cl_int CL_API_CALL clBuildProgram(cl_program program, cl_uint num_devices,
                                  const cl_device_id* device_list, const char* options,
                                  tessera_program_callback pfn_notify, void* user_data) {
  return guarded([&] {
    Program& object = require<Program>(program);
    const Build::Notify callback = notify(pfn_notify, user_data);
    const auto build =
        new_build(object, object.chosen(num_devices, device_list), options, callback);
    ensure(object.origin() != Origin::builtin_kernels && object.origin() != Origin::linked,
           CL_INVALID_OPERATION);
    if (object.origin() != Origin::binary) {
      ensure_compiler(build->devices, CL_DEVICE_COMPILER_AVAILABLE, CL_COMPILER_NOT_AVAILABLE);
    }
    build->uniform = uniform_after(object, build->options);
    const ShippedHeaders shipped = included(object, *build);
    run_build(build, [&](Session& session) {
      const std::vector<std::uint32_t> devices = device_indexes(build->devices);
      wire::BuildProgram message;
      message.program = object.id();
      message.devices = devices;
      message.options = build->options;
      message.ticket = build->ticket;
      post_with(session, message, shipped);
    });
  });
}

cl_int CL_API_CALL clCompileProgram(cl_program program, cl_uint num_devices,
                                    const cl_device_id* device_list, const char* options,
                                    cl_uint num_input_headers, const cl_program* input_headers,
                                    const char** header_include_names,
                                    tessera_program_callback pfn_notify, void* user_data) {
  return guarded([&] {
    Program& object = require<Program>(program);
    const Build::Notify callback = notify(pfn_notify, user_data);
    const auto build =
        new_build(object, object.chosen(num_devices, device_list), options, callback);
    const Headers headers =
        headers_of(object, num_input_headers, input_headers, header_include_names);
    ensure(object.origin() == Origin::source || object.origin() == Origin::il,
           CL_INVALID_OPERATION);
    ensure_compiler(build->devices, CL_DEVICE_COMPILER_AVAILABLE, CL_COMPILER_NOT_AVAILABLE);
    build->uniform = uniform_after(object, build->options);
    const ShippedHeaders shipped = included(object, *build, headers);
    run_build(build, [&](Session& session) {
      const std::vector<std::uint32_t> devices = device_indexes(build->devices);
      wire::CompileProgram message;
      message.program = object.id();
      message.devices = devices;
      message.options = build->options;
      message.headers = headers.programs;
      message.header_names = headers.names;
      message.ticket = build->ticket;
      post_with(session, message, shipped);
    });
  });
}

cl_program CL_API_CALL clLinkProgram(cl_context context, cl_uint num_devices,
                                     const cl_device_id* device_list, const char* options,
                                     cl_uint num_input_programs, const cl_program* input_programs,
                                     tessera_program_callback pfn_notify, void* user_data,
                                     cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    Context& owner = require<Context>(context);
    const Build::Notify callback = notify(pfn_notify, user_data);
    const std::vector<Device*> devices = link_devices(owner, num_devices, device_list);
    const std::vector<Program*> inputs = inputs_of(owner, num_input_programs, input_programs);
    ensure_compiler(devices, CL_DEVICE_LINKER_AVAILABLE, CL_LINKER_NOT_AVAILABLE);
    ensure_linkable(inputs, devices);
    Ref<Program> program = make<Program>(owner, devices, Origin::linked, "");
    const auto build = new_build(*program, devices, options, callback);
    std::vector<wire::Id> ids;
    for (const Program* input : inputs) {
      ids.push_back(input->id());
      build->uniform = build->uniform || input->uniform();
    }
    run_build(build, [&](Session& session) {
      const std::vector<std::uint32_t> indexes = device_indexes(devices);
      wire::LinkProgram message;
      message.program = program->id();
      message.context = owner.id();
      message.devices = indexes;
      message.options = build->options;
      message.inputs = ids;
      message.ticket = build->ticket;
      session.create(*program, message);
    });
    return give_handle(std::move(program));
  });
}

}  // namespace entry
}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "opencl/null/objects.h"

using namespace tessera::null;

namespace {

// A binary is this and the source.
constexpr char kMagic[] = {'T', 'S', 'N', 'B'};

std::string binary_of(cl_program program) {
  if (program->binary_type == CL_PROGRAM_BINARY_TYPE_NONE) return {};
  return std::string(kMagic, sizeof kMagic) + program->source;
}

// Devices asked for, or all of the program; empty if one is not the program's.
bool check_devices(cl_program program, cl_uint count, const cl_device_id* list) {
  for (cl_uint i = 0; i < count; ++i) {
    if (!valid(list[i]) || std::ranges::count(program->devices, list[i]) == 0) return false;
  }
  return true;
}

using Notify = void(CL_CALLBACK*)(cl_program, void*);

cl_int check_build(cl_program program, cl_uint count, const cl_device_id* list, Notify notify,
                   void* user_data) {
  if (!valid(program)) return CL_INVALID_PROGRAM;
  if ((count == 0) != (list == nullptr)) return CL_INVALID_VALUE;
  if (notify == nullptr && user_data != nullptr) return CL_INVALID_VALUE;
  return check_devices(program, count, list) ? CL_SUCCESS : CL_INVALID_DEVICE;
}

// "Compiles": `#error` fails, everything else gives the kernels that the text has.
cl_int translate(cl_program program, const char* options, cl_program_binary_type becomes,
                 cl_int failure) {
  const std::lock_guard lock(big_lock());
  if (program->attached > 0) return CL_INVALID_OPERATION;
  program->options = options == nullptr ? "" : options;
  const std::size_t error = program->source.find("#error");
  if (error != std::string::npos) {
    program->status = CL_BUILD_ERROR;
    program->log = program->source.substr(error, program->source.find('\n', error) - error);
    return failure;
  }
  program->kernels = parse_kernels(program->source);
  program->status = CL_BUILD_SUCCESS;
  program->binary_type = becomes;
  program->log = "nothing to say";
  return CL_SUCCESS;
}

std::string names_of(cl_program program) {
  std::string names;
  for (const KernelText& kernel : program->kernels) {
    names += (names.empty() ? "" : ";") + kernel.name;
  }
  return names;
}

cl_int give_binaries(cl_program program, const Query& query) {
  const std::string binary = binary_of(program);
  const std::size_t size = program->devices.size() * sizeof(unsigned char*);
  if (query.value != nullptr && query.size < size) return CL_INVALID_VALUE;
  auto* const places = static_cast<unsigned char**>(query.value);
  for (std::size_t i = 0; places != nullptr && i < program->devices.size(); ++i) {
    if (places[i] != nullptr) std::memcpy(places[i], binary.data(), binary.size());
  }
  if (query.needed != nullptr) *query.needed = size;
  return CL_SUCCESS;
}

std::unique_ptr<_cl_program> make_program(cl_context context, std::string source) {
  auto program = std::make_unique<_cl_program>();
  program->context = Ref<_cl_context>(context);
  program->devices = context->devices;
  program->source = std::move(source);
  return program;
}

}  // namespace

extern "C" {

cl_program CL_API_CALL clCreateProgramWithSource(cl_context context, cl_uint count,
                                                 const char** strings, const size_t* lengths,
                                                 cl_int* errcode) {
  if (!valid(context)) return refuse(errcode, CL_INVALID_CONTEXT);
  if (count == 0 || strings == nullptr) return refuse(errcode, CL_INVALID_VALUE);
  std::string source;
  for (cl_uint i = 0; i < count; ++i) {
    if (strings[i] == nullptr) return refuse(errcode, CL_INVALID_VALUE);
    const bool counted = lengths != nullptr && lengths[i] != 0;
    source += counted ? std::string(strings[i], lengths[i]) : std::string(strings[i]);
  }
  return grant(errcode, make_program(context, std::move(source)));
}

cl_program CL_API_CALL clCreateProgramWithBinary(cl_context context, cl_uint count,
                                                 const cl_device_id* devices, const size_t* lengths,
                                                 const unsigned char** binaries, cl_int* status,
                                                 cl_int* errcode) {
  if (!valid(context)) return refuse(errcode, CL_INVALID_CONTEXT);
  if (count == 0 || devices == nullptr || lengths == nullptr || binaries == nullptr) {
    return refuse(errcode, CL_INVALID_VALUE);
  }
  std::string source;
  bool good = true;
  for (cl_uint i = 0; i < count; ++i) {
    if (!valid(devices[i])) return refuse(errcode, CL_INVALID_DEVICE);
    if (lengths[i] == 0 || binaries[i] == nullptr) return refuse(errcode, CL_INVALID_VALUE);
    const bool known =
        lengths[i] >= sizeof kMagic && std::memcmp(binaries[i], kMagic, sizeof kMagic) == 0;
    if (status != nullptr) status[i] = known ? CL_SUCCESS : CL_INVALID_BINARY;
    good = good && known;
    if (known) {
      source.assign(reinterpret_cast<const char*>(binaries[i]) + sizeof kMagic,
                    lengths[i] - sizeof kMagic);
    }
  }
  if (!good) return refuse(errcode, CL_INVALID_BINARY);
  auto program = make_program(context, std::move(source));
  program->devices.assign(devices, devices + count);
  program->binary_type = CL_PROGRAM_BINARY_TYPE_EXECUTABLE;
  return grant(errcode, std::move(program));
}

cl_program CL_API_CALL clCreateProgramWithIL(cl_context context, const void*, size_t,
                                             cl_int* errcode) {
  return refuse(errcode, valid(context) ? CL_INVALID_OPERATION : CL_INVALID_CONTEXT);
}

cl_program CL_API_CALL clCreateProgramWithBuiltInKernels(cl_context context, cl_uint,
                                                         const cl_device_id*, const char*,
                                                         cl_int* errcode) {
  return refuse(errcode, valid(context) ? CL_INVALID_VALUE : CL_INVALID_CONTEXT);
}

cl_int CL_API_CALL clRetainProgram(cl_program program) {
  return retain(program, CL_INVALID_PROGRAM);
}
cl_int CL_API_CALL clReleaseProgram(cl_program program) {
  return release(program, CL_INVALID_PROGRAM);
}

cl_int CL_API_CALL clBuildProgram(cl_program program, cl_uint count, const cl_device_id* list,
                                  const char* options, Notify notify, void* user_data) {
  if (const cl_int error = check_build(program, count, list, notify, user_data)) return error;
  const cl_int result =
      translate(program, options, CL_PROGRAM_BINARY_TYPE_EXECUTABLE, CL_BUILD_PROGRAM_FAILURE);
  if (notify != nullptr) notify(program, user_data);
  return result;
}

cl_int CL_API_CALL clCompileProgram(cl_program program, cl_uint count, const cl_device_id* list,
                                    const char* options, cl_uint headers,
                                    const cl_program* header_list, const char** names,
                                    Notify notify, void* user_data) {
  if (const cl_int error = check_build(program, count, list, notify, user_data)) return error;
  if ((headers == 0) != (header_list == nullptr) || (headers == 0) != (names == nullptr)) {
    return CL_INVALID_VALUE;
  }
  for (cl_uint i = 0; i < headers; ++i) {
    if (!valid(header_list[i])) return CL_INVALID_PROGRAM;
  }
  const cl_int result = translate(program, options, CL_PROGRAM_BINARY_TYPE_COMPILED_OBJECT,
                                  CL_COMPILE_PROGRAM_FAILURE);
  if (notify != nullptr) notify(program, user_data);
  return result;
}

cl_program CL_API_CALL clLinkProgram(cl_context context, cl_uint count, const cl_device_id* list,
                                     const char* options, cl_uint inputs,
                                     const cl_program* input_list, Notify notify, void* user_data,
                                     cl_int* errcode) {
  if (!valid(context)) return refuse(errcode, CL_INVALID_CONTEXT);
  if (inputs == 0 || input_list == nullptr || (count == 0) != (list == nullptr)) {
    return refuse(errcode, CL_INVALID_VALUE);
  }
  std::string source;
  for (cl_uint i = 0; i < inputs; ++i) {
    if (!valid(input_list[i])) return refuse(errcode, CL_INVALID_PROGRAM);
    const std::lock_guard lock(big_lock());
    const cl_program_binary_type type = input_list[i]->binary_type;
    if (type != CL_PROGRAM_BINARY_TYPE_COMPILED_OBJECT && type != CL_PROGRAM_BINARY_TYPE_LIBRARY) {
      return refuse(errcode, CL_INVALID_OPERATION);
    }
    source += input_list[i]->source + "\n";
  }
  auto program = make_program(context, std::move(source));
  if (!check_devices(program.get(), count, list)) return refuse(errcode, CL_INVALID_DEVICE);
  const bool library = options != nullptr && std::strstr(options, "-create-library") != nullptr;
  translate(program.get(), options,
            library ? CL_PROGRAM_BINARY_TYPE_LIBRARY : CL_PROGRAM_BINARY_TYPE_EXECUTABLE,
            CL_LINK_PROGRAM_FAILURE);
  cl_program linked = grant(errcode, std::move(program));
  if (notify != nullptr) notify(linked, user_data);
  return linked;
}

cl_int CL_API_CALL clSetProgramReleaseCallback(cl_program program, Notify, void*) {
  return valid(program) ? CL_INVALID_OPERATION : CL_INVALID_PROGRAM;
}

cl_int CL_API_CALL clSetProgramSpecializationConstant(cl_program program, cl_uint, size_t,
                                                      const void*) {
  return valid(program) ? CL_INVALID_OPERATION : CL_INVALID_PROGRAM;
}

cl_int CL_API_CALL clGetProgramInfo(cl_program program, cl_program_info what, size_t size,
                                    void* value, size_t* needed) {
  if (!valid(program)) return CL_INVALID_PROGRAM;
  const Query query{size, value, needed};
  const std::lock_guard lock(big_lock());
  switch (what) {
    case CL_PROGRAM_REFERENCE_COUNT:
      return query.one(program->api.load());
    case CL_PROGRAM_CONTEXT:
      return query.one(program->context.get());
    case CL_PROGRAM_NUM_DEVICES:
      return query.one(static_cast<cl_uint>(program->devices.size()));
    case CL_PROGRAM_DEVICES:
      return query.list(program->devices);
    case CL_PROGRAM_SOURCE:
      return query.text(program->source);
    case CL_PROGRAM_IL:
      return query.bytes(nullptr, 0);
    case CL_PROGRAM_BINARY_SIZES:
      return query.list(
          std::vector<std::size_t>(program->devices.size(), binary_of(program).size()));
    case CL_PROGRAM_BINARIES:
      return give_binaries(program, query);
    case CL_PROGRAM_NUM_KERNELS:
    case CL_PROGRAM_KERNEL_NAMES:
      if (program->status != CL_BUILD_SUCCESS) return CL_INVALID_PROGRAM_EXECUTABLE;
      return what == CL_PROGRAM_NUM_KERNELS ? query.one(program->kernels.size())
                                            : query.text(names_of(program));
    case CL_PROGRAM_SCOPE_GLOBAL_CTORS_PRESENT:
    case CL_PROGRAM_SCOPE_GLOBAL_DTORS_PRESENT:
      return query.one(cl_bool{CL_FALSE});
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int CL_API_CALL clGetProgramBuildInfo(cl_program program, cl_device_id device,
                                         cl_program_build_info what, size_t size, void* value,
                                         size_t* needed) {
  if (!valid(program)) return CL_INVALID_PROGRAM;
  if (!valid(device) || std::ranges::count(program->devices, device) == 0) return CL_INVALID_DEVICE;
  const Query query{size, value, needed};
  const std::lock_guard lock(big_lock());
  switch (what) {
    case CL_PROGRAM_BUILD_STATUS:
      return query.one(program->status);
    case CL_PROGRAM_BUILD_OPTIONS:
      return query.text(program->options);
    case CL_PROGRAM_BUILD_LOG:
      return query.text(program->log);
    case CL_PROGRAM_BINARY_TYPE:
      return query.one(program->binary_type);
    case CL_PROGRAM_BUILD_GLOBAL_VARIABLE_TOTAL_SIZE:
      return query.one(std::size_t{0});
    default:
      return CL_INVALID_VALUE;
  }
}

}  // extern "C"

// SPDX-License-Identifier: Apache-2.0
#include "generated/client_entries.h"
#include "generated/messages_kernel.h"
#include "opencl/client/kernel.h"
#include "opencl/client/session.h"
#include "opencl/client/svm.h"
#include "opencl/client/usm.h"

namespace tessera::client {
namespace {

Ref<Kernel> create(Program& program, Facts facts) {
  Ref<Kernel> kernel = make<Kernel>(program, facts);
  wire::CreateKernel message;
  message.kernel = kernel->id();
  message.program = program.id();
  message.name = facts->name;
  program.session().create(*kernel, message);
  return kernel;
}

void set_svm_pointers(Kernel& kernel, size_t size, const void* value) {
  ensure(value != nullptr && size != 0 && size % sizeof(void*) == 0, CL_INVALID_VALUE);
  const auto* pointers = static_cast<void* const*>(value);
  std::vector<std::uint64_t> addresses;
  for (size_t i = 0; i < size / sizeof(void*); ++i) {
    ensure(is_svm(kernel.context(), pointers[i], 1), CL_INVALID_VALUE);
    addresses.push_back(reinterpret_cast<std::uintptr_t>(pointers[i]));
  }
  wire::SetKernelExecInfo message;
  message.kernel = kernel.id();
  message.param = CL_KERNEL_EXEC_INFO_SVM_PTRS;
  message.values = addresses;
  kernel.session().post(message);
}

// No device of a lease shares the system's own memory, so there is nothing to turn on.
void set_fine_grain_system(size_t size, const void* value) {
  ensure(value != nullptr && size == sizeof(cl_bool), CL_INVALID_VALUE);
  ensure(*static_cast<const cl_bool*>(value) == CL_FALSE, CL_INVALID_OPERATION);
}

}  // namespace

namespace entry {

cl_kernel CL_API_CALL clCreateKernel(cl_program program, const char* kernel_name,
                                     cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    Program& object = require<Program>(program);
    ensure(kernel_name != nullptr, CL_INVALID_VALUE);
    return give_handle(create(object, object.facts_of(kernel_name)));
  });
}

cl_int CL_API_CALL clCreateKernelsInProgram(cl_program program, cl_uint num_kernels,
                                            cl_kernel* kernels, cl_uint* num_kernels_ret) {
  return guarded([&] {
    Program& object = require<Program>(program);
    const std::vector<Facts> facts = object.kernels();
    ensure(kernels == nullptr || num_kernels >= facts.size(), CL_INVALID_VALUE);
    if (kernels != nullptr) {
      std::vector<Ref<Kernel>> made;
      for (const Facts& each : facts) made.push_back(create(object, each));
      for (size_t i = 0; i < made.size(); ++i) kernels[i] = give_handle(std::move(made[i]));
    }
    if (num_kernels_ret != nullptr) *num_kernels_ret = static_cast<cl_uint>(facts.size());
  });
}

cl_kernel CL_API_CALL clCloneKernel(cl_kernel source_kernel, cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    Kernel& source = require<Kernel>(source_kernel);
    Ref<Kernel> kernel = make<Kernel>(source);
    wire::CloneKernel message;
    message.kernel = kernel->id();
    message.source = source.id();
    source.session().create(*kernel, message);
    return give_handle(std::move(kernel));
  });
}

cl_int CL_API_CALL clSetKernelExecInfo(cl_kernel kernel, cl_kernel_exec_info param_name,
                                       size_t param_value_size, const void* param_value) {
  return guarded([&] {
    Kernel& object = require<Kernel>(kernel);
    if (is_usm_exec_info(param_name)) {
      return set_usm_exec_info(object, param_name, param_value_size, param_value);
    }
    ensure(some_device_has_svm(object.context()), CL_INVALID_OPERATION);
    switch (param_name) {
      case CL_KERNEL_EXEC_INFO_SVM_PTRS:
        return set_svm_pointers(object, param_value_size, param_value);
      case CL_KERNEL_EXEC_INFO_SVM_FINE_GRAIN_SYSTEM:
        return set_fine_grain_system(param_value_size, param_value);
      default:
        throw ApiError(CL_INVALID_VALUE);
    }
  });
}

}  // namespace entry
}  // namespace tessera::client

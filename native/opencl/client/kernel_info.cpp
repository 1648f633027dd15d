// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "generated/client_entries.h"
#include "generated/messages_kernel.h"
#include "opencl/client/info.h"
#include "opencl/client/kernel.h"
#include "opencl/client/session.h"

namespace tessera::client {
namespace {

void tell_work_group(const Info& info, Kernel& kernel, const Device& device,
                     cl_kernel_work_group_info what) {
  const WorkGroupFacts* known = kernel.work_group(device);
  const WorkGroupFacts facts = known == nullptr ? WorkGroupFacts{} : *known;
  switch (what) {
    case CL_KERNEL_WORK_GROUP_SIZE:
      return info.value(facts.max_size);
    case CL_KERNEL_COMPILE_WORK_GROUP_SIZE:
      return info.value(facts.required_size);
    case CL_KERNEL_LOCAL_MEM_SIZE:
      return info.value(static_cast<cl_ulong>(kernel.local_memory(device)));
    case CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE:
      return info.value(facts.preferred_multiple);
    case CL_KERNEL_PRIVATE_MEM_SIZE:
      return info.value(static_cast<cl_ulong>(facts.private_memory));
    default:
      // CL_KERNEL_GLOBAL_WORK_SIZE as well: it is for custom devices and built-in kernels.
      throw ApiError(CL_INVALID_VALUE);
  }
}

void tell_argument(const Info& info, const Kernel& kernel, cl_uint index, cl_kernel_arg_info what) {
  const KernelFacts& facts = kernel.facts();
  ensure(index < facts.args.size(), CL_INVALID_ARG_INDEX);
  ensure(facts.args_described && kernel.program().arg_info(), CL_KERNEL_ARG_INFO_NOT_AVAILABLE);
  const ArgFacts& arg = facts.args[index];
  switch (what) {
    case CL_KERNEL_ARG_ADDRESS_QUALIFIER:
      return info.value(arg.address);
    case CL_KERNEL_ARG_ACCESS_QUALIFIER:
      return info.value(arg.access);
    case CL_KERNEL_ARG_TYPE_NAME:
      return info.text(arg.type_name);
    case CL_KERNEL_ARG_TYPE_QUALIFIER:
      return info.value(arg.qualifiers);
    case CL_KERNEL_ARG_NAME:
      return info.text(arg.name);
    default:
      throw ApiError(CL_INVALID_VALUE);
  }
}

// How many numbers the query takes; CL_INVALID_VALUE for a wrong count or an unknown query.
void ensure_input(cl_kernel_sub_group_info what, size_t size, const void* input) {
  const size_t count = size / sizeof(size_t);
  switch (what) {
    case CL_KERNEL_MAX_SUB_GROUP_SIZE_FOR_NDRANGE:
    case CL_KERNEL_SUB_GROUP_COUNT_FOR_NDRANGE:
      ensure(input != nullptr && size % sizeof(size_t) == 0 && count >= 1 && count <= 3,
             CL_INVALID_VALUE);
      return;
    case CL_KERNEL_LOCAL_SIZE_FOR_SUB_GROUP_COUNT:
      ensure(input != nullptr && size == sizeof(size_t), CL_INVALID_VALUE);
      return;
    case CL_KERNEL_MAX_NUM_SUB_GROUPS:
    case CL_KERNEL_COMPILE_NUM_SUB_GROUPS:
      return;
    default:
      throw ApiError(CL_INVALID_VALUE);
  }
}

void ask_sub_groups(const Info& info, Kernel& kernel, const Device& device,
                    cl_kernel_sub_group_info what, size_t input_size, const void* input) {
  ensure(device.fact_or<cl_uint>(CL_DEVICE_MAX_NUM_SUB_GROUPS, 0) != 0, CL_INVALID_OPERATION);
  ensure_input(what, input_size, input);
  std::vector<std::uint64_t> numbers(input == nullptr ? 0 : input_size / sizeof(size_t));
  if (!numbers.empty()) std::memcpy(numbers.data(), input, numbers.size() * sizeof(size_t));
  wire::GetKernelSubGroupInfo message;
  message.kernel = kernel.id();
  message.device = device.index();
  message.param = what;
  message.input = numbers;
  const Reply reply = kernel.session().call(message);
  ensure_success(reply.status);
  // A local size has as many dimensions as the program asks for.
  const bool dimensions =
      what == CL_KERNEL_LOCAL_SIZE_FOR_SUB_GROUP_COUNT && info.place() != nullptr;
  info.bytes(reply.data.data(),
             dimensions ? std::min(info.room(), reply.data.size()) : reply.data.size());
}

}  // namespace

namespace entry {

cl_int CL_API_CALL clGetKernelInfo(cl_kernel kernel, cl_kernel_info param_name,
                                   size_t param_value_size, void* param_value,
                                   size_t* param_value_size_ret) {
  return guarded([&] {
    Kernel& object = require<Kernel>(kernel);
    const Info info(param_value_size, param_value, param_value_size_ret);
    switch (param_name) {
      case CL_KERNEL_FUNCTION_NAME:
        return info.text(object.facts().name);
      case CL_KERNEL_NUM_ARGS:
        return info.value(static_cast<cl_uint>(object.facts().args.size()));
      case CL_KERNEL_REFERENCE_COUNT:
        return info.value(object.references());
      case CL_KERNEL_CONTEXT:
        return info.value(object.context().handle());
      case CL_KERNEL_PROGRAM:
        return info.value(object.program().handle());
      case CL_KERNEL_ATTRIBUTES:
        return info.text(object.facts().attributes);
      default:
        throw ApiError(CL_INVALID_VALUE);
    }
  });
}

cl_int CL_API_CALL clGetKernelArgInfo(cl_kernel kernel, cl_uint arg_indx,
                                      cl_kernel_arg_info param_name, size_t param_value_size,
                                      void* param_value, size_t* param_value_size_ret) {
  return guarded([&] {
    tell_argument({param_value_size, param_value, param_value_size_ret}, require<Kernel>(kernel),
                  arg_indx, param_name);
  });
}

cl_int CL_API_CALL clGetKernelWorkGroupInfo(cl_kernel kernel, cl_device_id device,
                                            cl_kernel_work_group_info param_name,
                                            size_t param_value_size, void* param_value,
                                            size_t* param_value_size_ret) {
  return guarded([&] {
    Kernel& object = require<Kernel>(kernel);
    tell_work_group({param_value_size, param_value, param_value_size_ret}, object,
                    object.device(device), param_name);
  });
}

cl_int CL_API_CALL clGetKernelSubGroupInfo(cl_kernel kernel, cl_device_id device,
                                           cl_kernel_sub_group_info param_name,
                                           size_t input_value_size, const void* input_value,
                                           size_t param_value_size, void* param_value,
                                           size_t* param_value_size_ret) {
  return guarded([&] {
    Kernel& object = require<Kernel>(kernel);
    ask_sub_groups({param_value_size, param_value, param_value_size_ret}, object,
                   object.device(device), param_name, input_value_size, input_value);
  });
}

cl_int CL_API_CALL clGetKernelSubGroupInfoKHR(cl_kernel in_kernel, cl_device_id in_device,
                                              cl_kernel_sub_group_info param_name,
                                              size_t input_value_size, const void* input_value,
                                              size_t param_value_size, void* param_value,
                                              size_t* param_value_size_ret) {
  return entry::clGetKernelSubGroupInfo(in_kernel, in_device, param_name, input_value_size,
                                        input_value, param_value_size, param_value,
                                        param_value_size_ret);
}

}  // namespace entry
}  // namespace tessera::client

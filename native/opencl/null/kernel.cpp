// SPDX-License-Identifier: Apache-2.0
#include <CL/cl_ext.h>

#include <algorithm>
#include <cstring>

#include "opencl/null/engine.h"

using namespace tessera::null;

namespace {

constexpr std::size_t kMaxGroup = 1024;

std::unique_ptr<_cl_kernel> make_kernel(cl_program program, const KernelText& text) {
  auto kernel = std::make_unique<_cl_kernel>();
  kernel->program = Ref<_cl_program>(program);
  kernel->text = text;
  kernel->slots.resize(text.arguments.size());
  ++program->attached;
  return kernel;
}

// A slot that takes an object: `value` points to a handle, or is NULL, or points to NULL.
template <class T>
cl_int set_object(std::size_t size, const void* value, T*& into, bool null_allowed) {
  if (size != sizeof(T*)) return CL_INVALID_ARG_SIZE;
  T* handle = nullptr;
  if (value != nullptr) std::memcpy(&handle, value, sizeof handle);
  if (handle == nullptr && !null_allowed) return CL_INVALID_ARG_VALUE;
  if (handle != nullptr) static_cast<void>(valid(handle));
  into = handle;
  return CL_SUCCESS;
}

cl_int set_slot(const Argument& argument, _cl_kernel::Slot& slot, std::size_t size,
                const void* value) {
  switch (argument.kind) {
    case ArgumentKind::buffer: {
      const cl_int result = set_object(size, value, slot.mem, true);
      const bool wrong = slot.mem != nullptr && slot.mem->type != CL_MEM_OBJECT_BUFFER;
      return wrong ? CL_INVALID_MEM_OBJECT : result;
    }
    case ArgumentKind::image: {
      const cl_int result = set_object(size, value, slot.mem, false);
      const bool wrong = slot.mem != nullptr && slot.mem->type == CL_MEM_OBJECT_BUFFER;
      return wrong ? CL_INVALID_MEM_OBJECT : result;
    }
    case ArgumentKind::sampler: {
      const cl_int result = set_object(size, value, slot.sampler, false);
      return result == CL_INVALID_ARG_VALUE ? CL_INVALID_SAMPLER : result;
    }
    case ArgumentKind::local:
      if (value != nullptr) return CL_INVALID_ARG_VALUE;
      return size == 0 ? CL_INVALID_ARG_SIZE : CL_SUCCESS;
    case ArgumentKind::value:
      if (value == nullptr) return CL_INVALID_ARG_VALUE;
      if (size != argument.size) return CL_INVALID_ARG_SIZE;
      slot.value.assign(static_cast<const std::byte*>(value),
                        static_cast<const std::byte*>(value) + size);
      return CL_SUCCESS;
  }
  return CL_INVALID_VALUE;
}

cl_int check_range(cl_kernel kernel, cl_uint dimensions, const std::size_t* global,
                   const std::size_t* local) {
  for (const auto& slot : kernel->slots) {
    if (!slot.set) return CL_INVALID_KERNEL_ARGS;
    if (slot.mem != nullptr) static_cast<void>(valid(slot.mem));
    if (slot.sampler != nullptr) static_cast<void>(valid(slot.sampler));
  }
  if (dimensions < 1 || dimensions > 3) return CL_INVALID_WORK_DIMENSION;
  std::size_t group = 1;
  for (cl_uint i = 0; local != nullptr && i < dimensions; ++i) {
    if (local[i] == 0 || local[i] > (i == 2 ? 64 : kMaxGroup)) return CL_INVALID_WORK_ITEM_SIZE;
    group *= local[i];
    if (global != nullptr && global[i] % local[i] != 0) return CL_INVALID_WORK_GROUP_SIZE;
  }
  return group > kMaxGroup ? CL_INVALID_WORK_GROUP_SIZE : CL_SUCCESS;
}

}  // namespace

extern "C" {

cl_kernel CL_API_CALL clCreateKernel(cl_program program, const char* name, cl_int* errcode) {
  if (!valid(program)) return refuse(errcode, CL_INVALID_PROGRAM);
  if (name == nullptr) return refuse(errcode, CL_INVALID_VALUE);
  const std::lock_guard lock(big_lock());
  if (program->status != CL_BUILD_SUCCESS) return refuse(errcode, CL_INVALID_PROGRAM_EXECUTABLE);
  for (const KernelText& text : program->kernels) {
    if (text.name == name) return grant(errcode, make_kernel(program, text));
  }
  return refuse(errcode, CL_INVALID_KERNEL_NAME);
}

cl_int CL_API_CALL clCreateKernelsInProgram(cl_program program, cl_uint entries, cl_kernel* kernels,
                                            cl_uint* count) {
  if (!valid(program)) return CL_INVALID_PROGRAM;
  const std::lock_guard lock(big_lock());
  if (program->status != CL_BUILD_SUCCESS) return CL_INVALID_PROGRAM_EXECUTABLE;
  if (kernels != nullptr && entries < program->kernels.size()) return CL_INVALID_VALUE;
  for (std::size_t i = 0; kernels != nullptr && i < program->kernels.size(); ++i) {
    kernels[i] = publish(make_kernel(program, program->kernels[i]));
  }
  if (count != nullptr) *count = static_cast<cl_uint>(program->kernels.size());
  return CL_SUCCESS;
}

cl_kernel CL_API_CALL clCloneKernel(cl_kernel source, cl_int* errcode) {
  if (!valid(source)) return refuse(errcode, CL_INVALID_KERNEL);
  auto kernel = make_kernel(source->program.get(), source->text);
  kernel->slots = source->slots;
  return grant(errcode, std::move(kernel));
}

cl_int CL_API_CALL clRetainKernel(cl_kernel kernel) {
  return retain(kernel, CL_INVALID_KERNEL);
}
cl_int CL_API_CALL clReleaseKernel(cl_kernel kernel) {
  return release(kernel, CL_INVALID_KERNEL);
}

cl_int CL_API_CALL clSetKernelArg(cl_kernel kernel, cl_uint index, size_t size, const void* value) {
  if (!valid(kernel)) return CL_INVALID_KERNEL;
  if (index >= kernel->slots.size()) return CL_INVALID_ARG_INDEX;
  _cl_kernel::Slot slot;
  const cl_int result = set_slot(kernel->text.arguments[index], slot, size, value);
  if (result != CL_SUCCESS) return result;
  slot.set = true;
  kernel->slots[index] = std::move(slot);
  return CL_SUCCESS;
}

cl_int CL_API_CALL clSetKernelArgSVMPointer(cl_kernel kernel, cl_uint index, const void*) {
  if (!valid(kernel)) return CL_INVALID_KERNEL;
  if (index >= kernel->slots.size()) return CL_INVALID_ARG_INDEX;
  if (kernel->text.arguments[index].kind != ArgumentKind::buffer) return CL_INVALID_ARG_VALUE;
  kernel->slots[index] = {};
  kernel->slots[index].set = true;
  return CL_SUCCESS;
}

cl_int CL_API_CALL clSetKernelExecInfo(cl_kernel kernel, cl_kernel_exec_info what, size_t size,
                                       const void* value) {
  if (!valid(kernel)) return CL_INVALID_KERNEL;
  if (value == nullptr) return CL_INVALID_VALUE;
  if (what == CL_KERNEL_EXEC_INFO_SVM_PTRS || what == CL_KERNEL_EXEC_INFO_USM_PTRS_INTEL) {
    return size == 0 || size % sizeof(void*) != 0 ? CL_INVALID_VALUE : CL_SUCCESS;
  }
  if (what >= CL_KERNEL_EXEC_INFO_INDIRECT_HOST_ACCESS_INTEL &&
      what <= CL_KERNEL_EXEC_INFO_INDIRECT_SHARED_ACCESS_INTEL) {
    return size == sizeof(cl_bool) ? CL_SUCCESS : CL_INVALID_VALUE;
  }
  if (what == CL_KERNEL_EXEC_INFO_SVM_FINE_GRAIN_SYSTEM) {
    cl_bool asked = CL_FALSE;
    if (size != sizeof asked) return CL_INVALID_VALUE;
    std::memcpy(&asked, value, sizeof asked);
    return asked == CL_TRUE ? CL_INVALID_OPERATION : CL_SUCCESS;
  }
  return CL_INVALID_VALUE;
}

cl_int CL_API_CALL clGetKernelInfo(cl_kernel kernel, cl_kernel_info what, size_t size, void* value,
                                   size_t* needed) {
  if (!valid(kernel)) return CL_INVALID_KERNEL;
  const Query query{size, value, needed};
  switch (what) {
    case CL_KERNEL_FUNCTION_NAME:
      return query.text(kernel->text.name);
    case CL_KERNEL_NUM_ARGS:
      return query.one(static_cast<cl_uint>(kernel->slots.size()));
    case CL_KERNEL_REFERENCE_COUNT:
      return query.one(kernel->api.load());
    case CL_KERNEL_CONTEXT:
      return query.one(kernel->program->context.get());
    case CL_KERNEL_PROGRAM:
      return query.one(kernel->program.get());
    case CL_KERNEL_ATTRIBUTES:
      return query.text("");
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int CL_API_CALL clGetKernelArgInfo(cl_kernel kernel, cl_uint index, cl_kernel_arg_info what,
                                      size_t size, void* value, size_t* needed) {
  if (!valid(kernel)) return CL_INVALID_KERNEL;
  if (index >= kernel->slots.size()) return CL_INVALID_ARG_INDEX;
  {
    const std::lock_guard lock(big_lock());
    if (kernel->program->options.find("-cl-kernel-arg-info") == std::string::npos) {
      return CL_KERNEL_ARG_INFO_NOT_AVAILABLE;
    }
  }
  const Argument& argument = kernel->text.arguments[index];
  const Query query{size, value, needed};
  switch (what) {
    case CL_KERNEL_ARG_ADDRESS_QUALIFIER:
      return query.one(argument.address);
    case CL_KERNEL_ARG_ACCESS_QUALIFIER:
      return query.one(static_cast<cl_kernel_arg_access_qualifier>(
          argument.kind == ArgumentKind::image ? CL_KERNEL_ARG_ACCESS_READ_ONLY
                                               : CL_KERNEL_ARG_ACCESS_NONE));
    case CL_KERNEL_ARG_TYPE_QUALIFIER:
      return query.one(cl_kernel_arg_type_qualifier{CL_KERNEL_ARG_TYPE_NONE});
    case CL_KERNEL_ARG_TYPE_NAME:
      return query.text(argument.type);
    case CL_KERNEL_ARG_NAME:
      return query.text(argument.name);
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int CL_API_CALL clGetKernelWorkGroupInfo(cl_kernel kernel, cl_device_id device,
                                            cl_kernel_work_group_info what, size_t size,
                                            void* value, size_t* needed) {
  if (!valid(kernel)) return CL_INVALID_KERNEL;
  if (device != nullptr && !valid(device)) return CL_INVALID_DEVICE;
  if (device == nullptr && kernel->program->devices.size() > 1) return CL_INVALID_DEVICE;
  const Query query{size, value, needed};
  switch (what) {
    case CL_KERNEL_WORK_GROUP_SIZE:
      return query.one(kMaxGroup);
    case CL_KERNEL_COMPILE_WORK_GROUP_SIZE:
      return query.list(std::vector<std::size_t>{0, 0, 0});
    case CL_KERNEL_LOCAL_MEM_SIZE:
    case CL_KERNEL_PRIVATE_MEM_SIZE:
      return query.one(cl_ulong{0});
    case CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE:
      return query.one(std::size_t{8});
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int CL_API_CALL clGetKernelSubGroupInfo(cl_kernel kernel, cl_device_id device,
                                           cl_kernel_sub_group_info, size_t, const void*, size_t,
                                           void*, size_t*) {
  if (!valid(kernel)) return CL_INVALID_KERNEL;
  return device != nullptr && !valid(device) ? CL_INVALID_DEVICE : CL_INVALID_OPERATION;
}

cl_int CL_API_CALL clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel,
                                          cl_uint dimensions, const size_t*, const size_t* global,
                                          const size_t* local, cl_uint count, const cl_event* list,
                                          cl_event* event) {
  if (!valid(queue)) return CL_INVALID_COMMAND_QUEUE;
  if (!valid(kernel)) return CL_INVALID_KERNEL;
  if (kernel->program->context.get() != queue->context.get()) return CL_INVALID_CONTEXT;
  if (const cl_int error = check_range(kernel, dimensions, global, local)) return error;
  std::vector<Ref<_cl_mem>> used;
  for (const auto& slot : kernel->slots) used.emplace_back(slot.mem);
  return submit({queue, CL_COMMAND_NDRANGE_KERNEL, count, list, event},
                [used = std::move(used)] { return CL_COMPLETE; });
}

cl_int CL_API_CALL clEnqueueTask(cl_command_queue queue, cl_kernel kernel, cl_uint count,
                                 const cl_event* list, cl_event* event) {
  const std::size_t one = 1;
  return clEnqueueNDRangeKernel(queue, kernel, 1, nullptr, &one, &one, count, list, event);
}

cl_int CL_API_CALL clEnqueueNativeKernel(cl_command_queue queue, void(CL_CALLBACK*)(void*), void*,
                                         size_t, cl_uint, const cl_mem*, const void**, cl_uint,
                                         const cl_event*, cl_event*) {
  return valid(queue) ? CL_INVALID_OPERATION : CL_INVALID_COMMAND_QUEUE;
}

cl_int CL_API_CALL clSetDefaultDeviceCommandQueue(cl_context context, cl_device_id,
                                                  cl_command_queue) {
  return valid(context) ? CL_INVALID_OPERATION : CL_INVALID_CONTEXT;
}

}  // extern "C"

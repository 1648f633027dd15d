// SPDX-License-Identifier: Apache-2.0
//
// cl_intel_unified_shared_memory: every kind of allocation is memory of the device that the process
// can read.
#include <CL/cl_ext.h>

#include "opencl/null/engine.h"
#include "opencl/null/objects.h"

using namespace tessera::null;

namespace {

constexpr cl_mem_alloc_flags_intel kKnownFlags = CL_MEM_ALLOC_WRITE_COMBINED_INTEL |
                                                 CL_MEM_ALLOC_INITIAL_PLACEMENT_DEVICE_INTEL |
                                                 CL_MEM_ALLOC_INITIAL_PLACEMENT_HOST_INTEL;

void* refused(cl_int* errcode, cl_int error) {
  if (errcode != nullptr) *errcode = error;
  return nullptr;
}

void* allocate_for(cl_context context, const cl_mem_properties_intel* properties, size_t size,
                   cl_uint alignment, cl_int* errcode) {
  if (!valid(context)) return refused(errcode, CL_INVALID_CONTEXT);
  for (; properties != nullptr && properties[0] != 0; properties += 2) {
    if (properties[0] != CL_MEM_ALLOC_FLAGS_INTEL || (properties[1] & ~kKnownFlags) != 0) {
      return refused(errcode, CL_INVALID_PROPERTY);
    }
  }
  if (alignment > 128 || (alignment & (alignment - 1)) != 0) {
    return refused(errcode, CL_INVALID_VALUE);
  }
  if (size == 0) return refused(errcode, CL_INVALID_BUFFER_SIZE);
  Bytes bytes = allocate(size);
  if (!bytes) return refused(errcode, CL_OUT_OF_RESOURCES);
  void* const address = bytes.get();
  const std::lock_guard lock(big_lock());
  context->usm.emplace(address, std::make_pair(std::move(bytes), size));
  if (errcode != nullptr) *errcode = CL_SUCCESS;
  return address;
}

bool covered(cl_context context, const void* address, std::size_t size) {
  const auto* const at = static_cast<const std::byte*>(address);
  const std::lock_guard lock(big_lock());
  for (const auto& [base, allocation] : context->usm) {
    const auto* const begin = static_cast<const std::byte*>(base);
    if (at >= begin && size <= allocation.second && at <= begin + (allocation.second - size)) {
      return true;
    }
  }
  return false;
}

}  // namespace

extern "C" {

void* CL_API_CALL clHostMemAllocINTEL(cl_context context, const cl_mem_properties_intel* properties,
                                      size_t size, cl_uint alignment, cl_int* errcode) {
  return allocate_for(context, properties, size, alignment, errcode);
}

void* CL_API_CALL clDeviceMemAllocINTEL(cl_context context, cl_device_id device,
                                        const cl_mem_properties_intel* properties, size_t size,
                                        cl_uint alignment, cl_int* errcode) {
  if (!valid(device)) return refused(errcode, CL_INVALID_DEVICE);
  return allocate_for(context, properties, size, alignment, errcode);
}

void* CL_API_CALL clSharedMemAllocINTEL(cl_context context, cl_device_id device,
                                        const cl_mem_properties_intel* properties, size_t size,
                                        cl_uint alignment, cl_int* errcode) {
  if (device != nullptr && !valid(device)) return refused(errcode, CL_INVALID_DEVICE);
  return allocate_for(context, properties, size, alignment, errcode);
}

cl_int CL_API_CALL clMemFreeINTEL(cl_context context, void* address) {
  if (!valid(context)) return CL_INVALID_CONTEXT;
  const std::lock_guard lock(big_lock());
  if (context->usm.erase(address) == 0) die("freed unified memory that is not alive", address);
  return CL_SUCCESS;
}

cl_int CL_API_CALL clSetKernelArgMemPointerINTEL(cl_kernel kernel, cl_uint index,
                                                 const void* address) {
  return clSetKernelArgSVMPointer(kernel, index, address);
}

cl_int CL_API_CALL clEnqueueMemcpyINTEL(cl_command_queue queue, cl_bool blocking, void* to,
                                        const void* from, size_t size, cl_uint count,
                                        const cl_event* list, cl_event* event) {
  if (!valid(queue)) return CL_INVALID_COMMAND_QUEUE;
  if (!covered(queue->context.get(), to, size) && !covered(queue->context.get(), from, size)) {
    die("copied between pointers of no allocation", to);
  }
  return submit({queue, CL_COMMAND_MEMCPY_INTEL, count, list, event, blocking == CL_TRUE},
                [to, from, size] {
                  std::memcpy(to, from, size);
                  return CL_COMPLETE;
                });
}

cl_int CL_API_CALL clEnqueueMemFillINTEL(cl_command_queue queue, void* to, const void* pattern,
                                         size_t pattern_size, size_t size, cl_uint count,
                                         const cl_event* list, cl_event* event) {
  if (!valid(queue)) return CL_INVALID_COMMAND_QUEUE;
  if (!covered(queue->context.get(), to, size)) die("filled memory of no allocation", to);
  const auto* const first = static_cast<const std::byte*>(pattern);
  return submit({queue, CL_COMMAND_MEMFILL_INTEL, count, list, event},
                [to, size, bytes = std::vector<std::byte>(first, first + pattern_size)] {
                  for (std::size_t at = 0; at < size; at += bytes.size()) {
                    std::memcpy(static_cast<std::byte*>(to) + at, bytes.data(), bytes.size());
                  }
                  return CL_COMPLETE;
                });
}

cl_int CL_API_CALL clGetKernelSuggestedLocalWorkSizeKHR(cl_command_queue queue, cl_kernel kernel,
                                                        cl_uint dimensions, const size_t*,
                                                        const size_t* global, size_t* sizes) {
  if (!valid(queue)) return CL_INVALID_COMMAND_QUEUE;
  if (!valid(kernel)) return CL_INVALID_KERNEL;
  for (const auto& slot : kernel->slots) {
    if (!slot.set) return CL_INVALID_KERNEL_ARGS;
  }
  for (cl_uint i = 0; i < dimensions; ++i) sizes[i] = global[i] % 8 == 0 ? 8 : 1;
  return CL_SUCCESS;
}

}  // extern "C"

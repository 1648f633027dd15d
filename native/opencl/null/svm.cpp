// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "opencl/null/engine.h"
#include "opencl/null/region.h"

using namespace tessera::null;

namespace {

// The allocation of `context` that holds all of [address, address + size); aborts if there is none.
Bytes covering(cl_context context, const void* address, std::size_t size) {
  const auto* const at = static_cast<const std::byte*>(address);
  const std::lock_guard lock(big_lock());
  for (const auto& [base, allocation] : context->svm) {
    const auto* const begin = static_cast<const std::byte*>(base);
    if (at >= begin && at < begin + allocation.second &&
        size <= static_cast<std::size_t>(begin + allocation.second - at)) {
      return allocation.first;
    }
  }
  die("used an SVM range that is not alive", address);
}

}  // namespace

extern "C" {

void* CL_API_CALL clSVMAlloc(cl_context context, cl_svm_mem_flags flags, size_t size,
                             cl_uint alignment) {
  constexpr cl_svm_mem_flags known =
      CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY | CL_MEM_SVM_FINE_GRAIN_BUFFER;
  if (!valid(context) || size == 0 || (flags & ~known) != 0) return nullptr;
  if (alignment > 128 || (alignment & (alignment - 1)) != 0) return nullptr;
  for (cl_device_id device : context->devices) {
    if (size > device->memory / 2) return nullptr;
  }
  Bytes bytes = allocate(size);
  if (!bytes) return nullptr;
  void* const address = bytes.get();
  const std::lock_guard lock(big_lock());
  context->svm.emplace(address, std::make_pair(std::move(bytes), size));
  return address;
}

void CL_API_CALL clSVMFree(cl_context context, void* address) {
  if (!valid(context) || address == nullptr) return;
  const std::lock_guard lock(big_lock());
  if (context->svm.erase(address) == 0) die("freed SVM memory that is not alive", address);
}

cl_int CL_API_CALL clEnqueueSVMFree(cl_command_queue queue, cl_uint count, void* pointers[],
                                    void(CL_CALLBACK* call)(cl_command_queue, cl_uint, void**,
                                                            void*),
                                    void* user_data, cl_uint waits, const cl_event* list,
                                    cl_event* event) {
  if (!valid(queue)) return CL_INVALID_COMMAND_QUEUE;
  if (count == 0 || pointers == nullptr) return CL_INVALID_VALUE;
  std::vector<void*> all(pointers, pointers + count);
  return submit({queue, CL_COMMAND_SVM_FREE, waits, list, event},
                [queue, all, call, user_data]() mutable {
                  if (call != nullptr) {
                    call(queue, static_cast<cl_uint>(all.size()), all.data(), user_data);
                  } else {
                    for (void* address : all) {
                      if (queue->context->svm.erase(address) == 0) {
                        die("freed SVM memory that is not alive", address);
                      }
                    }
                  }
                  return CL_COMPLETE;
                });
}

cl_int CL_API_CALL clEnqueueSVMMemcpy(cl_command_queue queue, cl_bool blocking, void* to,
                                      const void* from, size_t size, cl_uint count,
                                      const cl_event* list, cl_event* event) {
  if (!valid(queue)) return CL_INVALID_COMMAND_QUEUE;
  if (to == nullptr || from == nullptr) return CL_INVALID_VALUE;
  return submit({queue, CL_COMMAND_SVM_MEMCPY, count, list, event, blocking == CL_TRUE},
                [to, from, size] {
                  std::memcpy(to, from, size);
                  return CL_COMPLETE;
                });
}

cl_int CL_API_CALL clEnqueueSVMMemFill(cl_command_queue queue, void* to, const void* pattern,
                                       size_t pattern_size, size_t size, cl_uint count,
                                       const cl_event* list, cl_event* event) {
  if (!valid(queue)) return CL_INVALID_COMMAND_QUEUE;
  const bool power = pattern_size != 0 && (pattern_size & (pattern_size - 1)) == 0;
  if (to == nullptr || pattern == nullptr || !power || pattern_size > 128 ||
      size % pattern_size != 0) {
    return CL_INVALID_VALUE;
  }
  Bytes memory = covering(queue->context.get(), to, size);
  const auto* const first = static_cast<const std::byte*>(pattern);
  return submit({queue, CL_COMMAND_SVM_MEMFILL, count, list, event},
                [memory, to, size, bytes = std::vector<std::byte>(first, first + pattern_size)] {
                  for (std::size_t at = 0; at < size; at += bytes.size()) {
                    std::memcpy(static_cast<std::byte*>(to) + at, bytes.data(), bytes.size());
                  }
                  return CL_COMPLETE;
                });
}

cl_int CL_API_CALL clEnqueueSVMMap(cl_command_queue queue, cl_bool blocking, cl_map_flags,
                                   void* address, size_t size, cl_uint count, const cl_event* list,
                                   cl_event* event) {
  if (!valid(queue)) return CL_INVALID_COMMAND_QUEUE;
  if (address == nullptr || size == 0) return CL_INVALID_VALUE;
  Bytes memory = covering(queue->context.get(), address, size);
  return submit({queue, CL_COMMAND_SVM_MAP, count, list, event, blocking == CL_TRUE},
                [memory] { return CL_COMPLETE; });
}

cl_int CL_API_CALL clEnqueueSVMUnmap(cl_command_queue queue, void* address, cl_uint count,
                                     const cl_event* list, cl_event* event) {
  if (!valid(queue)) return CL_INVALID_COMMAND_QUEUE;
  if (address == nullptr) return CL_INVALID_VALUE;
  Bytes memory = covering(queue->context.get(), address, 1);
  return submit({queue, CL_COMMAND_SVM_UNMAP, count, list, event},
                [memory] { return CL_COMPLETE; });
}

cl_int CL_API_CALL clEnqueueSVMMigrateMem(cl_command_queue queue, cl_uint count,
                                          const void** pointers, const size_t* sizes,
                                          cl_mem_migration_flags, cl_uint waits,
                                          const cl_event* list, cl_event* event) {
  if (!valid(queue)) return CL_INVALID_COMMAND_QUEUE;
  if (count == 0 || pointers == nullptr) return CL_INVALID_VALUE;
  for (cl_uint i = 0; i < count; ++i) {
    covering(queue->context.get(), pointers[i], sizes == nullptr ? 1 : sizes[i]);
  }
  return submit({queue, CL_COMMAND_SVM_MIGRATE_MEM, waits, list, event},
                [] { return CL_COMPLETE; });
}

cl_sampler CL_API_CALL clCreateSamplerWithProperties(cl_context context,
                                                     const cl_sampler_properties* properties,
                                                     cl_int* errcode) {
  if (!valid(context)) return refuse(errcode, CL_INVALID_CONTEXT);
  auto sampler = std::make_unique<_cl_sampler>();
  sampler->context = Ref<_cl_context>(context);
  for (; properties != nullptr && properties[0] != 0; properties += 2) {
    const auto wanted = static_cast<cl_uint>(properties[1]);
    if (properties[0] == CL_SAMPLER_NORMALIZED_COORDS && wanted <= 1) {
      sampler->normalized = wanted;
    } else if (properties[0] == CL_SAMPLER_ADDRESSING_MODE && wanted >= CL_ADDRESS_NONE &&
               wanted <= CL_ADDRESS_MIRRORED_REPEAT) {
      sampler->addressing = wanted;
    } else if (properties[0] == CL_SAMPLER_FILTER_MODE && wanted >= CL_FILTER_NEAREST &&
               wanted <= CL_FILTER_LINEAR) {
      sampler->filter = wanted;
    } else {
      return refuse(errcode, CL_INVALID_VALUE);
    }
    sampler->properties.insert(sampler->properties.end(), properties, properties + 2);
  }
  if (properties != nullptr) sampler->properties.push_back(0);
  return grant(errcode, std::move(sampler));
}

cl_sampler CL_API_CALL clCreateSampler(cl_context context, cl_bool normalized,
                                       cl_addressing_mode addressing, cl_filter_mode filter,
                                       cl_int* errcode) {
  const cl_sampler_properties list[] = {CL_SAMPLER_NORMALIZED_COORDS,
                                        normalized,
                                        CL_SAMPLER_ADDRESSING_MODE,
                                        addressing,
                                        CL_SAMPLER_FILTER_MODE,
                                        filter,
                                        0};
  return clCreateSamplerWithProperties(context, list, errcode);
}

cl_int CL_API_CALL clRetainSampler(cl_sampler sampler) {
  return retain(sampler, CL_INVALID_SAMPLER);
}
cl_int CL_API_CALL clReleaseSampler(cl_sampler sampler) {
  return release(sampler, CL_INVALID_SAMPLER);
}

cl_int CL_API_CALL clGetSamplerInfo(cl_sampler sampler, cl_sampler_info what, size_t size,
                                    void* value, size_t* needed) {
  if (!valid(sampler)) return CL_INVALID_SAMPLER;
  const Query query{size, value, needed};
  switch (what) {
    case CL_SAMPLER_REFERENCE_COUNT:
      return query.one(sampler->api.load());
    case CL_SAMPLER_CONTEXT:
      return query.one(sampler->context.get());
    case CL_SAMPLER_NORMALIZED_COORDS:
      return query.one(sampler->normalized);
    case CL_SAMPLER_ADDRESSING_MODE:
      return query.one(sampler->addressing);
    case CL_SAMPLER_FILTER_MODE:
      return query.one(sampler->filter);
    case CL_SAMPLER_PROPERTIES:
      return query.list(sampler->properties);
    default:
      return CL_INVALID_VALUE;
  }
}

}  // extern "C"

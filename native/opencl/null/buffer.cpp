// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "opencl/null/engine.h"

using namespace tessera::null;

_cl_mem::~_cl_mem() {
  for (auto at = destructors.rbegin(); at != destructors.rend(); ++at) at->first(this, at->second);
}

namespace {

constexpr cl_mem_flags kKnown = CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY |
                                CL_MEM_USE_HOST_PTR | CL_MEM_ALLOC_HOST_PTR | CL_MEM_COPY_HOST_PTR |
                                CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_READ_ONLY |
                                CL_MEM_HOST_NO_ACCESS | CL_MEM_KERNEL_READ_AND_WRITE;

}  // namespace

extern "C" {

cl_mem CL_API_CALL clCreateBufferWithProperties(cl_context context,
                                                const cl_mem_properties* properties,
                                                cl_mem_flags flags, size_t size, void* host,
                                                cl_int* errcode) {
  if (!valid(context)) return refuse(errcode, CL_INVALID_CONTEXT);
  if (properties != nullptr && *properties != 0) return refuse(errcode, CL_INVALID_PROPERTY);
  if (flags & ~kKnown) return refuse(errcode, CL_INVALID_VALUE);
  if (size == 0) return refuse(errcode, CL_INVALID_BUFFER_SIZE);
  for (cl_device_id device : context->devices) {
    if (size > device->memory / 2) return refuse(errcode, CL_INVALID_BUFFER_SIZE);
  }
  const bool needs_host = (flags & (CL_MEM_USE_HOST_PTR | CL_MEM_COPY_HOST_PTR)) != 0;
  if (needs_host != (host != nullptr)) return refuse(errcode, CL_INVALID_HOST_PTR);
  auto mem = std::make_unique<_cl_mem>();
  mem->bytes = allocate(size);
  if (!mem->bytes) return refuse(errcode, CL_MEM_OBJECT_ALLOCATION_FAILURE);
  if (host != nullptr) std::memcpy(mem->bytes.get(), host, size);
  mem->context = Ref<_cl_context>(context);
  mem->flags = flags == 0 ? CL_MEM_READ_WRITE : flags;
  mem->size = size;
  mem->host = (flags & CL_MEM_USE_HOST_PTR) != 0 ? host : nullptr;
  if (properties != nullptr) mem->properties.push_back(0);
  return grant(errcode, std::move(mem));
}

cl_mem CL_API_CALL clCreateBuffer(cl_context context, cl_mem_flags flags, size_t size, void* host,
                                  cl_int* errcode) {
  return clCreateBufferWithProperties(context, nullptr, flags, size, host, errcode);
}

cl_mem CL_API_CALL clCreateSubBuffer(cl_mem parent, cl_mem_flags flags, cl_buffer_create_type type,
                                     const void* info, cl_int* errcode) {
  if (!valid(parent) || parent->parent || parent->type != CL_MEM_OBJECT_BUFFER) {
    return refuse(errcode, CL_INVALID_MEM_OBJECT);
  }
  if (type != CL_BUFFER_CREATE_TYPE_REGION || info == nullptr || (flags & ~kKnown)) {
    return refuse(errcode, CL_INVALID_VALUE);
  }
  const auto& region = *static_cast<const cl_buffer_region*>(info);
  if (region.size == 0) return refuse(errcode, CL_INVALID_BUFFER_SIZE);
  if (region.origin > parent->size || region.size > parent->size - region.origin) {
    return refuse(errcode, CL_INVALID_VALUE);
  }
  if (region.origin % 128 != 0) return refuse(errcode, CL_MISALIGNED_SUB_BUFFER_OFFSET);
  auto mem = std::make_unique<_cl_mem>();
  mem->context = parent->context;
  mem->parent = Ref<_cl_mem>(parent);
  mem->bytes = parent->bytes;
  mem->flags = flags == 0 ? parent->flags : flags;
  mem->size = region.size;
  mem->origin = region.origin;
  return grant(errcode, std::move(mem));
}

cl_mem CL_API_CALL clCreatePipe(cl_context context, cl_mem_flags, cl_uint, cl_uint,
                                const cl_pipe_properties*, cl_int* errcode) {
  return refuse(errcode, valid(context) ? CL_INVALID_OPERATION : CL_INVALID_CONTEXT);
}

cl_int CL_API_CALL clGetPipeInfo(cl_mem mem, cl_pipe_info, size_t, void*, size_t*) {
  static_cast<void>(valid(mem));
  return CL_INVALID_MEM_OBJECT;
}

cl_int CL_API_CALL clRetainMemObject(cl_mem mem) {
  return retain(mem, CL_INVALID_MEM_OBJECT);
}
cl_int CL_API_CALL clReleaseMemObject(cl_mem mem) {
  return release(mem, CL_INVALID_MEM_OBJECT);
}

cl_int CL_API_CALL clSetMemObjectDestructorCallback(cl_mem mem,
                                                    void(CL_CALLBACK* call)(cl_mem, void*),
                                                    void* user_data) {
  if (!valid(mem)) return CL_INVALID_MEM_OBJECT;
  if (call == nullptr) return CL_INVALID_VALUE;
  const std::lock_guard lock(big_lock());
  mem->destructors.emplace_back(call, user_data);
  return CL_SUCCESS;
}

cl_int CL_API_CALL clGetMemObjectInfo(cl_mem mem, cl_mem_info what, size_t size, void* value,
                                      size_t* needed) {
  if (!valid(mem)) return CL_INVALID_MEM_OBJECT;
  const Query query{size, value, needed};
  switch (what) {
    case CL_MEM_TYPE:
      return query.one(mem->type);
    case CL_MEM_FLAGS:
      return query.one(mem->flags);
    case CL_MEM_SIZE:
      return query.one(mem->size);
    case CL_MEM_HOST_PTR:
      return query.one(mem->host);
    case CL_MEM_MAP_COUNT:
      return query.one(mem->maps.load());
    case CL_MEM_REFERENCE_COUNT:
      return query.one(mem->api.load());
    case CL_MEM_CONTEXT:
      return query.one(mem->context.get());
    case CL_MEM_ASSOCIATED_MEMOBJECT:
      return query.one(mem->parent.get());
    case CL_MEM_OFFSET:
      return query.one(mem->origin);
    case CL_MEM_USES_SVM_POINTER:
      return query.one(cl_bool{CL_FALSE});
    case CL_MEM_PROPERTIES:
      return query.list(mem->properties);
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int CL_API_CALL clEnqueueMigrateMemObjects(cl_command_queue queue, cl_uint count,
                                              const cl_mem* mems, cl_mem_migration_flags flags,
                                              cl_uint waits, const cl_event* list,
                                              cl_event* event) {
  if (count == 0 || mems == nullptr) return CL_INVALID_VALUE;
  if (flags & ~(CL_MIGRATE_MEM_OBJECT_HOST | CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED)) {
    return CL_INVALID_VALUE;
  }
  for (cl_uint i = 0; i < count; ++i) {
    if (!valid(mems[i])) return CL_INVALID_MEM_OBJECT;
  }
  return submit({queue, CL_COMMAND_MIGRATE_MEM_OBJECTS, waits, list, event},
                [] { return CL_COMPLETE; });
}

}  // extern "C"

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "generated/client_entries.h"
#include "generated/messages_svm.h"
#include "opencl/client/allocation.h"
#include "opencl/client/info.h"
#include "opencl/client/queue.h"
#include "opencl/client/usm.h"

namespace tessera::client {
namespace {

std::uintptr_t address(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

// What the three functions were asked for.
struct Request {
  AllocationKind kind;
  Device* device;  // null: of no device
  const cl_mem_properties_intel* properties;
  std::size_t size;
  cl_uint alignment;
};

cl_mem_alloc_flags_intel read_flags(AllocationKind kind, const cl_mem_properties_intel* given) {
  std::optional<cl_mem_alloc_flags_intel> flags;
  for (; given != nullptr && *given != 0; given += 2) {
    ensure(given[0] == CL_MEM_ALLOC_FLAGS_INTEL && !flags, CL_INVALID_PROPERTY);
    ensure(takes_usm_flags(kind, given[1]), CL_INVALID_PROPERTY);
    flags = given[1];
  }
  return flags.value_or(0);
}

// The devices that an allocation is asked of.
std::span<Device* const> asked(const Context& context, const Request& request) {
  const auto& all = context.devices();
  if (request.device == nullptr) return all;
  return std::span(all).subspan(std::ranges::find(all, request.device) - all.begin(), 1);
}

Device* device_of(const Context& context, cl_device_id handle) {
  Device& device = require<Device>(handle);
  ensure(context.has_device(device), CL_INVALID_DEVICE);
  return &device;
}

void* allocate_usm(Context& context, const Request& request) {
  ensure_success(context.poison());
  const auto devices = asked(context, request);
  const auto serves = [&](const Device* each) { return has_usm(*each, request.kind); };
  ensure(std::ranges::any_of(devices, serves), CL_INVALID_OPERATION);
  ensure(takes_usm_alignment(request.alignment), CL_INVALID_VALUE);
  const cl_mem_alloc_flags_intel flags = read_flags(request.kind, request.properties);
  const auto fits = [&](const Device* each) {
    return !serves(each) || request.size <= each->max_alloc();
  };
  ensure(request.size != 0 && std::ranges::all_of(devices, fits), CL_INVALID_BUFFER_SIZE);

  std::array<std::uint32_t, 1> number{};
  wire::UsmAlloc message;
  message.context = context.id();
  message.kind = static_cast<std::uint32_t>(request.kind);
  if (request.device != nullptr) {
    number[0] = request.device->index();
    message.device = number;
  }
  message.flags = flags;
  message.size = request.size;
  message.alignment = request.alignment;
  const bool on_one = request.kind == AllocationKind::device;
  const std::array gpu{on_one ? &request.device->gpu() : nullptr};
  const WantedAllocation wanted{
      .kind = request.kind,
      .size = request.size,
      .device = request.device,
      .flags = flags,
      .charged = on_one ? std::span<Device* const>(gpu) : std::span<Device* const>(context.gpus())};
  return allocate(context, wanted, [&] { return context.session().call(message); });
}

// Where `pointer` is what an allocation function returned for the context.
void ensure_base(const Context& context, const void* pointer) {
  const auto facts = context.session().svm().facts(address(pointer));
  ensure(facts && is_unified(facts->kind) && facts->context == context.id() &&
             facts->base == address(pointer),
         CL_INVALID_VALUE);
}

void free_usm(Context& context, const void* pointer) {
  Session& session = context.session();
  ensure(session.svm().remove(context.id(), address(pointer)), CL_INVALID_VALUE);
  post_free(session, context.id(), address(pointer));
}

// Any command may use the memory, by an address that it finds in other memory.
void finish_all(Context& context) {
  for (const Ref<Queue>& queue : context.session().queues_of(context)) finish(*queue);
}

// Empty where the pointer points into no allocation of unified memory of the context.
AllocationFacts facts_of(const Context& context, const void* pointer) {
  const auto facts = context.session().svm().facts(address(pointer));
  const bool known = facts && is_unified(facts->kind) && facts->context == context.id();
  return known ? *facts : AllocationFacts();
}

cl_unified_shared_memory_type_intel type_of(AllocationKind kind) {
  switch (kind) {
    case AllocationKind::host:
      return CL_MEM_TYPE_HOST_INTEL;
    case AllocationKind::device:
      return CL_MEM_TYPE_DEVICE_INTEL;
    case AllocationKind::shared:
      return CL_MEM_TYPE_SHARED_INTEL;
    case AllocationKind::svm:
      break;
  }
  return CL_MEM_TYPE_UNKNOWN_INTEL;
}

}  // namespace

namespace entry {

void* CL_API_CALL clHostMemAllocINTEL(cl_context context, const cl_mem_properties_intel* properties,
                                      size_t size, cl_uint alignment, cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    Context& object = require<Context>(context);
    return allocate_usm(object, {AllocationKind::host, nullptr, properties, size, alignment});
  });
}

void* CL_API_CALL clDeviceMemAllocINTEL(cl_context context, cl_device_id device,
                                        const cl_mem_properties_intel* properties, size_t size,
                                        cl_uint alignment, cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    Context& object = require<Context>(context);
    Device* const on = device_of(object, device);
    return allocate_usm(object, {AllocationKind::device, on, properties, size, alignment});
  });
}

void* CL_API_CALL clSharedMemAllocINTEL(cl_context context, cl_device_id device,
                                        const cl_mem_properties_intel* properties, size_t size,
                                        cl_uint alignment, cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    Context& object = require<Context>(context);
    Device* const on = device == nullptr ? nullptr : device_of(object, device);
    return allocate_usm(object, {AllocationKind::shared, on, properties, size, alignment});
  });
}

cl_int CL_API_CALL clMemFreeINTEL(cl_context context, void* ptr) {
  return guarded([&] {
    Context& object = require<Context>(context);
    if (ptr == nullptr) return;
    ensure_base(object, ptr);
    free_usm(object, ptr);
  });
}

cl_int CL_API_CALL clMemBlockingFreeINTEL(cl_context context, void* ptr) {
  return guarded([&] {
    Context& object = require<Context>(context);
    if (ptr == nullptr) return;
    ensure_base(object, ptr);
    finish_all(object);
    free_usm(object, ptr);
  });
}

cl_int CL_API_CALL clGetMemAllocInfoINTEL(cl_context context, const void* ptr,
                                          cl_mem_info_intel param_name, size_t param_value_size,
                                          void* param_value, size_t* param_value_size_ret) {
  return guarded([&] {
    const AllocationFacts facts = facts_of(require<Context>(context), ptr);
    const Info info(param_value_size, param_value, param_value_size_ret);
    switch (param_name) {
      case CL_MEM_ALLOC_TYPE_INTEL:
        return info.value(type_of(facts.kind));
      case CL_MEM_ALLOC_BASE_PTR_INTEL:
        return info.value(reinterpret_cast<void*>(facts.base));
      case CL_MEM_ALLOC_SIZE_INTEL:
        return info.value(facts.size);
      case CL_MEM_ALLOC_DEVICE_INTEL:
        return info.value(facts.device != nullptr ? facts.device->handle() : nullptr);
      case CL_MEM_ALLOC_FLAGS_INTEL:
        return info.value(facts.flags);
      default:
        throw ApiError(CL_INVALID_VALUE);
    }
  });
}

}  // namespace entry
}  // namespace tessera::client

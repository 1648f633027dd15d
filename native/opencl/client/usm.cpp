// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/usm.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "generated/client_entries.h"
#include "generated/messages_kernel.h"
#include "opencl/client/extensions.h"
#include "opencl/client/session.h"

namespace tessera::client {
namespace {

constexpr const char* kExtension = "cl_intel_unified_shared_memory";

bool announces(const Device& device, cl_device_info query) {
  return device.has_usm() &&
         device.fact_or<cl_device_unified_shared_memory_capabilities_intel>(query, 0) != 0;
}

// Since this version of the extension every pointer is a value that may be set.
bool takes_any_pointer(const Device& device) {
  const auto* versions = device.fact(CL_DEVICE_EXTENSIONS_WITH_VERSION);
  if (versions == nullptr) return false;
  const std::vector<cl_name_version> all = named_versions(*versions);
  return std::any_of(all.begin(), all.end(), [](const cl_name_version& each) {
    return std::strcmp(each.name, kExtension) == 0 && each.version >= CL_MAKE_VERSION(1, 1, 0);
  });
}

template <class Test>
bool some_device(const Context& context, const Test& test) {
  return std::any_of(context.devices().begin(), context.devices().end(),
                     [&](const Device* device) { return test(*device); });
}

void post(Kernel& kernel, cl_kernel_exec_info param, const std::vector<std::uint64_t>& values) {
  wire::SetKernelExecInfo message;
  message.kernel = kernel.id();
  message.param = param;
  message.values = values;
  kernel.session().post(message);
}

void set_pointers(Kernel& kernel, std::size_t size, const void* value) {
  ensure(some_device_has_usm(kernel.context()), CL_INVALID_OPERATION);
  ensure(size != 0 && size % sizeof(void*) == 0 && value != nullptr, CL_INVALID_VALUE);
  std::vector<std::uint64_t> addresses(size / sizeof(void*));
  std::memcpy(addresses.data(), value, size);
  for (const std::uint64_t address : addresses) {
    ensure(is_usm_pointer(kernel.context(), reinterpret_cast<const void*>(address)),
           CL_INVALID_VALUE);
  }
  post(kernel, CL_KERNEL_EXEC_INFO_USM_PTRS_INTEL, addresses);
}

void allow_indirect(Kernel& kernel, cl_kernel_exec_info param, AllocationKind kind,
                    std::size_t size, const void* value) {
  ensure(some_device(kernel.context(), [&](const Device& device) { return has_usm(device, kind); }),
         CL_INVALID_OPERATION);
  ensure(size == sizeof(cl_bool) && value != nullptr, CL_INVALID_VALUE);
  cl_bool allowed = CL_FALSE;
  std::memcpy(&allowed, value, sizeof allowed);
  if (kernel.is_news(param, allowed != CL_FALSE)) post(kernel, param, {allowed != CL_FALSE});
}

}  // namespace

bool some_device_has_usm(const Context& context) {
  return some_device(context, [](const Device& device) { return device.has_usm(); });
}

bool has_usm(const Device& device, AllocationKind kind) {
  switch (kind) {
    case AllocationKind::host:
      return announces(device, CL_DEVICE_HOST_MEM_CAPABILITIES_INTEL);
    case AllocationKind::device:
      return announces(device, CL_DEVICE_DEVICE_MEM_CAPABILITIES_INTEL);
    case AllocationKind::shared:
      return announces(device, CL_DEVICE_SINGLE_DEVICE_SHARED_MEM_CAPABILITIES_INTEL) ||
             announces(device, CL_DEVICE_CROSS_DEVICE_SHARED_MEM_CAPABILITIES_INTEL);
    case AllocationKind::svm:
      break;
  }
  return false;
}

bool is_usm_pointer(const Context& context, const void* pointer) {
  if (pointer == nullptr) return true;
  const auto facts = context.session().svm().facts(reinterpret_cast<std::uintptr_t>(pointer));
  if (facts && facts->context == context.id()) return true;
  return !some_device(context, [](const Device& device) { return !takes_any_pointer(device); });
}

bool is_usm_exec_info(cl_kernel_exec_info param) {
  return param >= CL_KERNEL_EXEC_INFO_INDIRECT_HOST_ACCESS_INTEL &&
         param <= CL_KERNEL_EXEC_INFO_USM_PTRS_INTEL;
}

void set_usm_exec_info(Kernel& kernel, cl_kernel_exec_info param, std::size_t size,
                       const void* value) {
  switch (param) {
    case CL_KERNEL_EXEC_INFO_INDIRECT_HOST_ACCESS_INTEL:
      return allow_indirect(kernel, param, AllocationKind::host, size, value);
    case CL_KERNEL_EXEC_INFO_INDIRECT_DEVICE_ACCESS_INTEL:
      return allow_indirect(kernel, param, AllocationKind::device, size, value);
    case CL_KERNEL_EXEC_INFO_INDIRECT_SHARED_ACCESS_INTEL:
      return allow_indirect(kernel, param, AllocationKind::shared, size, value);
    default:
      return set_pointers(kernel, size, value);
  }
}

namespace entry {

cl_int CL_API_CALL clSetKernelArgMemPointerINTEL(cl_kernel kernel, cl_uint arg_index,
                                                 const void* arg_value) {
  return guarded([&] {
    Kernel& object = require<Kernel>(kernel);
    ensure(some_device_has_usm(object.context()), CL_INVALID_OPERATION);
    object.set_pointer(arg_index, arg_value);
  });
}

}  // namespace entry
}  // namespace tessera::client

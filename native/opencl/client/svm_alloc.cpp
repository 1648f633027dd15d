// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>

#include "generated/client_entries.h"
#include "generated/messages_svm.h"
#include "opencl/client/allocation.h"
#include "opencl/client/mem.h"
#include "opencl/client/session.h"
#include "opencl/client/svm.h"

namespace tessera::client {
namespace {

std::uintptr_t address(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

cl_device_svm_capabilities capabilities(const Device& device) {
  return device.fact_or<cl_device_svm_capabilities>(CL_DEVICE_SVM_CAPABILITIES, 0);
}

void ensure_capable(const Context& context, cl_svm_mem_flags flags) {
  cl_device_svm_capabilities wanted = CL_DEVICE_SVM_COARSE_GRAIN_BUFFER;
  if ((flags & CL_MEM_SVM_FINE_GRAIN_BUFFER) != 0) wanted |= CL_DEVICE_SVM_FINE_GRAIN_BUFFER;
  if ((flags & CL_MEM_SVM_ATOMICS) != 0) wanted |= CL_DEVICE_SVM_ATOMICS;
  for (const Device* device : context.devices()) {
    ensure((capabilities(*device) & wanted) == wanted, CL_INVALID_OPERATION);
  }
}

void check_request(const Context& context, cl_svm_mem_flags flags, size_t size,
                   unsigned alignment) {
  ensure_mem_flags(flags, CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY |
                              CL_MEM_SVM_FINE_GRAIN_BUFFER | CL_MEM_SVM_ATOMICS);
  const bool fine = (flags & CL_MEM_SVM_FINE_GRAIN_BUFFER) != 0;
  ensure(fine || (flags & CL_MEM_SVM_ATOMICS) == 0, CL_INVALID_VALUE);
  ensure_capable(context, flags);
  ensure(size != 0 && size <= context.max_alloc(), CL_INVALID_VALUE);
  ensure(alignment == 0 || std::has_single_bit(alignment), CL_INVALID_VALUE);
  for (const Device* device : context.devices()) {
    ensure(alignment <= device->address_align_bits() / 8, CL_INVALID_VALUE);
  }
}

void* allocate_svm(Context& context, cl_svm_mem_flags flags, size_t size, unsigned alignment) {
  check_request(context, flags, size, alignment);
  wire::SvmAlloc message;
  message.context = context.id();
  message.flags = flags;
  message.size = size;
  message.alignment = alignment;
  const WantedAllocation wanted{.size = size, .charged = context.gpus()};
  return allocate(context, wanted, [&] { return context.session().call(message); });
}

}  // namespace

bool some_device_has_svm(const Context& context) {
  const auto& devices = context.devices();
  return std::any_of(devices.begin(), devices.end(),
                     [](const Device* device) { return capabilities(*device) != 0; });
}

bool is_svm(const Context& context, const void* pointer, std::size_t size) {
  return context.session().svm().contains(context.id(), address(pointer), size);
}

namespace entry {

void* CL_API_CALL clSVMAlloc(cl_context context, cl_svm_mem_flags flags, size_t size,
                             unsigned int alignment) {
  return guarded_create(
      nullptr, [&] { return allocate_svm(require<Context>(context), flags, size, alignment); });
}

void CL_API_CALL clSVMFree(cl_context context, void* svm_pointer) {
  guarded([&] {
    Context& owner = require<Context>(context);
    const std::uintptr_t base = address(svm_pointer);
    const auto facts = owner.session().svm().facts(base);
    if (!facts || facts->kind != AllocationKind::svm) return;
    if (owner.session().svm().remove(owner.id(), base)) {
      post_free(owner.session(), owner.id(), base);
    }
  });
}

}  // namespace entry
}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
//
// Setting arguments: what the build told about an argument decides what may be set and which error
// a wrong value has. Arguments that it told nothing about are taken as what their bytes look like,
// and the worker, which alone can ask the driver, answers for each value.
#include <algorithm>
#include <cstring>

#include "generated/client_entries.h"
#include "generated/messages_kernel.h"
#include "opencl/client/image.h"
#include "opencl/client/kernel.h"
#include "opencl/client/session.h"
#include "opencl/client/svm.h"
#include "opencl/client/usm.h"

namespace tessera::client {
namespace {

template <class Handle>
Handle handle_in(const void* value) {
  Handle handle;
  std::memcpy(&handle, value, sizeof handle);
  return handle;
}

std::size_t max_parameter_size(const Program& program) {
  return program.devices()[0]->fact_or<std::size_t>(CL_DEVICE_MAX_PARAMETER_SIZE, 1024);
}

// `mem` may be nullptr: a kernel takes NULL for a buffer.
KernelArgument argument_of(const Mem* mem) {
  KernelArgument argument;
  argument.what = KernelArgument::What::object;
  if (mem == nullptr) return argument;
  argument.number = mem->id();
  if (mem->is_buffer()) argument.sub_buffer_at = mem->offset();
  if (mem->is_image()) argument.image = shape_of(*mem);
  return argument;
}

void ensure_access(const ArgFacts& facts, const Mem& image) {
  const cl_mem_flags flags = image.flags();
  const bool writes = facts.access == CL_KERNEL_ARG_ACCESS_WRITE_ONLY ||
                      facts.access == CL_KERNEL_ARG_ACCESS_READ_WRITE;
  const bool reads = facts.access == CL_KERNEL_ARG_ACCESS_READ_ONLY ||
                     facts.access == CL_KERNEL_ARG_ACCESS_READ_WRITE;
  ensure(!(writes && (flags & CL_MEM_READ_ONLY) != 0), CL_INVALID_ARG_VALUE);
  ensure(!(reads && (flags & CL_MEM_WRITE_ONLY) != 0), CL_INVALID_ARG_VALUE);
}

}  // namespace

void Kernel::change(cl_uint index, KernelArgument argument) {
  const std::lock_guard lock(mutex_);
  KernelArgument& place = arguments_[index];
  if (place.holds(argument)) return;
  argument.changed = place.changed;
  place = std::move(argument);
  mark_changed(place);
}

const ArgFacts& Kernel::arg_facts(cl_uint index) const {
  ensure(index < facts_->args.size(), CL_INVALID_ARG_INDEX);
  return facts_->args[index];
}

void Kernel::set(cl_uint index, std::size_t size, const void* value) {
  const ArgFacts& facts = arg_facts(index);
  switch (facts.kind) {
    case ArgKind::value:
      return set_value(index, facts, size, value);
    case ArgKind::local:
      return set_local(index, size, value);
    case ArgKind::buffer:
    case ArgKind::image:
      return set_mem(index, facts, size, value);
    case ArgKind::sampler:
      return set_sampler(index, size, value);
    case ArgKind::unknown:
      return set_unknown(index, size, value);
  }
  throw ApiError(CL_INVALID_ARG_VALUE);
}

void Kernel::set_value(cl_uint index, const ArgFacts& facts, std::size_t size, const void* value) {
  ensure(facts.takes(size, max_parameter_size(*program_)), CL_INVALID_ARG_SIZE);
  ensure(value != nullptr, CL_INVALID_ARG_VALUE);
  const auto* bytes = static_cast<const std::byte*>(value);
  const std::lock_guard lock(mutex_);
  KernelArgument& place = arguments_[index];
  const bool same = place.what == KernelArgument::What::value &&
                    std::equal(bytes, bytes + size, place.value.begin(), place.value.end());
  if (same) return;
  if (place.what != KernelArgument::What::value) {
    place = {.what = KernelArgument::What::value, .changed = place.changed};
  }
  place.value.assign(bytes, bytes + size);
  mark_changed(place);
  if (size > KernelArgument::kMostBytesTogether) send(index);
}

void Kernel::set_local(cl_uint index, std::size_t size, const void* value) {
  ensure(size != 0, CL_INVALID_ARG_SIZE);
  ensure(value == nullptr, CL_INVALID_ARG_VALUE);
  KernelArgument argument;
  argument.what = KernelArgument::What::local;
  argument.number = size;
  change(index, std::move(argument));
}

void Kernel::set_mem(cl_uint index, const ArgFacts& facts, std::size_t size, const void* value) {
  ensure(size == sizeof(cl_mem), CL_INVALID_ARG_SIZE);
  const bool takes_null = facts.kind == ArgKind::buffer;
  ensure(value != nullptr || takes_null, CL_INVALID_ARG_VALUE);
  const cl_mem handle = value == nullptr ? nullptr : handle_in<cl_mem>(value);
  if (handle == nullptr && takes_null) return change(index, argument_of(nullptr));
  const Mem& mem = require<Mem>(handle);
  ensure(&mem.context() == &context(), CL_INVALID_MEM_OBJECT);
  ensure(mem.is_image() == (facts.kind == ArgKind::image), CL_INVALID_ARG_VALUE);
  if (mem.is_image()) ensure_access(facts, mem);
  change(index, argument_of(&mem));
}

void Kernel::set_sampler(cl_uint index, std::size_t size, const void* value) {
  ensure(size == sizeof(cl_sampler), CL_INVALID_ARG_SIZE);
  ensure(value != nullptr, CL_INVALID_SAMPLER);
  Sampler& sampler = require<Sampler>(handle_in<cl_sampler>(value));
  ensure(&sampler.context() == &context(), CL_INVALID_SAMPLER);
  KernelArgument argument;
  argument.what = KernelArgument::What::object;
  argument.number = sampler.id();
  change(index, std::move(argument));
}

void Kernel::set_unknown(cl_uint index, std::size_t size, const void* value) {
  ensure(size != 0, CL_INVALID_ARG_SIZE);
  if (value == nullptr) return set_local(index, size, value);
  if (size == sizeof(void*)) {
    const Object* object = session().known(handle_in<void*>(value));
    const Kind kind = object == nullptr ? Kind::dead : object->kind();
    if (kind == Kind::mem) return change(index, argument_of(static_cast<const Mem*>(object)));
    if (kind == Kind::sampler) return set_sampler(index, size, value);
  }
  ensure(size <= max_parameter_size(*program_), CL_INVALID_ARG_SIZE);
  wire::SetKernelArgValue message;
  message.kernel = id();
  message.index = index;
  message.confirm = 1;
  message.value = {static_cast<const std::byte*>(value), size};
  const std::lock_guard lock(mutex_);
  ensure_success(session().call(message).status);
  mark_sent(arguments_[index]);
  arguments_[index] = {.what = KernelArgument::What::value};
}

void Kernel::set_svm(cl_uint index, const void* address) {
  const ArgFacts& facts = arg_facts(index);
  ensure(facts.kind == ArgKind::buffer || facts.kind == ArgKind::unknown, CL_INVALID_ARG_VALUE);
  ensure(address == nullptr || is_svm(context(), address, 1), CL_INVALID_ARG_VALUE);
  KernelArgument argument;
  argument.what = KernelArgument::What::svm;
  argument.number = reinterpret_cast<std::uintptr_t>(address);
  change(index, std::move(argument));
}

void Kernel::set_pointer(cl_uint index, const void* address) {
  const ArgFacts& facts = arg_facts(index);
  ensure(facts.kind == ArgKind::buffer || facts.kind == ArgKind::unknown, CL_INVALID_ARG_VALUE);
  ensure(is_usm_pointer(context(), address), CL_INVALID_ARG_VALUE);
  KernelArgument argument;
  argument.what = KernelArgument::What::pointer;
  argument.number = reinterpret_cast<std::uintptr_t>(address);
  change(index, std::move(argument));
}

namespace entry {

cl_int CL_API_CALL clSetKernelArg(cl_kernel kernel, cl_uint arg_index, size_t arg_size,
                                  const void* arg_value) {
  return guarded([&] { require<Kernel>(kernel).set(arg_index, arg_size, arg_value); });
}

cl_int CL_API_CALL clSetKernelArgSVMPointer(cl_kernel kernel, cl_uint arg_index,
                                            const void* arg_value) {
  return guarded([&] {
    Kernel& object = require<Kernel>(kernel);
    ensure(some_device_has_svm(object.context()), CL_INVALID_OPERATION);
    object.set_svm(arg_index, arg_value);
  });
}

}  // namespace entry
}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
//
// Arguments of kernels. Each is judged by the facts that the build found (kernel_facts.h) before
// the driver hears of it. An honest client has judged it by the same facts and never sees an error
// here; another one gets deferred errors, and the argument stays as it was.
//
// What changed since the last launch comes with the next one, so what an argument names may have
// been released before. Then the argument is unset, and the launch fails as one whose argument was
// released right after it was set: a kernel keeps nothing alive.
#include <algorithm>

#include "opencl/worker/kernel_facts.h"
#include "opencl/worker/session.h"
#include "opencl/worker/svm_range.h"

namespace tessera::worker {
namespace {

using Argument = KernelEntry::Argument;

// Of the argument, or an empty one for an index that the kernel does not have.
const ArgFacts& arg_facts(const KernelEntry& kernel, std::uint32_t index, cl_int* status) {
  static const ArgFacts none;
  *status = kernel.poison;
  if (*status != CL_SUCCESS) return none;
  if (index >= kernel.facts->args.size()) {
    *status = CL_INVALID_ARG_INDEX;
    return none;
  }
  return kernel.facts->args[index];
}

std::uint64_t max_parameter_size(cl_device_id device) {
  std::size_t size = 0;
  clGetDeviceInfo(device, CL_DEVICE_MAX_PARAMETER_SIZE, sizeof size, &size, nullptr);
  return size;
}

cl_int give_value(const KernelEntry& kernel, const NewArgument& to, const ArgFacts& arg,
                  cl_device_id device) {
  const cl_int status = check_value(arg, to.value.size(), max_parameter_size(device));
  if (status != CL_SUCCESS) return status;
  return clSetKernelArg(kernel.handle, to.index, to.value.size(), to.value.data());
}

cl_int give_object(const KernelEntry& kernel, std::uint32_t index, const ArgFacts& arg,
                   const Entry* object) {
  if (object == nullptr) {
    if (arg.kind != ArgKind::buffer) return CL_INVALID_ARG_VALUE;
    return clSetKernelArg(kernel.handle, index, sizeof(cl_mem), nullptr);
  }
  if (object->kind == Kind::sampler) {
    const auto& sampler = static_cast<const SamplerEntry&>(*object);
    if (arg.kind != ArgKind::sampler && arg.kind != ArgKind::unknown) return CL_INVALID_ARG_VALUE;
    if (sampler.context != kernel.context) return CL_INVALID_CONTEXT;
    return clSetKernelArg(kernel.handle, index, sizeof(cl_sampler), &sampler.handle);
  }
  const auto& mem = static_cast<const MemEntry&>(*object);
  const ArgKind wanted = mem.shape.image() ? ArgKind::image : ArgKind::buffer;
  if (arg.kind != wanted && arg.kind != ArgKind::unknown) return CL_INVALID_ARG_VALUE;
  if (mem.context != kernel.context) return CL_INVALID_CONTEXT;
  return clSetKernelArg(kernel.handle, index, sizeof(cl_mem), &mem.handle);
}

cl_int give_local(const KernelEntry& kernel, const NewArgument& to, const ArgFacts& arg) {
  if (arg.kind != ArgKind::local && arg.kind != ArgKind::unknown) return CL_INVALID_ARG_VALUE;
  // More than every device has can never run; what the sum is, the enqueue knows (some drivers
  // abort the process there).
  const auto fits = [&](const WorkGroupFacts& each) { return to.number <= each.device_local; };
  if (to.number == 0 || std::ranges::none_of(kernel.facts->work_group, fits)) {
    return CL_INVALID_ARG_SIZE;
  }
  return clSetKernelArg(kernel.handle, to.index, to.number, nullptr);
}

}  // namespace

cl_int Session::set_argument(KernelEntry& kernel, const NewArgument& to) {
  std::shared_ptr<Entry> object;
  if (to.kind == ArgumentKind::object && to.number != 0) {
    object = to.may_be_gone ? objects_.find_any(to.number) : objects_.any(to.number);
    if (object != nullptr && object->kind != Kind::mem && object->kind != Kind::sampler) {
      throw ProtocolError(std::string("a ") + kind_name(object->kind) + " as a kernel's argument");
    }
  }
  cl_int status = CL_SUCCESS;
  const ArgFacts& arg = arg_facts(kernel, to.index, &status);
  if (status != CL_SUCCESS) return status;
  Argument argument;
  switch (to.kind) {
    case ArgumentKind::value:
      status = give_value(kernel, to, arg, devices_.front().id);
      argument.what = Argument::What::value;
      if (status == CL_SUCCESS) argument.value = Record(0, to.value);
      break;
    case ArgumentKind::object:
      // Of a poisoned one the client has heard.
      if (to.number != 0 && (object == nullptr || object->poison != CL_SUCCESS)) {
        keep_argument(kernel, to.index, {});
        return CL_SUCCESS;
      }
      status = give_object(kernel, to.index, arg, object.get());
      argument = {.what = Argument::What::object, .number = to.number, .lives = object};
      break;
    case ArgumentKind::local:
      status = give_local(kernel, to, arg);
      argument = {.what = Argument::What::local, .number = to.number};
      break;
    case ArgumentKind::svm:
      return set_svm_argument(kernel, to, arg);
    case ArgumentKind::pointer:
      return set_pointer_argument(kernel, to, arg);
  }
  if (status == CL_SUCCESS) keep_argument(kernel, to.index, std::move(argument));
  return status;
}

cl_int Session::set_svm_argument(KernelEntry& kernel, const NewArgument& to, const ArgFacts& arg) {
  if (arg.kind != ArgKind::buffer) return CL_INVALID_ARG_VALUE;
  cl_int status = CL_SUCCESS;
  // No block is no object either: NULL, whichever way it was set.
  Argument argument{.what = Argument::What::object};
  if (to.number == 0) {
    status = give_object(kernel, to.index, arg, nullptr);
  } else {
    const SvmRange range = find_svm(*kernel.context, to.number, 1);
    if (range.place == nullptr && !to.may_be_gone) return CL_INVALID_ARG_VALUE;
    argument.what = range.place != nullptr ? Argument::What::svm : Argument::What::unset;
    argument.lives = range.memory;
    if (range.place != nullptr) {
      status = clSetKernelArgSVMPointer(kernel.handle, to.index, range.place);
    }
  }
  if (status == CL_SUCCESS) keep_argument(kernel, to.index, std::move(argument));
  return status;
}

// By the extension any address may be set: a kernel need not follow what it is given, and one that
// wants to follow an address of its own choice has other ways. So it is passed on like a number,
// and needs no allocation that lives.
cl_int Session::set_pointer_argument(KernelEntry& kernel, const NewArgument& to,
                                     const ArgFacts& arg) {
  if (arg.kind != ArgKind::buffer && arg.kind != ArgKind::unknown) return CL_INVALID_ARG_VALUE;
  if (to.number == 0 && arg.kind == ArgKind::buffer) return set_svm_argument(kernel, to, arg);
  const UsmDriver& driver = kernel.context->usm;
  if (!driver) return CL_INVALID_OPERATION;
  const cl_int status =
      driver.set_argument(kernel.handle, to.index, reinterpret_cast<const void*>(to.number));
  if (status != CL_SUCCESS) return status;
  keep_argument(kernel, to.index, {.what = Argument::What::pointer, .number = to.number});
  return CL_SUCCESS;
}

void Session::keep_argument(KernelEntry& kernel, std::uint32_t index, Argument argument) {
  Argument& place = kernel.arguments[index];
  // Past the limit the argument is set all the same: only its record is missing.
  if (!objects_.recount(place.value.size(), argument.value.size())) {
    objects_.recount(place.value.size(), 0);
    argument.value = Record();
  }
  place = std::move(argument);
}

void Session::tell_argument(const KernelEntry& kernel, cl_int status, wire::Opcode opcode) {
  if (status == CL_SUCCESS || kernel.poison != CL_SUCCESS) return;
  answers_.deferred_error(kernel.id, status, opcode);
}

cl_int Session::set_arguments(KernelEntry& kernel, const wire::EnqueueNdRange& m) {
  const std::size_t count = m.arg_indices.size();
  if (m.arg_kinds.size() != count || m.arg_numbers.size() != count) {
    throw ProtocolError("a launch with a part of an argument");
  }
  cl_int first = CL_SUCCESS;
  wire::Blob values = m.arg_values;
  for (std::size_t i = 0; i < count; ++i) {
    NewArgument to{.kind = static_cast<ArgumentKind>(m.arg_kinds[i]),
                   .index = m.arg_indices[i],
                   .number = m.arg_numbers[i],
                   .may_be_gone = true};
    if (to.kind > ArgumentKind::pointer) throw ProtocolError("an argument of no kind");
    if (to.kind == ArgumentKind::value) {
      if (to.number > values.size()) throw ProtocolError("an argument longer than its bytes");
      to.value = values.first(to.number);
      values = values.subspan(to.number);
    }
    const cl_int status = set_argument(kernel, to);
    tell_argument(kernel, status, m.kOpcode);
    if (first == CL_SUCCESS) first = status;
  }
  if (!values.empty()) throw ProtocolError("a launch with bytes of no argument");
  return first;
}

void Session::handle(const wire::SetKernelArgValue& m, Incoming& incoming) {
  KernelEntry& kernel = objects_.get<KernelEntry>(m.kernel);
  const cl_int status =
      set_argument(kernel, {.kind = ArgumentKind::value, .index = m.index, .value = m.value});
  if (m.confirm != 0) return answers_.reply(incoming.sequence, status);
  tell_argument(kernel, status, m.kOpcode);
}

void Session::handle(const wire::SetKernelArgObject& m, Incoming&) {
  KernelEntry& kernel = objects_.get<KernelEntry>(m.kernel);
  const NewArgument to{.kind = ArgumentKind::object, .index = m.index, .number = m.target};
  tell_argument(kernel, set_argument(kernel, to), m.kOpcode);
}

void Session::handle(const wire::SetKernelArgLocal& m, Incoming&) {
  KernelEntry& kernel = objects_.get<KernelEntry>(m.kernel);
  const NewArgument to{.kind = ArgumentKind::local, .index = m.index, .number = m.size};
  tell_argument(kernel, set_argument(kernel, to), m.kOpcode);
}

void Session::handle(const wire::SetKernelArgSvm& m, Incoming&) {
  KernelEntry& kernel = objects_.get<KernelEntry>(m.kernel);
  const NewArgument to{.kind = ArgumentKind::svm, .index = m.index, .number = m.address};
  tell_argument(kernel, set_argument(kernel, to), m.kOpcode);
}

void Session::handle(const wire::SetKernelArgPointer& m, Incoming&) {
  KernelEntry& kernel = objects_.get<KernelEntry>(m.kernel);
  const NewArgument to{.kind = ArgumentKind::pointer, .index = m.index, .number = m.address};
  tell_argument(kernel, set_argument(kernel, to), m.kOpcode);
}

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
//
// Kernels and their arguments. Every argument is judged by the facts that the build found
// (kernel_facts.h) before the driver hears of it. An honest client has judged it by the same facts
// and never sees an error here; another one gets deferred errors, and the argument stays as it was.
#include <algorithm>

#include "opencl/worker/kernel_facts.h"
#include "opencl/worker/session.h"
#include "opencl/worker/svm_range.h"

namespace tessera::worker {
namespace {

cl_int find_kernel(const ProgramEntry& program, const std::string& name,
                   const KernelFacts** facts) {
  if (program.poison != CL_SUCCESS) return program.poison;
  if (program.building) return CL_INVALID_OPERATION;
  if (program.facts == nullptr) return CL_INVALID_PROGRAM_EXECUTABLE;
  *facts = program.facts->find(name);
  return *facts == nullptr ? CL_INVALID_KERNEL_NAME : CL_SUCCESS;
}

std::size_t record_bytes(const KernelEntry& kernel) {
  std::size_t bytes = 0;
  for (const auto& argument : kernel.arguments) bytes += argument.value.size();
  for (const auto& record : kernel.exec_info) bytes += record.size();
  return bytes;
}

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

cl_int set_object(const KernelEntry& kernel, std::uint32_t index, const ArgFacts& arg,
                  const Entry& object) {
  if (object.poison != CL_SUCCESS) return object.poison;
  if (object.kind == Kind::sampler) {
    const auto& sampler = static_cast<const SamplerEntry&>(object);
    if (arg.kind != ArgKind::sampler && arg.kind != ArgKind::unknown) return CL_INVALID_ARG_VALUE;
    if (sampler.context != kernel.context) return CL_INVALID_CONTEXT;
    return clSetKernelArg(kernel.handle, index, sizeof(cl_sampler), &sampler.handle);
  }
  const auto& mem = static_cast<const MemEntry&>(object);
  const ArgKind wanted = mem.shape.image() ? ArgKind::image : ArgKind::buffer;
  if (arg.kind != wanted && arg.kind != ArgKind::unknown) return CL_INVALID_ARG_VALUE;
  if (mem.context != kernel.context) return CL_INVALID_CONTEXT;
  return clSetKernelArg(kernel.handle, index, sizeof(cl_mem), &mem.handle);
}

}  // namespace

void Session::handle(const wire::CreateKernel& m, Incoming& incoming) {
  const auto program = objects_.share<ProgramEntry>(m.program);
  const auto entry = objects_.add<KernelEntry>(m.kernel, Record(incoming.opcode, incoming.fields));
  entry->context = program->context;
  entry->program = program;
  cl_int status = entry->poison;
  const std::string name(m.name);
  if (status == CL_SUCCESS) status = find_kernel(*program, name, &entry->facts);
  if (status != CL_SUCCESS) return poison(*entry, status, m.kOpcode);
  entry->program_facts = program->facts;
  entry->arguments.resize(entry->facts->args.size());
  entry->handle = clCreateKernel(program->handle, name.c_str(), &status);
  if (entry->handle == nullptr) return poison(*entry, status, m.kOpcode);
  entry->attached = program->kernels;
}

void Session::handle(const wire::CloneKernel& m, Incoming& incoming) {
  const auto source = objects_.share<KernelEntry>(m.source);
  const auto entry = objects_.add<KernelEntry>(m.kernel, Record(incoming.opcode, incoming.fields));
  entry->context = source->context;
  entry->program = source->program;
  cl_int status = entry->poison;
  if (status == CL_SUCCESS) status = source->poison;
  if (status == CL_SUCCESS && !objects_.recount(0, record_bytes(*source))) {
    status = CL_OUT_OF_HOST_MEMORY;
  }
  if (status != CL_SUCCESS) return poison(*entry, status, m.kOpcode);
  entry->program_facts = source->program_facts;
  entry->facts = source->facts;
  entry->arguments = source->arguments;
  entry->exec_info = source->exec_info;
  entry->handle = clCloneKernel(source->handle, &status);
  if (entry->handle == nullptr) return poison(*entry, status, m.kOpcode);
  entry->attached = source->attached;
}

// The driver has said `status` to a new value of an argument: remembers it, or tells the client.
void Session::set_argument(KernelEntry& kernel, std::uint32_t index, KernelEntry::Argument argument,
                           cl_int status, wire::Opcode opcode) {
  if (status == CL_SUCCESS) {
    KernelEntry::Argument& place = kernel.arguments[index];
    // Past the limit the argument is set all the same: only its record is missing.
    if (!objects_.recount(place.value.size(), argument.value.size())) {
      objects_.recount(place.value.size(), 0);
      argument.value = Record();
    }
    place = std::move(argument);
  } else if (kernel.poison == CL_SUCCESS) {
    answers_.deferred_error(kernel.id, status, opcode);
  }
}

void Session::handle(const wire::SetKernelArgValue& m, Incoming& incoming) {
  KernelEntry& kernel = objects_.get<KernelEntry>(m.kernel);
  cl_int status = CL_SUCCESS;
  const ArgFacts& arg = arg_facts(kernel, m.index, &status);
  if (status == CL_SUCCESS) {
    status = check_value(arg, m.value.size(), max_parameter_size(devices_.front().id));
  }
  if (status == CL_SUCCESS) {
    status = clSetKernelArg(kernel.handle, m.index, m.value.size(), m.value.data());
  }
  KernelEntry::Argument argument{.what = KernelEntry::Argument::What::value};
  if (status == CL_SUCCESS) argument.value = Record(incoming.opcode, incoming.fields);
  if (m.confirm != 0) answers_.reply(incoming.sequence, status);
  if (m.confirm == 0 || status == CL_SUCCESS) {
    set_argument(kernel, m.index, std::move(argument), status, m.kOpcode);
  }
}

void Session::handle(const wire::SetKernelArgObject& m, Incoming&) {
  KernelEntry& kernel = objects_.get<KernelEntry>(m.kernel);
  cl_int status = CL_SUCCESS;
  const ArgFacts& arg = arg_facts(kernel, m.index, &status);
  KernelEntry::Argument argument{.what = KernelEntry::Argument::What::object, .number = m.target};
  std::shared_ptr<Entry> object;
  if (m.target != 0) {
    object = objects_.any(m.target);
    if (object->kind != Kind::mem && object->kind != Kind::sampler) {
      throw ProtocolError(std::string("a ") + kind_name(object->kind) + " as a kernel's argument");
    }
    argument.lives = object;
  }
  if (status == CL_SUCCESS && object != nullptr) {
    status = set_object(kernel, m.index, arg, *object);
  } else if (status == CL_SUCCESS && arg.kind == ArgKind::buffer) {
    status = clSetKernelArg(kernel.handle, m.index, sizeof(cl_mem), nullptr);
  } else if (status == CL_SUCCESS) {
    status = CL_INVALID_ARG_VALUE;
  }
  const bool judged = kernel.poison == CL_SUCCESS && m.index < kernel.arguments.size();
  if (judged && object != nullptr && object->poison != CL_SUCCESS) {
    // The client has heard of the object; now the kernel has an argument that cannot run.
    kernel.arguments[m.index].what = KernelEntry::Argument::What::unset;
    return;
  }
  set_argument(kernel, m.index, std::move(argument), status, m.kOpcode);
}

void Session::handle(const wire::SetKernelArgLocal& m, Incoming&) {
  KernelEntry& kernel = objects_.get<KernelEntry>(m.kernel);
  cl_int status = CL_SUCCESS;
  const ArgFacts& arg = arg_facts(kernel, m.index, &status);
  if (status == CL_SUCCESS && arg.kind != ArgKind::local && arg.kind != ArgKind::unknown) {
    status = CL_INVALID_ARG_VALUE;
  }
  // More than every device has can never run; what the sum is, the enqueue knows (some drivers
  // abort the process there).
  const auto fits = [&](const WorkGroupFacts& each) { return m.size <= each.device_local; };
  if (status == CL_SUCCESS &&
      (m.size == 0 || std::ranges::none_of(kernel.facts->work_group, fits))) {
    status = CL_INVALID_ARG_SIZE;
  }
  if (status == CL_SUCCESS) status = clSetKernelArg(kernel.handle, m.index, m.size, nullptr);
  set_argument(kernel, m.index, {.what = KernelEntry::Argument::What::local, .number = m.size},
               status, m.kOpcode);
}

void Session::handle(const wire::SetKernelArgSvm& m, Incoming&) {
  KernelEntry& kernel = objects_.get<KernelEntry>(m.kernel);
  cl_int status = CL_SUCCESS;
  const ArgFacts& arg = arg_facts(kernel, m.index, &status);
  if (status == CL_SUCCESS && arg.kind != ArgKind::buffer) status = CL_INVALID_ARG_VALUE;
  // No block is no object either: NULL, whichever way it was set.
  KernelEntry::Argument argument{.what = KernelEntry::Argument::What::object};
  if (status == CL_SUCCESS && m.address == 0) {
    status = clSetKernelArg(kernel.handle, m.index, sizeof(cl_mem), nullptr);
  } else if (status == CL_SUCCESS) {
    const SvmRange range = find_svm(*kernel.context, m.address, 1);
    argument.what = KernelEntry::Argument::What::svm;
    argument.lives = range.memory;
    status = range.place == nullptr ? CL_INVALID_ARG_VALUE
                                    : clSetKernelArgSVMPointer(kernel.handle, m.index, range.place);
  }
  set_argument(kernel, m.index, std::move(argument), status, m.kOpcode);
}

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/kernel_facts.h"
#include "opencl/worker/session.h"

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
  for (const auto& [param, values] : kernel.exec_info) {
    bytes += values.size() * sizeof(std::uint64_t);
  }
  return bytes;
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

}  // namespace tessera::worker

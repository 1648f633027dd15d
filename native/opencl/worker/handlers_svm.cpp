// SPDX-License-Identifier: Apache-2.0
//
// Shared virtual memory, and what unified shared memory (handlers_usm.cpp) has in common with it.
// The client knows an allocation by the address that the driver gave it
// here, because kernels may find that address in other memory; its own program has pages at the
// same address, the very same pages where both sides can map them (svm_memory.h). A command in
// flight, or a buffer over an allocation, keeps its memory: a client that frees too early gets old
// bytes, and never the driver's heap.
#include "opencl/worker/command.h"
#include "opencl/worker/svm_memory.h"
#include "opencl/worker/svm_range.h"
#include "opencl/worker/transfer.h"

namespace tessera::worker {
namespace {

constexpr std::uint32_t kMaxAlignment = 4096;  // bytes; no device announces more

cl_int check_flags(cl_svm_mem_flags flags) {
  constexpr cl_svm_mem_flags kKnown = CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY |
                                      CL_MEM_SVM_FINE_GRAIN_BUFFER | CL_MEM_SVM_ATOMICS;
  if ((flags & ~kKnown) != 0) return CL_INVALID_VALUE;
  const bool atomics = (flags & CL_MEM_SVM_ATOMICS) != 0;
  return atomics && (flags & CL_MEM_SVM_FINE_GRAIN_BUFFER) == 0 ? CL_INVALID_VALUE : CL_SUCCESS;
}

// Drivers differ in what they check, and some have no such function at all.
bool has_svm(cl_device_id device, cl_svm_mem_flags flags) {
  cl_device_svm_capabilities can = 0;
  clGetDeviceInfo(device, CL_DEVICE_SVM_CAPABILITIES, sizeof can, &can, nullptr);
  if ((can & CL_DEVICE_SVM_COARSE_GRAIN_BUFFER) == 0) return false;
  const bool fine = (flags & CL_MEM_SVM_FINE_GRAIN_BUFFER) != 0;
  const bool atomics = (flags & CL_MEM_SVM_ATOMICS) != 0;
  return (!fine || (can & CL_DEVICE_SVM_FINE_GRAIN_BUFFER) != 0) &&
         (!atomics || (can & CL_DEVICE_SVM_ATOMICS) != 0);
}

cl_int CL_API_CALL free_svm(cl_context context, void* memory) {
  clSVMFree(context, memory);
  return CL_SUCCESS;
}

// Keeps `memory` until `event` has ended.
void hold_until(Callbacks& callbacks, cl_event event, std::vector<std::shared_ptr<void>> memory) {
  callbacks.when_done(event, [held = std::move(memory)](cl_int) mutable { held.clear(); });
}

// The driver's functions by what lies in the ranges: those for unified memory take any other too.
clEnqueueMemcpyINTEL_fn copier(const ContextEntry& context, const SvmRange& one,
                               const SvmRange& other = {}) {
  const bool unified = is_unified(one.kind) || is_unified(other.kind);
  return unified ? context.usm.copy : clEnqueueSVMMemcpy;
}

clEnqueueMemFillINTEL_fn filler(const ContextEntry& context, const SvmRange& range) {
  return is_unified(range.kind) ? context.usm.fill : clEnqueueSVMMemFill;
}

bool power_of_two(std::uint64_t value) {
  return value != 0 && (value & (value - 1)) == 0;
}

}  // namespace

SvmRange find_svm(const ContextEntry& context, std::uint64_t address, std::uint64_t size) {
  auto at = context.svm.upper_bound(address);
  if (at == context.svm.begin()) return {};
  --at;
  const std::uint64_t offset = address - at->first;
  if (offset >= at->second.size || size > at->second.size - offset) return {};
  return {static_cast<std::byte*>(at->second.pointer()) + offset, at->second.memory,
          at->second.kind};
}

bool Session::scrub_svm(ContextEntry& context, AllocationKind kind, std::uint64_t size,
                        const std::shared_ptr<void>& memory) {
  const clEnqueueMemFillINTEL_fn fill = is_unified(kind) ? context.usm.fill : clEnqueueSVMMemFill;
  const cl_int status = scrub(context, [&](cl_command_queue queue, cl_event* event) {
    const cl_int filled = fill_svm(fill, queue, memory.get(), size, event);
    if (filled == CL_SUCCESS) hold_until(callbacks_, *event, {memory});
    return filled;
  });
  return status == CL_SUCCESS;
}

void Session::handle(const wire::SvmAlloc& m, Incoming& incoming) {
  const std::uint64_t sequence = incoming.sequence;
  const auto context = objects_.share<ContextEntry>(m.context);
  Record record(incoming.opcode, incoming.fields);
  const wire::SvmAlloc message = m;
  cl_int status = context->poison;
  if (status == CL_SUCCESS) status = check_flags(message.flags);
  if (message.size == 0) status = CL_INVALID_BUFFER_SIZE;
  if (message.alignment > kMaxAlignment ||
      (message.alignment != 0 && !power_of_two(message.alignment))) {
    status = CL_INVALID_VALUE;
  }
  bool share = true;
  for (const std::uint32_t number : context->devices) {
    share = share && shares_pages(channel_, device(number).id);
    if (status == CL_SUCCESS && !has_svm(device(number).id, message.flags)) {
      status = CL_INVALID_OPERATION;
    }
  }
  if (!share && (message.flags & CL_MEM_SVM_FINE_GRAIN_BUFFER) != 0) status = CL_INVALID_OPERATION;
  const std::size_t counted = record.size() + kAllocationCost;
  if (status == CL_SUCCESS && !objects_.recount(0, counted)) status = CL_OUT_OF_HOST_MEMORY;
  if (status != CL_SUCCESS) return answers_.reply(sequence, status);
  auto charge = charge_memory(context->gpu_mask, message.size, true);
  SvmMemory made;
  if (charge != nullptr) {
    const DriverMemory driver{[&](std::uint64_t size) {
                                return clSVMAlloc(context->handle, message.flags, size,
                                                  message.alignment);
                              },
                              free_svm};
    const bool fine = (message.flags & CL_MEM_SVM_FINE_GRAIN_BUFFER) != 0;
    const Sharing sharing = !share ? Sharing::none
                            : fine ? Sharing::always
                                   : Sharing::where_possible;
    made =
        allocate_svm(context->handle, driver, message.size, std::move(charge), channel_, sharing);
  }
  if (made.memory != nullptr &&
      !scrub_svm(*context, AllocationKind::svm, message.size, made.memory)) {
    made = {};
  }
  if (made.memory == nullptr) {
    objects_.recount(counted, 0);
    return answers_.reply(sequence, CL_MEM_OBJECT_ALLOCATION_FAILURE);
  }
  keep_allocation(*context, sequence, std::move(made),
                  {.size = message.size,
                   .kind = AllocationKind::svm,
                   .memory = nullptr,
                   .record = std::move(record),
                   .counted = counted});
}

void Session::keep_allocation(ContextEntry& context, std::uint64_t sequence, SvmMemory made,
                              SvmBlock block) {
  const std::uint64_t address = reinterpret_cast<std::uintptr_t>(made.memory.get());
  const std::array<std::uint64_t, 2> values{address, made.shared ? 1u : 0u};
  block.memory = std::move(made.memory);
  context.svm.insert_or_assign(address, std::move(block));
  answers_.reply(sequence, CL_SUCCESS, values);
}

void Session::handle(const wire::SvmFree& m, Incoming&) {
  ContextEntry& context = objects_.get<ContextEntry>(m.context);
  const auto at = context.svm.find(m.address);
  if (at == context.svm.end()) {
    throw ProtocolError("svm_free of an address that is no allocation");
  }
  objects_.recount(at->second.counted, 0);
  context.svm.erase(at);
}

void Session::handle(const wire::SvmMemcpy& m, Incoming&) {
  Command command(*this, m.kOpcode, m.queue, m.wait_list, m.event);
  const SvmRange to = find_svm(command.context(), m.destination, m.size);
  const SvmRange from = find_svm(command.context(), m.source, m.size);
  if (to.place == nullptr || from.place == nullptr || m.size == 0) command.check(CL_INVALID_VALUE);
  const std::uint64_t distance =
      m.destination > m.source ? m.destination - m.source : m.source - m.destination;
  if (distance < m.size) command.check(CL_MEM_COPY_OVERLAP);
  const cl_int status = command.run(
      [&](cl_command_queue queue, cl_uint count, const cl_event* list, cl_event* event) {
        return copier(command.context(), to, from)(queue, CL_FALSE, to.place, from.place, m.size,
                                                   count, list, event);
      },
      true);
  if (status == CL_SUCCESS) hold_until(callbacks_, command.own_event(), {to.memory, from.memory});
}

void Session::handle(const wire::SvmMemfill& m, Incoming&) {
  Command command(*this, m.kOpcode, m.queue, m.wait_list, m.event);
  const SvmRange range = find_svm(command.context(), m.address, m.size);
  if (range.place == nullptr || m.size == 0 || !power_of_two(m.pattern.size()) ||
      m.pattern.size() > 128 || m.size % m.pattern.size() != 0 ||
      m.address % m.pattern.size() != 0) {
    command.check(CL_INVALID_VALUE);
  }
  const cl_int status = command.run(
      [&](cl_command_queue queue, cl_uint count, const cl_event* list, cl_event* event) {
        return filler(command.context(), range)(queue, range.place, m.pattern.data(),
                                                m.pattern.size(), m.size, count, list, event);
      },
      true);
  if (status == CL_SUCCESS) hold_until(callbacks_, command.own_event(), {range.memory});
}

void Session::handle(const wire::SvmRead& m, Incoming&) {
  Command command(*this, m.kOpcode, m.queue, m.wait_list, m.event);
  const SvmRange range = find_svm(command.context(), m.address, m.size);
  if (range.place == nullptr) command.check(CL_INVALID_VALUE);
  read_into_bulk(command, {m.size, m.ticket, read_wait(m.blocking)},
                 [&](cl_command_queue queue, std::byte* data, cl_uint count, const cl_event* list,
                     cl_event* event) {
                   const cl_int status = copier(command.context(), range)(
                       queue, CL_FALSE, data, range.place, m.size, count, list, event);
                   if (status == CL_SUCCESS) hold_until(callbacks_, *event, {range.memory});
                   return status;
                 });
}

void Session::handle(const wire::SvmWrite& m, Incoming& incoming) {
  Command command(*this, m.kOpcode, m.queue, m.wait_list, m.event);
  const std::uint64_t size = incoming.bulk.size();
  const SvmRange range = find_svm(command.context(), m.address, size);
  if (range.place == nullptr) command.check(CL_INVALID_VALUE);
  write_from_bulk(command, incoming, size, false,
                  [&](cl_command_queue queue, std::byte* data, cl_uint count, const cl_event* list,
                      cl_event* event) {
                    const cl_int status = copier(command.context(), range)(
                        queue, CL_FALSE, range.place, data, size, count, list, event);
                    if (status == CL_SUCCESS) hold_until(callbacks_, *event, {range.memory});
                    return status;
                  });
}

}  // namespace tessera::worker

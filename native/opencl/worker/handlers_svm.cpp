// SPDX-License-Identifier: Apache-2.0
//
// Shared virtual memory. The client knows an allocation by the address that the driver gave it
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

// What an allocation costs besides its record: allocations have no ids, so kMaxObjects does not
// bound them, and this does.
constexpr std::size_t kAllocationCost = 256;   // bytes
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

// Keeps `memory` until `event` has ended.
void hold_until(Callbacks& callbacks, cl_event event, std::vector<std::shared_ptr<void>> memory) {
  callbacks.when_done(event, [held = std::move(memory)](cl_int) mutable { held.clear(); });
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
  return {static_cast<std::byte*>(at->second.pointer()) + offset, at->second.memory};
}

bool Session::scrub_svm(ContextEntry& context, std::uint64_t size,
                        const std::shared_ptr<void>& memory) {
  const cl_int status = scrub(context, [&](cl_command_queue queue, cl_event* event) {
    const cl_int filled = fill_svm(queue, memory.get(), size, event);
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
  auto charge = charge_memory(*context, message.size, true);
  SvmMemory made;
  if (charge != nullptr) {
    made = allocate_svm(context->handle, message, std::move(charge), channel_, share);
  }
  if (made.memory != nullptr && !scrub_svm(*context, message.size, made.memory)) made = {};
  if (made.memory == nullptr) {
    objects_.recount(counted, 0);
    return answers_.reply(sequence, CL_MEM_OBJECT_ALLOCATION_FAILURE);
  }
  const std::uint64_t address = reinterpret_cast<std::uintptr_t>(made.memory.get());
  const std::array<std::uint64_t, 2> values{address, made.shared ? 1u : 0u};
  context->svm.insert_or_assign(
      address,
      SvmBlock{message.size, message.flags, std::move(made.memory), std::move(record), counted});
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
        return clEnqueueSVMMemcpy(queue, CL_FALSE, to.place, from.place, m.size, count, list,
                                  event);
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
        return clEnqueueSVMMemFill(queue, range.place, m.pattern.data(), m.pattern.size(), m.size,
                                   count, list, event);
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
                   const cl_int status = clEnqueueSVMMemcpy(queue, CL_FALSE, data, range.place,
                                                            m.size, count, list, event);
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
                    const cl_int status = clEnqueueSVMMemcpy(queue, CL_FALSE, range.place, data,
                                                             size, count, list, event);
                    if (status == CL_SUCCESS) hold_until(callbacks_, *event, {range.memory});
                    return status;
                  });
}

}  // namespace tessera::worker

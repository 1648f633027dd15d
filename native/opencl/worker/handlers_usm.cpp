// SPDX-License-Identifier: Apache-2.0
//
// Unified shared memory (cl_intel_unified_shared_memory). An allocation is kept beside those of
// clSVMAlloc, under the driver's address, and what is done with it there is in handlers_svm.cpp.
//
// Memory that the program reads and writes at any time has to be the very same pages in both
// processes (svm_memory.h), or it is refused: the client announces none where that cannot be.
// Memory of a device is shared too where it can be: programs that see a device of processors
// compute in its memory themselves (oneMKL does). Elsewhere it is an address and no more. Bringing
// bytes over when somebody seems to wait for them was refused: a program may poll such memory while
// a kernel runs.
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "opencl/worker/session.h"

namespace tessera::worker {
namespace {

constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 62;  // bytes; whole pages do not wrap

// What the message asks for, copied: another message may be handled before there is room for it.
struct Request {
  AllocationKind kind;
  std::optional<std::uint32_t> device;  // its number
  cl_mem_alloc_flags_intel flags;
  std::uint64_t size;
  std::uint32_t alignment;
};

Request request_of(const wire::UsmAlloc& m) {
  Request request{.kind = static_cast<AllocationKind>(m.kind),
                  .device = std::nullopt,
                  .flags = m.flags,
                  .size = m.size,
                  .alignment = m.alignment};
  if (m.device.size() > 1) throw ProtocolError("an allocation for more than one device");
  if (!m.device.empty()) request.device = m.device.front();
  return request;
}

cl_int check_request(const Request& request, const ContextEntry& context) {
  const bool known = request.kind == AllocationKind::host ||
                     request.kind == AllocationKind::device ||
                     request.kind == AllocationKind::shared;
  if (!known || !takes_usm_alignment(request.alignment)) return CL_INVALID_VALUE;
  if (!takes_usm_flags(request.kind, request.flags)) return CL_INVALID_PROPERTY;
  if (request.size == 0 || request.size > kMaxSize) return CL_INVALID_BUFFER_SIZE;
  const bool missing = request.kind == AllocationKind::device && !request.device;
  const bool extra = request.kind == AllocationKind::host && request.device;
  const bool foreign = request.device &&
                       std::ranges::find(context.devices, *request.device) == context.devices.end();
  return missing || extra || foreign ? CL_INVALID_DEVICE : CL_SUCCESS;
}

// What the devices have that an allocation is asked of, and whether all of the context's share
// pages with the client.
struct Support {
  bool served = false;
  bool shares = true;
  bool allows(AllocationKind kind) const { return served && (shares || !needs_shared_pages(kind)); }
};

Support support_of(const Session& session, const ContextEntry& context, const Request& request,
                   const Channel& channel) {
  Support support;
  for (const std::uint32_t number : context.devices) {
    const cl_device_id device = session.device(number).id;
    const bool asked = !request.device || *request.device == number;
    support.served = support.served || (asked && context.usm.serves(device, request.kind));
    support.shares = support.shares && shares_pages(channel, device);
  }
  return support;
}

void* ask_driver(const UsmDriver& driver, const Request& request, cl_context context,
                 cl_device_id device, std::uint64_t size, cl_int* status) {
  const std::array<cl_mem_properties_intel, 3> list{CL_MEM_ALLOC_FLAGS_INTEL, request.flags, 0};
  const cl_mem_properties_intel* const properties = request.flags != 0 ? list.data() : nullptr;
  switch (request.kind) {
    case AllocationKind::host:
      return driver.host_alloc(context, properties, size, request.alignment, status);
    case AllocationKind::device:
      return driver.device_alloc(context, device, properties, size, request.alignment, status);
    case AllocationKind::shared:
      return driver.shared_alloc(context, device, properties, size, request.alignment, status);
    case AllocationKind::svm:
      break;
  }
  *status = CL_INVALID_VALUE;
  return nullptr;
}

std::uint64_t cost_of(const Request& request, bool shares) {
  return usm_cost(shares, request.size, static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
}

}  // namespace

// A device fills its own memory; the context's queue for such things is another device's.
bool Session::scrub_on(std::uint32_t device, ContextEntry& context, std::uint64_t size,
                       const std::shared_ptr<void>& memory) {
  if (!context.scrubs || device == context.devices.front()) {
    return scrub_svm(context, AllocationKind::device, size, memory);
  }
  constexpr std::array<cl_queue_properties, 3> kMetered = {CL_QUEUE_PROPERTIES,
                                                           CL_QUEUE_PROFILING_ENABLE, 0};
  cl_int status = CL_SUCCESS;
  const cl_command_queue queue = clCreateCommandQueueWithProperties(
      context.handle, this->device(device).id, kMetered.data(), &status);
  if (queue == nullptr) return false;
  const clEnqueueMemFillINTEL_fn fill = context.usm.fill;
  status = unlocked([&] {
    return metered(gpu_of(device), [&](cl_event* event) {
      const cl_int filled = fill_svm(fill, queue, memory.get(), size, event);
      return filled == CL_SUCCESS ? clWaitForEvents(1, event) : filled;
    });
  });
  clReleaseCommandQueue(queue);
  return status == CL_SUCCESS;
}

void Session::handle(const wire::UsmAlloc& m, Incoming& incoming) {
  const std::uint64_t sequence = incoming.sequence;
  const auto context = objects_.share<ContextEntry>(m.context);
  const Request request = request_of(m);
  Record record(incoming.opcode, incoming.fields);
  const cl_device_id wanted = request.device ? device(*request.device).id : nullptr;
  cl_int status = context->poison;
  if (status == CL_SUCCESS) status = check_request(request, *context);
  const Support support = support_of(*this, *context, request, channel_);
  if (status == CL_SUCCESS && !support.allows(request.kind)) status = CL_INVALID_OPERATION;
  const std::size_t counted = record.size() + kAllocationCost;
  if (status == CL_SUCCESS && !objects_.recount(0, counted)) status = CL_OUT_OF_HOST_MEMORY;
  if (status != CL_SUCCESS) return answers_.reply(sequence, status);
  const bool on_one = request.kind == AllocationKind::device;
  const std::uint32_t gpus = on_one ? 1u << gpu_of(*request.device) : context->gpu_mask;
  auto charge = charge_memory(gpus, cost_of(request, support.shares), true);
  status = CL_OUT_OF_RESOURCES;
  SvmMemory made;
  if (charge != nullptr) {
    const DriverMemory driver{[&](std::uint64_t size) {
                                return ask_driver(context->usm, request, context->handle, wanted,
                                                  size, &status);
                              },
                              context->usm.free};
    const Sharing sharing = needs_shared_pages(request.kind) ? Sharing::always
                            : support.shares                 ? Sharing::where_possible
                                                             : Sharing::none;
    made =
        allocate_svm(context->handle, driver, request.size, std::move(charge), channel_, sharing);
  }
  const bool clean = made.memory != nullptr &&
                     (on_one ? scrub_on(*request.device, *context, request.size, made.memory)
                             : scrub_svm(*context, request.kind, request.size, made.memory));
  if (!clean) {
    objects_.recount(counted, 0);
    return answers_.reply(sequence, status != CL_SUCCESS ? status : CL_OUT_OF_RESOURCES);
  }
  keep_allocation(*context, sequence, std::move(made),
                  {.size = request.size,
                   .kind = request.kind,
                   .memory = nullptr,
                   .record = std::move(record),
                   .counted = counted});
}

}  // namespace tessera::worker

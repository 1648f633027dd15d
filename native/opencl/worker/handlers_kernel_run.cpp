// SPDX-License-Identifier: Apache-2.0
//
// Running kernels, and what is asked of them besides their facts.
#include <CL/cl_ext.h>

#include <algorithm>

#include "opencl/worker/command.h"
#include "opencl/worker/kernel_facts.h"
#include "opencl/worker/kernel_launch.h"
#include "opencl/worker/nd_range.h"
#include "opencl/worker/svm_range.h"

namespace tessera::worker {
namespace {

bool has_sub_groups(cl_device_id device) {
  cl_uint count = 0;
  return clGetDeviceInfo(device, CL_DEVICE_MAX_NUM_SUB_GROUPS, sizeof count, &count, nullptr) ==
             CL_SUCCESS &&
         count != 0;
}

// What the answer to a query may have at most, in numbers of size_t; 0 for no such query.
std::size_t answer_numbers(std::uint32_t param) {
  switch (param) {
    case CL_KERNEL_MAX_SUB_GROUP_SIZE_FOR_NDRANGE:
    case CL_KERNEL_SUB_GROUP_COUNT_FOR_NDRANGE:
    case CL_KERNEL_MAX_NUM_SUB_GROUPS:
    case CL_KERNEL_COMPILE_NUM_SUB_GROUPS:
      return 1;
    case CL_KERNEL_LOCAL_SIZE_FOR_SUB_GROUP_COUNT:
      return 3;
    default:
      return 0;
  }
}

// The addresses of allocations that are alive; `missing` tells of others.
std::vector<void*> places_of(const ContextEntry& context, std::span<const std::uint64_t> addresses,
                             bool* missing) {
  std::vector<void*> places;
  for (const std::uint64_t address : addresses) {
    void* const place = find_svm(context, address, 1).place;
    *missing = *missing || place == nullptr;
    if (place != nullptr) places.push_back(place);
  }
  return places;
}

cl_int set_exec_info(const KernelEntry& kernel, const wire::SetKernelExecInfo& m) {
  switch (m.param) {
    case CL_KERNEL_EXEC_INFO_SVM_PTRS:
    case CL_KERNEL_EXEC_INFO_USM_PTRS_INTEL: {
      bool missing = false;
      const std::vector<void*> places = places_of(*kernel.context, m.values, &missing);
      // Of unified memory any pointer may be named; one of no allocation says nothing.
      const bool unified = m.param == CL_KERNEL_EXEC_INFO_USM_PTRS_INTEL;
      if (places.empty() && unified && !m.values.empty()) return CL_SUCCESS;
      if (places.empty() || (missing && !unified)) return CL_INVALID_VALUE;
      return clSetKernelExecInfo(kernel.handle, m.param, places.size() * sizeof(void*),
                                 places.data());
    }
    case CL_KERNEL_EXEC_INFO_SVM_FINE_GRAIN_SYSTEM:
      // No device of a lease has it, so there is nothing to tell the driver.
      if (m.values.size() != 1) return CL_INVALID_VALUE;
      return m.values[0] == CL_FALSE ? CL_SUCCESS : CL_INVALID_OPERATION;
    case CL_KERNEL_EXEC_INFO_INDIRECT_HOST_ACCESS_INTEL:
    case CL_KERNEL_EXEC_INFO_INDIRECT_DEVICE_ACCESS_INTEL:
    case CL_KERNEL_EXEC_INFO_INDIRECT_SHARED_ACCESS_INTEL: {
      if (m.values.size() != 1) return CL_INVALID_VALUE;
      const cl_bool may = m.values[0] != 0 ? CL_TRUE : CL_FALSE;
      return clSetKernelExecInfo(kernel.handle, m.param, sizeof may, &may);
    }
    default:
      return CL_INVALID_VALUE;
  }
}

}  // namespace

void Session::handle(const wire::EnqueueNdRange& m, Incoming&) {
  Command command(*this, m.kOpcode, m.queue, m.wait_list, m.event);
  const auto launched = objects_.share<KernelEntry>(m.kernel);
  KernelEntry& kernel = *launched;
  command.launch(launched);
  // Also for a command that fails: the client has told them.
  command.check(set_arguments(kernel, m));
  if (kernel.program != nullptr) kernel.program->launched = true;
  if (command.status() == CL_SUCCESS)
    command.check(check_launch(m, kernel, command.queue().device));
  const std::size_t* const offset = (m.given & kOffsetGiven) != 0 ? m.offset.data() : nullptr;
  const std::size_t* const local = (m.given & kLocalGiven) != 0 ? m.local.data() : nullptr;
  command.costs(kernel.cost, work_items(m));
  command.run([&](cl_command_queue queue, cl_uint count, const cl_event* list, cl_event* event) {
    return clEnqueueNDRangeKernel(queue, kernel.handle, m.work_dim, offset, m.global.data(), local,
                                  count, list, event);
  });
}

void Session::handle(const wire::SetKernelExecInfo& m, Incoming&) {
  KernelEntry& kernel = objects_.get<KernelEntry>(m.kernel);
  if (kernel.poison != CL_SUCCESS) return;
  const cl_int status = set_exec_info(kernel, m);
  if (status != CL_SUCCESS) return answers_.deferred_error(kernel.id, status, m.kOpcode);
  const auto at = kernel.exec_info.find(m.param);
  const std::size_t before = at == kernel.exec_info.end() ? 0 : at->second.size();
  if (objects_.recount(before * sizeof(std::uint64_t), m.values.size_bytes())) {
    kernel.exec_info.insert_or_assign(m.param, std::vector(m.values.begin(), m.values.end()));
  }
}

void Session::handle(const wire::GetSuggestedLocalSize& m, Incoming& incoming) {
  const KernelEntry& kernel = objects_.get<KernelEntry>(m.kernel);
  const QueueEntry& queue = objects_.get<QueueEntry>(m.queue);
  const Device& on = device(queue.device);
  const auto suggest = reinterpret_cast<clGetKernelSuggestedLocalWorkSizeKHR_fn>(
      clGetExtensionFunctionAddressForPlatform(on.platform,
                                               "clGetKernelSuggestedLocalWorkSizeKHR"));
  cl_int status = kernel.poison != CL_SUCCESS ? kernel.poison : queue.poison;
  if (status == CL_SUCCESS && suggest == nullptr) status = CL_INVALID_OPERATION;
  if (status == CL_SUCCESS && kernel.context != queue.context) status = CL_INVALID_CONTEXT;
  const WorkGroupFacts* facts = status == CL_SUCCESS ? kernel.facts->on(queue.device) : nullptr;
  if (status == CL_SUCCESS && facts == nullptr) status = CL_INVALID_PROGRAM_EXECUTABLE;
  if (status == CL_SUCCESS) status = check_arguments(kernel, *facts);
  if (status == CL_SUCCESS && (m.work_dim == 0 || m.work_dim > 3)) {
    status = CL_INVALID_WORK_DIMENSION;
  }
  std::array<std::size_t, 3> sizes{};
  if (status == CL_SUCCESS) {
    status = suggest(queue.handle, kernel.handle, m.work_dim,
                     (m.given & kOffsetGiven) != 0 ? m.offset.data() : nullptr, m.global.data(),
                     sizes.data());
  }
  const std::array<std::uint64_t, 3> values{sizes[0], sizes[1], sizes[2]};
  answers_.reply(incoming.sequence, status, values);
}

void Session::handle(const wire::GetKernelSubGroupInfo& m, Incoming& incoming) {
  const KernelEntry& kernel = objects_.get<KernelEntry>(m.kernel);
  const cl_device_id id = device(m.device).id;
  cl_int status = kernel.poison;
  std::array<std::size_t, 3> answer{};
  std::size_t size = answer_numbers(m.param) * sizeof(std::size_t);
  if (status == CL_SUCCESS && (size == 0 || m.input.size() > 3)) status = CL_INVALID_VALUE;
  if (status == CL_SUCCESS && kernel.facts->on(m.device) == nullptr) status = CL_INVALID_DEVICE;
  if (status == CL_SUCCESS && !has_sub_groups(id)) status = CL_INVALID_OPERATION;
  if (status == CL_SUCCESS) {
    status = clGetKernelSubGroupInfo(kernel.handle, id, m.param, m.input.size_bytes(),
                                     m.input.data(), size, answer.data(), &size);
  }
  if (status != CL_SUCCESS) size = 0;
  answers_.reply(incoming.sequence, status, {},
                 std::as_bytes(std::span(answer)).first(std::min(size, sizeof answer)));
}

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
//
// Running kernels, and what is asked of them besides their facts.
#include <algorithm>

#include "opencl/worker/command.h"
#include "opencl/worker/kernel_facts.h"
#include "opencl/worker/kernel_launch.h"
#include "opencl/worker/nd_range.h"
#include "opencl/worker/svm_range.h"

namespace tessera::worker {
namespace {

constexpr std::size_t kMaxExecInfo = 64;  // settings of a kernel that are kept as records

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

void Session::handle(const wire::SetKernelExecInfo& m, Incoming& incoming) {
  KernelEntry& kernel = objects_.get<KernelEntry>(m.kernel);
  cl_int status = kernel.poison;
  if (status != CL_SUCCESS) return;
  if (m.param == CL_KERNEL_EXEC_INFO_SVM_PTRS) {
    std::vector<void*> places;
    for (const std::uint64_t address : m.values) {
      places.push_back(find_svm(*kernel.context, address, 1).place);
    }
    const bool alive = std::ranges::find(places, nullptr) == places.end() && !places.empty();
    status = !alive ? CL_INVALID_VALUE
                    : clSetKernelExecInfo(kernel.handle, m.param, places.size() * sizeof(void*),
                                          places.data());
  } else if (m.param == CL_KERNEL_EXEC_INFO_SVM_FINE_GRAIN_SYSTEM && m.values.size() == 1) {
    // No device of a lease has it, so there is nothing to tell the driver.
    status = m.values[0] == CL_FALSE ? CL_SUCCESS : CL_INVALID_OPERATION;
  } else {
    status = CL_INVALID_VALUE;
  }
  if (status != CL_SUCCESS) return answers_.deferred_error(kernel.id, status, m.kOpcode);
  Record record(incoming.opcode, incoming.fields);
  if (kernel.exec_info.size() < kMaxExecInfo && objects_.recount(0, record.size())) {
    kernel.exec_info.push_back(std::move(record));
  }
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

// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/kernel_launch.h"

#include <algorithm>

#include "opencl/worker/nd_range.h"

namespace tessera::worker {

cl_int check_arguments(const KernelEntry& kernel, const WorkGroupFacts& on) {
  std::uint64_t local = on.local_memory;
  for (const auto& argument : kernel.arguments) {
    if (!argument.launchable()) return CL_INVALID_KERNEL_ARGS;
    local += argument.local_size();
  }
  return local > on.device_local ? CL_OUT_OF_RESOURCES : CL_SUCCESS;
}

cl_int check_launch(const wire::EnqueueNdRange& m, const KernelEntry& kernel,
                    std::uint32_t device) {
  const WorkGroupFacts* on = kernel.facts->on(device);
  if (on == nullptr) return CL_INVALID_PROGRAM_EXECUTABLE;
  if (const cl_int status = check_arguments(kernel, *on); status != CL_SUCCESS) return status;
  return check_nd_range(m, on->max_size);
}

std::uint64_t work_items(const wire::EnqueueNdRange& m) {
  std::uint64_t items = 1;
  for (std::uint32_t i = 0; i < std::min<std::uint32_t>(m.work_dim, 3); ++i) items *= m.global[i];
  return std::max<std::uint64_t>(items, 1);
}

}  // namespace tessera::worker

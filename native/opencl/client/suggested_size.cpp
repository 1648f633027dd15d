// SPDX-License-Identifier: Apache-2.0
//
// The work-group size that the device's driver would choose (cl_khr_suggested_local_work_size).
#include "generated/client_entries.h"
#include "generated/messages_kernel.h"
#include "opencl/client/kernel.h"
#include "opencl/client/ndrange_rules.h"
#include "opencl/client/queue.h"
#include "opencl/client/session.h"

namespace tessera::client {
namespace {

void check_range(Kernel& kernel, const Device& device, const NdRange& range) {
  const WorkGroupFacts* facts = kernel.work_group(device);
  ensure(facts != nullptr, CL_INVALID_PROGRAM_EXECUTABLE);
  kernel.ensure_launchable(device);
  const NdRangeLimits& limits = kernel.program().limits(device);
  ensure(range.dimensions >= 1 && range.dimensions <= limits.max_dimensions,
         CL_INVALID_WORK_DIMENSION);
  ensure(!is_empty(range), CL_INVALID_GLOBAL_WORK_SIZE);
  // What is looked for is no error: a kernel may ask for a size of its own.
  WorkGroupFacts any_size = *facts;
  any_size.required_size = {};
  ensure_success(check_nd_range(range, any_size, limits));
}

void suggest(const Queue& queue, Kernel& kernel, const NdRange& range, size_t* sizes) {
  ensure(&kernel.context() == &queue.context(), CL_INVALID_CONTEXT);
  ensure(queue.device().has_extension("cl_khr_suggested_local_work_size"), CL_INVALID_OPERATION);
  ensure_success(kernel.poison());
  check_range(kernel, queue.device(), range);
  ensure(sizes != nullptr, CL_INVALID_VALUE);
  kernel.send_changes();
  wire::GetSuggestedLocalSize message;
  message.queue = queue.id();
  message.kernel = kernel.id();
  message.work_dim = range.dimensions;
  message.given = range.offset != nullptr ? 1 : 0;
  message.offset = {0, 0, 0};
  message.global = {1, 1, 1};
  for (cl_uint i = 0; i < range.dimensions; ++i) {
    if (range.offset != nullptr) message.offset[i] = range.offset[i];
    message.global[i] = range.global[i];
  }
  const Reply reply = kernel.session().call(message);
  ensure_success(reply.status);
  ensure(reply.values.size() >= range.dimensions, CL_OUT_OF_RESOURCES);
  for (cl_uint i = 0; i < range.dimensions; ++i) sizes[i] = reply.values[i];
}

}  // namespace

namespace entry {

cl_int CL_API_CALL clGetKernelSuggestedLocalWorkSizeKHR(cl_command_queue command_queue,
                                                        cl_kernel kernel, cl_uint work_dim,
                                                        const size_t* global_work_offset,
                                                        const size_t* global_work_size,
                                                        size_t* suggested_local_work_size) {
  return guarded([&] {
    const Queue& queue = require<Queue>(command_queue);
    suggest(queue, require<Kernel>(kernel),
            {work_dim, global_work_offset, global_work_size, nullptr}, suggested_local_work_size);
  });
}

}  // namespace entry
}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
//
// Launching kernels: every error that the standard gives at the call is found here, so that the
// launch itself can be posted.
#include "generated/client_entries.h"
#include "generated/messages_event.h"
#include "generated/messages_kernel.h"
#include "opencl/client/command.h"
#include "opencl/client/kernel.h"
#include "opencl/client/launch.h"
#include "opencl/client/launch_arguments.h"
#include "opencl/client/ndrange_rules.h"

namespace tessera::client {
namespace {

enum Given : std::uint32_t { kOffset = 1, kLocal = 2 };

wire::Id3 triple(const std::size_t* from, cl_uint dimensions, std::uint64_t otherwise) {
  wire::Id3 to{otherwise, otherwise, otherwise};
  for (cl_uint i = 0; from != nullptr && i < dimensions; ++i) to[i] = from[i];
  return to;
}

}  // namespace

namespace check {

Kernel& launch(const Command& command, cl_kernel handle, const NdRange& range) {
  Kernel& kernel = require<Kernel>(handle);
  ensure(&kernel.context() == &command.context(), CL_INVALID_CONTEXT);
  ensure_success(kernel.poison());
  const Device& device = command.queue().device();
  const WorkGroupFacts* facts = kernel.work_group(device);
  ensure(facts != nullptr, CL_INVALID_PROGRAM_EXECUTABLE);
  const std::uint64_t local_arguments = kernel.ensure_launchable(device);
  NdRangeLimits limits = kernel.program().limits(device);
  limits.uniform = limits.uniform || kernel.program().uniform();
  ensure_success(check_nd_range(range, *facts, limits));
  ensure(facts->local_memory <= limits.local_memory &&
             local_arguments <= limits.local_memory - facts->local_memory,
         CL_OUT_OF_RESOURCES);
  return kernel;
}

}  // namespace check

wire::EnqueueNdRange launch_message(const Kernel& kernel, const NdRange& range) {
  wire::EnqueueNdRange message;
  message.kernel = kernel.id();
  message.work_dim = range.dimensions;
  message.given = (range.offset != nullptr ? kOffset : 0u) | (range.local != nullptr ? kLocal : 0u);
  message.offset = triple(range.offset, range.dimensions, 0);
  message.global = triple(range.global, range.dimensions, 1);
  message.local = triple(range.local, range.dimensions, 1);
  return message;
}

namespace {

void launch(Command& command, Kernel& kernel, const NdRange& range) {
  wire::EnqueueNdRange message = launch_message(kernel, range);
  LaunchArguments changed(kernel);
  changed.put_into(message);
  command.post(message);
  changed.sent();
}

cl_int enqueue(cl_command_queue queue, cl_kernel handle, cl_command_type type, const NdRange& range,
               cl_uint count, const cl_event* wait_list, cl_event* event) {
  return guarded([&] {
    Command command(queue, type, count, wait_list, event);
    Kernel& kernel = check::launch(command, handle, range);
    if (!is_empty(range)) return launch(command, kernel, range);
    wire::EnqueueMarker nothing;
    command.post(nothing);
  });
}

}  // namespace

namespace entry {

cl_int CL_API_CALL clEnqueueNDRangeKernel(cl_command_queue command_queue, cl_kernel kernel,
                                          cl_uint work_dim, const size_t* global_work_offset,
                                          const size_t* global_work_size,
                                          const size_t* local_work_size,
                                          cl_uint num_events_in_wait_list,
                                          const cl_event* event_wait_list, cl_event* event) {
  const NdRange range{work_dim, global_work_offset, global_work_size, local_work_size};
  return enqueue(command_queue, kernel, CL_COMMAND_NDRANGE_KERNEL, range, num_events_in_wait_list,
                 event_wait_list, event);
}

cl_int CL_API_CALL clEnqueueTask(cl_command_queue command_queue, cl_kernel kernel,
                                 cl_uint num_events_in_wait_list, const cl_event* event_wait_list,
                                 cl_event* event) {
  const size_t one = 1;
  return enqueue(command_queue, kernel, CL_COMMAND_TASK, {1, nullptr, &one, &one},
                 num_events_in_wait_list, event_wait_list, event);
}

}  // namespace entry
}  // namespace tessera::client

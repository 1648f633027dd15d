// SPDX-License-Identifier: Apache-2.0
//
// Copying and filling unified shared memory, and hints about it. Where its pages lie is the
// driver's affair, so a hint is a command that does nothing, in its place among the others.
#include "generated/client_entries.h"
#include "opencl/client/memory_copy.h"
#include "opencl/client/svm.h"
#include "opencl/client/usm.h"

namespace tessera::client {
namespace {

void enqueue_hint(Command& command, const void* pointer, size_t size) {
  ensure(pointer != nullptr && is_svm(command.context(), pointer, size), CL_INVALID_VALUE);
  command.post_nothing();
}

}  // namespace

namespace entry {

cl_int CL_API_CALL clEnqueueMemcpyINTEL(cl_command_queue command_queue, cl_bool blocking,
                                        void* dst_ptr, const void* src_ptr, size_t size,
                                        cl_uint num_events_in_wait_list,
                                        const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    const Queue& queue = require<Queue>(command_queue);
    ensure(some_device_has_usm(queue.context()), CL_INVALID_OPERATION);
    ensure(dst_ptr != nullptr && src_ptr != nullptr, CL_INVALID_VALUE);
    if (size == 0) {
      Command command(command_queue, CL_COMMAND_MEMCPY_INTEL, num_events_in_wait_list,
                      event_wait_list, event);
      return command.post_nothing(blocking != CL_FALSE);
    }
    enqueue_copy({command_queue, CL_COMMAND_MEMCPY_INTEL, dst_ptr, src_ptr, size,
                  num_events_in_wait_list, event_wait_list},
                 blocking != CL_FALSE, event);
  });
}

cl_int CL_API_CALL clEnqueueMemFillINTEL(cl_command_queue command_queue, void* dst_ptr,
                                         const void* pattern, size_t pattern_size, size_t size,
                                         cl_uint num_events_in_wait_list,
                                         const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    Command command(command_queue, CL_COMMAND_MEMFILL_INTEL, num_events_in_wait_list,
                    event_wait_list, event);
    ensure(some_device_has_usm(command.context()), CL_INVALID_OPERATION);
    enqueue_fill(command, {dst_ptr, pattern, pattern_size, size});
  });
}

cl_int CL_API_CALL clEnqueueMigrateMemINTEL(cl_command_queue command_queue, const void* ptr,
                                            size_t size, cl_mem_migration_flags flags,
                                            cl_uint num_events_in_wait_list,
                                            const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    Command command(command_queue, CL_COMMAND_MIGRATEMEM_INTEL, num_events_in_wait_list,
                    event_wait_list, event);
    ensure(some_device_has_usm(command.context()), CL_INVALID_OPERATION);
    constexpr cl_mem_migration_flags kKnown =
        CL_MIGRATE_MEM_OBJECT_HOST | CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED;
    ensure((flags & ~kKnown) == 0, CL_INVALID_VALUE);
    enqueue_hint(command, ptr, size);
  });
}

cl_int CL_API_CALL clEnqueueMemAdviseINTEL(cl_command_queue command_queue, const void* ptr,
                                           size_t size, cl_mem_advice_intel,
                                           cl_uint num_events_in_wait_list,
                                           const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    Command command(command_queue, CL_COMMAND_MEMADVISE_INTEL, num_events_in_wait_list,
                    event_wait_list, event);
    ensure(some_device_has_usm(command.context()), CL_INVALID_OPERATION);
    enqueue_hint(command, ptr, size);
  });
}

}  // namespace entry
}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
//
// Copying, filling, mapping and moving shared memory.
#include "generated/client_entries.h"
#include "opencl/client/memory_copy.h"
#include "opencl/client/svm.h"

namespace tessera::client {
namespace {

// What clEnqueueSVMMap was asked for.
struct Map {
  cl_command_queue queue;
  void* pointer;
  size_t size;
  cl_map_flags flags;
  cl_uint count;
  const cl_event* wait_list;
};

constexpr cl_map_flags kWriting = CL_MAP_WRITE | CL_MAP_WRITE_INVALIDATE_REGION;

// Memory of a device is not the host's, mapped or not.
bool is_mappable(const Context& context, const void* pointer, size_t size) {
  const auto facts = context.session().svm().facts(address_of(pointer));
  return facts && facts->kind != AllocationKind::device && is_svm(context, pointer, size);
}

void check_map(const Context& context, const Map& map) {
  ensure((map.flags & ~(CL_MAP_READ | kWriting)) == 0, CL_INVALID_VALUE);
  const bool invalidates = (map.flags & CL_MAP_WRITE_INVALIDATE_REGION) != 0;
  ensure(!invalidates || (map.flags & (CL_MAP_READ | CL_MAP_WRITE)) == 0, CL_INVALID_VALUE);
  ensure(map.pointer != nullptr && map.size != 0, CL_INVALID_VALUE);
  ensure(is_mappable(context, map.pointer, map.size), CL_INVALID_VALUE);
}

void map(const Map& wanted, bool blocking, cl_event* event) {
  const Queue& queue = require<Queue>(wanted.queue);
  check_map(queue.context(), wanted);
  SvmTable& table = queue.session().svm();
  const bool nothing_to_read = (wanted.flags & CL_MAP_WRITE_INVALIDATE_REGION) != 0 ||
                               table.shares_pages(address_of(wanted.pointer));
  SvmMapping mapping{wanted.pointer, wanted.size, (wanted.flags & kWriting) != 0, nullptr};
  enqueue_and_wait(blocking && nothing_to_read, event, [&](cl_event* place) {
    Command command(wanted.queue, CL_COMMAND_SVM_MAP, wanted.count, wanted.wait_list, place);
    if (nothing_to_read) return command.post_nothing();
    mapping.read = read_allocation(command, wanted.pointer, wanted.pointer, wanted.size, blocking);
  });
  table.add_mapping(mapping);
}

void ensure_ranges(const Context& context, cl_uint count, const void** pointers,
                   const size_t* sizes) {
  ensure(count != 0 && pointers != nullptr, CL_INVALID_VALUE);
  for (cl_uint i = 0; i < count; ++i) {
    const size_t size = sizes == nullptr || sizes[i] == 0 ? 1 : sizes[i];
    ensure(is_svm(context, pointers[i], size), CL_INVALID_VALUE);
  }
}

}  // namespace

namespace entry {

cl_int CL_API_CALL clEnqueueSVMMemcpy(cl_command_queue command_queue, cl_bool blocking_copy,
                                      void* dst_ptr, const void* src_ptr, size_t size,
                                      cl_uint num_events_in_wait_list,
                                      const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    require<Queue>(command_queue);
    ensure(size != 0, CL_INVALID_VALUE);
    enqueue_copy({command_queue, CL_COMMAND_SVM_MEMCPY, dst_ptr, src_ptr, size,
                  num_events_in_wait_list, event_wait_list},
                 blocking_copy != CL_FALSE, event);
  });
}

cl_int CL_API_CALL clEnqueueSVMMemFill(cl_command_queue command_queue, void* svm_ptr,
                                       const void* pattern, size_t pattern_size, size_t size,
                                       cl_uint num_events_in_wait_list,
                                       const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    Command command(command_queue, CL_COMMAND_SVM_MEMFILL, num_events_in_wait_list, event_wait_list,
                    event);
    ensure(size != 0, CL_INVALID_VALUE);
    enqueue_fill(command, {svm_ptr, pattern, pattern_size, size});
  });
}

cl_int CL_API_CALL clEnqueueSVMMap(cl_command_queue command_queue, cl_bool blocking_map,
                                   cl_map_flags map_flags, void* svm_ptr, size_t size,
                                   cl_uint num_events_in_wait_list, const cl_event* event_wait_list,
                                   cl_event* event) {
  return guarded([&] {
    map({command_queue, svm_ptr, size, map_flags, num_events_in_wait_list, event_wait_list},
        blocking_map != CL_FALSE, event);
  });
}

cl_int CL_API_CALL clEnqueueSVMUnmap(cl_command_queue command_queue, void* svm_ptr,
                                     cl_uint num_events_in_wait_list,
                                     const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    Command command(command_queue, CL_COMMAND_SVM_UNMAP, num_events_in_wait_list, event_wait_list,
                    event);
    ensure(svm_ptr != nullptr && is_svm(command.context(), svm_ptr, 1), CL_INVALID_VALUE);
    SvmTable& table = command.session().svm();
    const auto mapping = table.take_mapping(svm_ptr);
    const bool untouched = mapping && mapping->read != nullptr &&
                           !mapping->read->landed.load(std::memory_order_acquire);
    const bool nothing_to_write =
        !mapping || !mapping->writes || untouched || table.shares_pages(address_of(svm_ptr));
    if (nothing_to_write) return command.post_nothing();
    write_allocation(command, svm_ptr, svm_ptr, mapping->size);
  });
}

cl_int CL_API_CALL clEnqueueSVMMigrateMem(cl_command_queue command_queue, cl_uint num_svm_pointers,
                                          const void** svm_pointers, const size_t* sizes,
                                          cl_mem_migration_flags flags,
                                          cl_uint num_events_in_wait_list,
                                          const cl_event* event_wait_list, cl_event* event) {
  return guarded([&] {
    Command command(command_queue, CL_COMMAND_SVM_MIGRATE_MEM, num_events_in_wait_list,
                    event_wait_list, event);
    constexpr cl_mem_migration_flags kKnown =
        CL_MIGRATE_MEM_OBJECT_HOST | CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED;
    ensure((flags & ~kKnown) == 0, CL_INVALID_VALUE);
    ensure_ranges(command.context(), num_svm_pointers, svm_pointers, sizes);
    command.post_nothing();
  });
}

}  // namespace entry
}  // namespace tessera::client

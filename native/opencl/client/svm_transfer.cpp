// SPDX-License-Identifier: Apache-2.0
//
// Copying, filling, mapping and moving shared memory.
#include <bit>
#include <cstring>

#include "generated/client_entries.h"
#include "generated/messages_event.h"
#include "generated/messages_svm.h"
#include "opencl/client/command.h"
#include "opencl/client/host_work.h"
#include "opencl/client/svm.h"

namespace tessera::client {
namespace {

constexpr size_t kMaxPattern = 128;  // bytes: a vector of 16 doubles

std::uint64_t address_of(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

std::shared_ptr<const ReadState> read(Command& command, const void* from, void* to, size_t size,
                                      bool blocking) {
  const ReadBox box{.at = static_cast<std::byte*>(to), .row_bytes = size};
  return command.read<wire::SvmRead>({size, 1, 1}, 1, box, blocking,
                                     [&](wire::SvmRead& message, const Piece& piece) {
                                       message.address = address_of(from) + piece.offset[0];
                                       message.size = piece.region[0];
                                     });
}

void write(Command& command, const void* from, const void* to, size_t size) {
  const WriteBox box{.at = static_cast<const std::byte*>(from), .row_bytes = size};
  command.write<wire::SvmWrite>({size, 1, 1}, 1, box, false,
                                [to](wire::SvmWrite& message, const Piece& piece) {
                                  message.address = address_of(to) + piece.offset[0];
                                });
}

bool overlap(const void* a, const void* b, size_t size) {
  return address_of(a) < address_of(b) + size && address_of(b) < address_of(a) + size;
}

// What clEnqueueSVMMemcpy was asked for.
struct Copy {
  cl_command_queue queue;
  void* to;
  const void* from;
  size_t size;
  cl_uint count;
  const cl_event* wait_list;
};

void copy_in_worker(const Copy& copy, cl_event* event) {
  Command command(copy.queue, CL_COMMAND_SVM_MEMCPY, copy.count, copy.wait_list, event);
  wire::SvmMemcpy message;
  message.destination = address_of(copy.to);
  message.source = address_of(copy.from);
  message.size = copy.size;
  command.post(message);
}

void copy_in_program(const Copy& copy, cl_event* event) {
  enqueue_host_work(
      copy.queue, CL_COMMAND_SVM_MEMCPY, copy.count, copy.wait_list, event,
      [to = copy.to, from = copy.from, size = copy.size] { std::memmove(to, from, size); });
}

// Posts by `enqueue(event)`, and waits for the end if the program wants that.
template <class Enqueue>
void enqueue_and_wait(bool blocking, cl_event* event, Enqueue enqueue) {
  cl_event own = nullptr;
  cl_event* const place = event != nullptr || !blocking ? event : &own;
  enqueue(place);
  if (!blocking) return;
  const cl_int code = entry::clWaitForEvents(1, place);
  if (own != nullptr) entry::clReleaseEvent(own);
  ensure_success(code);
}

void copy(const Copy& wanted, bool blocking, cl_event* event) {
  const Context& context = require<Queue>(wanted.queue).context();
  ensure(wanted.to != nullptr && wanted.from != nullptr && wanted.size != 0, CL_INVALID_VALUE);
  ensure(!overlap(wanted.to, wanted.from, wanted.size), CL_MEM_COPY_OVERLAP);
  const bool to_svm = is_svm(context, wanted.to, wanted.size);
  const bool from_svm = is_svm(context, wanted.from, wanted.size);
  if (to_svm == from_svm) {
    return enqueue_and_wait(blocking, event, [&](cl_event* place) {
      to_svm ? copy_in_worker(wanted, place) : copy_in_program(wanted, place);
    });
  }
  if (from_svm) {
    Command command(wanted.queue, CL_COMMAND_SVM_MEMCPY, wanted.count, wanted.wait_list, event);
    read(command, wanted.from, wanted.to, wanted.size, blocking);
    return;
  }
  enqueue_and_wait(blocking, event, [&](cl_event* place) {
    Command command(wanted.queue, CL_COMMAND_SVM_MEMCPY, wanted.count, wanted.wait_list, place);
    write(command, wanted.from, wanted.to, wanted.size);
  });
}

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

void check_map(const Context& context, const Map& map) {
  ensure((map.flags & ~(CL_MAP_READ | kWriting)) == 0, CL_INVALID_VALUE);
  const bool invalidates = (map.flags & CL_MAP_WRITE_INVALIDATE_REGION) != 0;
  ensure(!invalidates || (map.flags & (CL_MAP_READ | CL_MAP_WRITE)) == 0, CL_INVALID_VALUE);
  ensure(map.pointer != nullptr && map.size != 0, CL_INVALID_VALUE);
  ensure(is_svm(context, map.pointer, map.size), CL_INVALID_VALUE);
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
    mapping.read = read(command, wanted.pointer, wanted.pointer, wanted.size, blocking);
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
    copy({command_queue, dst_ptr, src_ptr, size, num_events_in_wait_list, event_wait_list},
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
    ensure(svm_ptr != nullptr && pattern != nullptr, CL_INVALID_VALUE);
    ensure(std::has_single_bit(pattern_size) && pattern_size <= kMaxPattern, CL_INVALID_VALUE);
    ensure(size != 0 && size % pattern_size == 0 && address_of(svm_ptr) % pattern_size == 0,
           CL_INVALID_VALUE);
    ensure(is_svm(command.context(), svm_ptr, size), CL_INVALID_VALUE);
    wire::SvmMemfill message;
    message.address = address_of(svm_ptr);
    message.pattern = {static_cast<const std::byte*>(pattern), pattern_size};
    message.size = size;
    command.post(message);
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
    write(command, svm_ptr, svm_ptr, mapping->size);
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

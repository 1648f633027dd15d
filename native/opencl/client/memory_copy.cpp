// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/memory_copy.h"

#include <bit>
#include <cstring>

#include "generated/client_entries.h"
#include "generated/messages_event.h"
#include "generated/messages_svm.h"
#include "opencl/client/host_work.h"
#include "opencl/client/svm.h"

namespace tessera::client {
namespace {

constexpr size_t kMaxPattern = 128;  // bytes: a vector of 16 doubles

bool overlap(const void* a, const void* b, size_t size) {
  return address_of(a) < address_of(b) + size && address_of(b) < address_of(a) + size;
}

void copy_in_worker(const Copy& copy, cl_event* event) {
  Command command(copy.queue, copy.type, copy.count, copy.wait_list, event);
  wire::SvmMemcpy message;
  message.destination = address_of(copy.to);
  message.source = address_of(copy.from);
  message.size = copy.size;
  command.post(message);
}

void copy_in_program(const Copy& copy, cl_event* event) {
  enqueue_host_work(
      copy.queue, copy.type, copy.count, copy.wait_list, event,
      [to = copy.to, from = copy.from, size = copy.size] { std::memmove(to, from, size); });
}

}  // namespace

void enqueue_and_wait(bool blocking, cl_event* event,
                      const std::function<void(cl_event*)>& enqueue) {
  cl_event own = nullptr;
  cl_event* const place = event != nullptr || !blocking ? event : &own;
  enqueue(place);
  if (!blocking) return;
  const cl_int code = entry::clWaitForEvents(1, place);
  if (own != nullptr) entry::clReleaseEvent(own);
  ensure_success(code);
}

std::shared_ptr<const ReadState> read_allocation(Command& command, const void* from, void* to,
                                                 size_t size, bool blocking) {
  const ReadBox box{.at = static_cast<std::byte*>(to), .row_bytes = size};
  return command.read<wire::SvmRead>({size, 1, 1}, 1, box, blocking,
                                     [&](wire::SvmRead& message, const Piece& piece) {
                                       message.address = address_of(from) + piece.offset[0];
                                       message.size = piece.region[0];
                                     });
}

void write_allocation(Command& command, const void* from, const void* to, size_t size) {
  const WriteBox box{.at = static_cast<const std::byte*>(from), .row_bytes = size};
  command.write<wire::SvmWrite>({size, 1, 1}, 1, box, false,
                                [to](wire::SvmWrite& message, const Piece& piece) {
                                  message.address = address_of(to) + piece.offset[0];
                                });
}

void ensure_copyable(const Context& context, const void* pointer, size_t size) {
  const auto facts = context.session().svm().facts(address_of(pointer));
  if (!facts) return;
  const bool own = facts->context == context.id();
  ensure(own || facts->kind != AllocationKind::device, CL_INVALID_VALUE);
  ensure(!own || is_svm(context, pointer, size), CL_INVALID_VALUE);
}

void enqueue_copy(const Copy& copy, bool blocking, cl_event* event) {
  const Context& context = require<Queue>(copy.queue).context();
  ensure(copy.to != nullptr && copy.from != nullptr, CL_INVALID_VALUE);
  ensure(!overlap(copy.to, copy.from, copy.size), CL_MEM_COPY_OVERLAP);
  ensure_copyable(context, copy.to, copy.size);
  ensure_copyable(context, copy.from, copy.size);
  const bool to_allocation = is_svm(context, copy.to, copy.size);
  const bool from_allocation = is_svm(context, copy.from, copy.size);
  if (to_allocation == from_allocation) {
    return enqueue_and_wait(blocking, event, [&](cl_event* place) {
      to_allocation ? copy_in_worker(copy, place) : copy_in_program(copy, place);
    });
  }
  if (from_allocation) {
    Command command(copy.queue, copy.type, copy.count, copy.wait_list, event);
    read_allocation(command, copy.from, copy.to, copy.size, blocking);
    return;
  }
  enqueue_and_wait(blocking, event, [&](cl_event* place) {
    Command command(copy.queue, copy.type, copy.count, copy.wait_list, place);
    write_allocation(command, copy.from, copy.to, copy.size);
  });
}

void enqueue_fill(Command& command, const Fill& fill) {
  ensure(fill.to != nullptr && fill.pattern != nullptr, CL_INVALID_VALUE);
  ensure(std::has_single_bit(fill.pattern_size) && fill.pattern_size <= kMaxPattern,
         CL_INVALID_VALUE);
  ensure(fill.size % fill.pattern_size == 0 && address_of(fill.to) % fill.pattern_size == 0,
         CL_INVALID_VALUE);
  ensure(is_svm(command.context(), fill.to, fill.size), CL_INVALID_VALUE);
  if (fill.size == 0) return command.post_nothing();
  wire::SvmMemfill message;
  message.address = address_of(fill.to);
  message.pattern = {static_cast<const std::byte*>(fill.pattern), fill.pattern_size};
  message.size = fill.size;
  command.post(message);
}

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
#include "opencl/mem_flags.h"
#include "opencl/worker/session.h"
#include "opencl/worker/svm_range.h"
#include "opencl/worker/transfer.h"

namespace tessera::worker {
namespace {

// Where a tightly packed rectangle begins in a message's bulk.
constexpr std::array<std::size_t, 3> kTightOrigin{0, 0, 0};

// Contents up to this size are copied by the driver while it makes the object: one call instead of
// a command and a wait for it. Larger ones are a command, because the time that they take is
// charged to the lease, and only a command's time can be asked for.
constexpr std::size_t kCopiedByDriver = 64 * 1024;  // bytes

}  // namespace

bool Session::driver_copies(const Bulk& contents) {
  return contents.size() != 0 && contents.size() <= kCopiedByDriver;
}

void Session::create_buffer(MemEntry& entry, const wire::CreateBuffer& m, const Bulk& contents) {
  cl_int status = entry.poison;
  if (status == CL_SUCCESS) status = entry.context->poison;
  if (status == CL_SUCCESS) status = check_mem_flags(m.flags);
  if (status == CL_SUCCESS && m.size == 0) status = CL_INVALID_BUFFER_SIZE;
  if (status == CL_SUCCESS && m.svm != 0) {
    status = lay_over_svm(entry, m);
  } else if (status == CL_SUCCESS) {
    status = allocate(entry, m, contents);
  }
  if (entry.handle == nullptr) return poison(entry, status, m.kOpcode);
  if (contents.size() == 0 || driver_copies(contents)) return;
  status = initialize(entry, 0, contents);
  if (status != CL_SUCCESS) answers_.deferred_error(entry.id, status, m.kOpcode);
}

// Who on the host may look is between the client and its program; the worker itself must be able to
// move the contents.
cl_int Session::lay_over_svm(MemEntry& entry, const wire::CreateBuffer& m) {
  const SvmRange range = find_svm(*entry.context, m.svm, m.size);
  entry.svm = range.memory;
  if (range.place == nullptr || range.kind == AllocationKind::device) return CL_INVALID_HOST_PTR;
  cl_int status = CL_SUCCESS;
  entry.handle =
      clCreateBuffer(entry.context->handle, (m.flags & ~kHostAccess) | CL_MEM_USE_HOST_PTR, m.size,
                     range.place, &status);
  return status;
}

cl_int Session::allocate(MemEntry& entry, const wire::CreateBuffer& m, const Bulk& contents) {
  auto charge = charge_memory(entry.context->gpu_mask, m.size, m.confirm != 0);
  if (charge == nullptr) return CL_MEM_OBJECT_ALLOCATION_FAILURE;
  const cl_context context = entry.context->handle;
  const cl_mem_flags flags = m.flags & ~kHostAccess;
  cl_int status = CL_SUCCESS;
  const bool filled = driver_copies(contents);
  if (filled) {
    copying(*entry.context, [&] {
      entry.handle =
          clCreateBuffer(context, flags | CL_MEM_COPY_HOST_PTR, m.size, contents.data(), &status);
    });
  } else {
    entry.handle = clCreateBuffer(context, flags, m.size, nullptr, &status);
  }
  if (entry.handle != nullptr) hand_over(entry, std::move(charge), filled, &status);
  return status;
}

void Session::hand_over(MemEntry& entry, std::unique_ptr<Charge> charge, bool filled,
                        cl_int* status) {
  *status = CL_SUCCESS;
  if (!filled) {
    *status = scrub(*entry.context, [&](cl_command_queue queue, cl_event* event) {
      return entry.shape.image() ? fill_image(queue, entry.handle, entry.shape, event)
                                 : fill_buffer(queue, entry.handle, entry.shape.size, event);
    });
  }
  if (*status == CL_SUCCESS) *status = memory_.attach(std::move(charge), entry.handle);
  if (*status == CL_SUCCESS) {
    entry.held = &memory_.held();
    entry.held->fetch_add(1);
  } else {
    clReleaseMemObject(std::exchange(entry.handle, nullptr));
  }
}

void Session::handle(const wire::CreateBuffer& m, Incoming& incoming) {
  const std::uint64_t sequence = incoming.sequence;
  const Bulk contents = std::move(incoming.bulk);
  if (contents.size() != 0 && (contents.size() != m.size || m.svm != 0)) {
    throw ProtocolError("a buffer with contents of another size");
  }
  const auto entry = objects_.add<MemEntry>(m.buffer, Record(incoming.opcode, incoming.fields));
  entry->context = objects_.share<ContextEntry>(m.context);
  entry->shape.size = m.size;
  entry->shape.flags = m.flags;
  create_buffer(*entry, m, contents);
  if (m.confirm != 0) answers_.reply(sequence, entry->poison);
}

cl_int Session::initialize(const MemEntry& buffer, std::uint64_t offset, const Bulk& bytes) {
  cl_int status = CL_SUCCESS;
  const cl_command_queue queue = internal_queue(*buffer.context, &status);
  if (status != CL_SUCCESS || bytes.size() == 0) return status;
  return unlocked([&] {
    return metered(buffer.context->gpu, [&](cl_event* event) {
      return clEnqueueWriteBuffer(queue, buffer.handle, CL_TRUE, offset, bytes.size(), bytes.data(),
                                  0, nullptr, event);
    });
  });
}

void Session::handle(const wire::InitializeBuffer& m, Incoming& incoming) {
  const auto buffer = objects_.share<MemEntry>(m.buffer);
  const Bulk bulk = std::move(incoming.bulk);
  cl_int status = buffer->poison;
  // The client has heard of this one already.
  if (status != CL_SUCCESS) return;
  if (buffer->shape.image()) status = CL_INVALID_MEM_OBJECT;
  if (!within(m.offset, bulk.size(), buffer->shape.size)) status = CL_INVALID_VALUE;
  if (status == CL_SUCCESS) status = initialize(*buffer, m.offset, bulk);
  if (status != CL_SUCCESS) answers_.deferred_error(buffer->id, status, m.kOpcode);
}

void Session::handle(const wire::CreateSubBuffer& m, Incoming& incoming) {
  // Looked up before the sub-buffer is there: one of itself would keep itself for ever.
  const auto buffer = objects_.share<MemEntry>(m.buffer);
  const MemEntry& parent = *buffer;
  const auto entry = objects_.add<MemEntry>(m.sub_buffer, Record(incoming.opcode, incoming.fields));
  entry->parent = buffer;
  entry->context = parent.context;
  entry->shape.size = m.size;
  entry->shape.flags = m.flags;
  cl_int status = entry->poison;
  if (status == CL_SUCCESS) status = parent.poison;
  if (status == CL_SUCCESS) status = check_mem_flags(m.flags);
  // A sub-buffer of a sub-buffer does not exist.
  if (status == CL_SUCCESS && (parent.shape.image() || parent.parent != nullptr)) {
    status = CL_INVALID_MEM_OBJECT;
  }
  if (status == CL_SUCCESS && m.size == 0) status = CL_INVALID_BUFFER_SIZE;
  if (status == CL_SUCCESS && !within(m.origin, m.size, parent.shape.size)) {
    status = CL_INVALID_VALUE;
  }
  if (status == CL_SUCCESS) {
    const cl_buffer_region region{m.origin, m.size};
    entry->handle = clCreateSubBuffer(parent.handle, m.flags & ~kHostAccess,
                                      CL_BUFFER_CREATE_TYPE_REGION, &region, &status);
  }
  if (entry->handle == nullptr) poison(*entry, status, m.kOpcode);
}

void Session::handle(const wire::ReadBuffer& m, Incoming&) {
  Command command(*this, m.kOpcode, m.queue, m.wait_list, m.event);
  const MemEntry& buffer = command.mem(m.buffer);
  if (buffer.shape.image()) command.check(CL_INVALID_MEM_OBJECT);
  if (!within(m.offset, m.size, buffer.shape.size)) command.check(CL_INVALID_VALUE);
  read_into_bulk(command, {m.size, m.ticket, read_wait(m.blocking)},
                 [&](cl_command_queue queue, std::byte* data, cl_uint count, const cl_event* list,
                     cl_event* event) {
                   return clEnqueueReadBuffer(queue, buffer.handle, CL_FALSE, m.offset, m.size,
                                              data, count, list, event);
                 });
}

void Session::handle(const wire::WriteBuffer& m, Incoming& incoming) {
  Command command(*this, m.kOpcode, m.queue, m.wait_list, m.event);
  const MemEntry& buffer = command.mem(m.buffer);
  const std::uint64_t size = incoming.bulk.size();
  if (buffer.shape.image()) command.check(CL_INVALID_MEM_OBJECT);
  if (!within(m.offset, size, buffer.shape.size)) command.check(CL_INVALID_VALUE);
  write_from_bulk(command, incoming, size, m.fence != 0,
                  [&](cl_command_queue queue, std::byte* data, cl_uint count, const cl_event* list,
                      cl_event* event) {
                    return clEnqueueWriteBuffer(queue, buffer.handle, CL_FALSE, m.offset, size,
                                                data, count, list, event);
                  });
}

void Session::handle(const wire::ReadBufferRect& m, Incoming&) {
  Command command(*this, m.kOpcode, m.queue, m.wait_list, m.event);
  const MemEntry& buffer = command.mem(m.buffer);
  command.check(check_rect(buffer.shape, m.origin, m.region, m.row_pitch, m.slice_pitch));
  read_into_bulk(command, {packed_size(m.region), m.ticket, read_wait(m.blocking)},
                 [&](cl_command_queue queue, std::byte* data, cl_uint count, const cl_event* list,
                     cl_event* event) {
                   return clEnqueueReadBufferRect(queue, buffer.handle, CL_FALSE, m.origin.data(),
                                                  kTightOrigin.data(), m.region.data(), m.row_pitch,
                                                  m.slice_pitch, 0, 0, data, count, list, event);
                 });
}

void Session::handle(const wire::WriteBufferRect& m, Incoming& incoming) {
  Command command(*this, m.kOpcode, m.queue, m.wait_list, m.event);
  const MemEntry& buffer = command.mem(m.buffer);
  command.check(check_rect(buffer.shape, m.origin, m.region, m.row_pitch, m.slice_pitch));
  write_from_bulk(command, incoming, packed_size(m.region), m.fence != 0,
                  [&](cl_command_queue queue, std::byte* data, cl_uint count, const cl_event* list,
                      cl_event* event) {
                    return clEnqueueWriteBufferRect(queue, buffer.handle, CL_FALSE, m.origin.data(),
                                                    kTightOrigin.data(), m.region.data(),
                                                    m.row_pitch, m.slice_pitch, 0, 0, data, count,
                                                    list, event);
                  });
}

}  // namespace tessera::worker

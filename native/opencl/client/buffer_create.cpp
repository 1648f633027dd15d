// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "generated/client_entries.h"
#include "generated/messages_buffer.h"
#include "opencl/client/mem.h"
#include "opencl/client/session.h"
#include "opencl/client/svm.h"
#include "opencl/mem_flags.h"

namespace tessera::client {
namespace {

constexpr cl_mem_flags kBufferFlags = kAccess | kHostAccess | kHostPointer;

// More contents than travel with the creation, sent in pieces.
void send_contents(Mem& buffer, const void* from) {
  Session& session = buffer.session();
  const auto* at = static_cast<const std::byte*>(from);
  for (std::size_t offset = 0; offset < buffer.size(); offset += kPiece) {
    wire::InitializeBuffer message;
    message.buffer = buffer.id();
    message.offset = offset;
    session.post(message, session.bulk_of(at + offset, std::min(kPiece, buffer.size() - offset)));
  }
}

std::vector<cl_mem_properties> read_properties(const cl_mem_properties* given) {
  if (given == nullptr) return {};
  ensure(*given == 0, CL_INVALID_PROPERTY);  // the standard has none yet
  return {0};
}

cl_mem create_buffer(Context& context, std::vector<cl_mem_properties> properties,
                     cl_mem_flags flags, std::size_t size, void* host_ptr) {
  ensure_mem_flags(flags, kBufferFlags);
  ensure(size != 0 && size <= context.max_alloc(), CL_INVALID_BUFFER_SIZE);
  ensure_host_ptr(flags, host_ptr);
  ensure_success(context.poison());
  Session& session = context.session();
  const auto facts = session.svm().facts(reinterpret_cast<std::uintptr_t>(host_ptr));
  ensure(!facts || facts->kind != AllocationKind::device, CL_INVALID_HOST_PTR);
  const bool uses_host = (flags & CL_MEM_USE_HOST_PTR) != 0;
  const std::uint64_t svm =
      uses_host && is_svm(context, host_ptr, size) ? reinterpret_cast<std::uint64_t>(host_ptr) : 0;
  Charge charge = svm == 0 ? Charge(session.account(), context.gpus(), size) : Charge();
  const bool certain = svm != 0 || (session.alone() && charge.fits());

  Mem::Parts parts;
  parts.flags = with_access(flags);
  parts.size = size;
  parts.shadow_size = size;
  parts.host_ptr = uses_host ? host_ptr : nullptr;
  parts.svm = svm != 0;
  parts.properties = std::move(properties);
  auto buffer = make<Mem>(context, std::move(parts), Ref<Mem>(), std::move(charge));

  wire::CreateBuffer message;
  message.buffer = buffer->id();
  message.context = context.id();
  message.flags = wire_flags(flags);
  message.size = size;
  message.svm = svm;
  message.confirm = certain ? 0 : 1;
  const bool has_contents = host_ptr != nullptr && svm == 0;
  const bool together = has_contents && size <= kPiece;
  Bulk contents = together ? session.bulk_of(host_ptr, size) : Bulk();
  if (certain) {
    session.create(*buffer, message, std::move(contents));
  } else {
    ensure_success(session.create_call(*buffer, message, std::move(contents)).status);
  }
  if (has_contents && !together) send_contents(*buffer, host_ptr);
  return give_handle(std::move(buffer));
}

// What a sub-buffer may ask for beyond its buffer's own flags, and what it takes over from them.
cl_mem_flags sub_buffer_flags(cl_mem_flags parent, cl_mem_flags flags) {
  ensure_mem_flags(flags, kAccess | kHostAccess);
  const auto forbids = [&](cl_mem_flags have, cl_mem_flags want) {
    ensure((parent & have) == 0 || (flags & want) == 0, CL_INVALID_VALUE);
  };
  forbids(CL_MEM_WRITE_ONLY, CL_MEM_READ_WRITE | CL_MEM_READ_ONLY);
  forbids(CL_MEM_READ_ONLY, CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY);
  forbids(CL_MEM_HOST_WRITE_ONLY, CL_MEM_HOST_READ_ONLY);
  forbids(CL_MEM_HOST_READ_ONLY, CL_MEM_HOST_WRITE_ONLY);
  forbids(CL_MEM_HOST_NO_ACCESS, CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_WRITE_ONLY);
  if ((flags & kAccess) == 0) flags |= parent & kAccess;
  if ((flags & kHostAccess) == 0) flags |= parent & kHostAccess;
  return flags | (parent & kHostPointer);
}

bool aligned_for_some_device(const Context& context, std::size_t offset) {
  return std::any_of(context.devices().begin(), context.devices().end(), [&](const Device* device) {
    return offset % std::max<std::size_t>(device->address_align_bits() / 8, 1) == 0;
  });
}

cl_mem create_sub_buffer(Mem& parent, cl_mem_flags flags, cl_buffer_create_type type,
                         const void* create_info) {
  ensure(parent.is_buffer() && parent.parent() == nullptr, CL_INVALID_MEM_OBJECT);
  ensure_success(parent.poison());
  const cl_mem_flags own_flags = sub_buffer_flags(parent.flags(), flags);
  ensure(type == CL_BUFFER_CREATE_TYPE_REGION && create_info != nullptr, CL_INVALID_VALUE);
  const cl_buffer_region region = *static_cast<const cl_buffer_region*>(create_info);
  ensure(region.size != 0, CL_INVALID_BUFFER_SIZE);
  ensure(region.origin <= parent.size() && region.size <= parent.size() - region.origin,
         CL_INVALID_VALUE);
  ensure(aligned_for_some_device(parent.context(), region.origin), CL_MISALIGNED_SUB_BUFFER_OFFSET);

  Mem::Parts parts;
  parts.flags = own_flags;
  parts.size = region.size;
  parts.offset = region.origin;
  if (parent.host_ptr() != nullptr) {
    parts.host_ptr = static_cast<std::byte*>(parent.host_ptr()) + region.origin;
  }
  parts.svm = parent.svm();
  auto buffer = make<Mem>(parent.context(), std::move(parts), Ref<Mem>(parent), Charge());
  wire::CreateSubBuffer message;
  message.sub_buffer = buffer->id();
  message.buffer = parent.id();
  message.flags = wire_flags(own_flags);
  message.origin = region.origin;
  message.size = region.size;
  parent.session().create(*buffer, message);
  return give_handle(std::move(buffer));
}

}  // namespace

namespace entry {

cl_mem CL_API_CALL clCreateBuffer(cl_context context, cl_mem_flags flags, size_t size,
                                  void* host_ptr, cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    return create_buffer(require<Context>(context), {}, flags, size, host_ptr);
  });
}

cl_mem CL_API_CALL clCreateBufferWithProperties(cl_context context,
                                                const cl_mem_properties* properties,
                                                cl_mem_flags flags, size_t size, void* host_ptr,
                                                cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    Context& owner = require<Context>(context);
    return create_buffer(owner, read_properties(properties), flags, size, host_ptr);
  });
}

cl_mem CL_API_CALL clCreateSubBuffer(cl_mem buffer, cl_mem_flags flags,
                                     cl_buffer_create_type buffer_create_type,
                                     const void* buffer_create_info, cl_int* errcode_ret) {
  return guarded_create(errcode_ret, [&] {
    return create_sub_buffer(require<Mem>(buffer), flags, buffer_create_type, buffer_create_info);
  });
}

}  // namespace entry
}  // namespace tessera::client

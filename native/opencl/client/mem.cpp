// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/mem.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <new>

#include "generated/client_entries.h"
#include "opencl/client/destructors.h"
#include "opencl/client/generated_support.h"
#include "opencl/client/info.h"
#include "opencl/client/session.h"
#include "opencl/client/transfer.h"
#include "opencl/mem_flags.h"

namespace tessera::client {
namespace {}  // namespace

Pages::Pages(std::size_t size) : size_(size) {
  at_ = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
               -1, 0);
  if (at_ == MAP_FAILED) {
    at_ = nullptr;
    throw std::bad_alloc();
  }
}

Pages::~Pages() {
  if (at_ != nullptr) ::munmap(at_, size_);
}

Mem::Mem(Context& context, Parts parts, Ref<Mem> parent, Charge charge)
    : Typed(&context.session()),
      context_(context),
      parts_(std::move(parts)),
      parent_(std::move(parent)),
      charge_(std::move(charge)) {}

Mem::~Mem() {
  if (destructors_.empty()) return;
  try {
    expect_destruction();
    session().when_gone(
        id(), [context = context_, handle = handle(), registered = std::move(destructors_)] {
          run_destructors(handle, registered);
        });
  } catch (...) {  // no memory, no thread: nothing can be told to the program
  }
}

void Mem::expect_destruction() {
  const std::lock_guard lock(mutex_);
  if (destructors_.empty() || std::exchange(expected_, true)) return;
  session().callbacks().expect();
}

bool Mem::has_destructors() {
  const std::lock_guard lock(mutex_);
  return !destructors_.empty();
}

void release_reference(Mem& mem) {
  if (!mem.release()) return;
  Session& session = mem.session();
  const wire::Id id = mem.id();
  const bool tells = mem.has_destructors();
  if (tells) guarded([&] { mem.expect_destruction(); });
  mem.drop();
  if (tells) guarded([&] { session.run_if_gone(id); });
  // Perhaps the last that another object was needed for.
  if (session.callbacks().expects()) guarded([&] { session.flush(); });
}

bool Mem::shares_memory() const {
  const Mem& root = parent_ && !is_image() ? *parent_ : *this;
  return root.parts_.svm && root.is_buffer() &&
         session().svm().shares_pages(reinterpret_cast<std::uintptr_t>(root.parts_.host_ptr));
}

bool Mapping::untouched() const {
  return read != nullptr && !read->landed.load(std::memory_order_acquire);
}

std::byte* Mem::shadow() {
  if (parent_ && !is_image()) return parent_->shadow() + parts_.offset;
  if (parts_.host_ptr != nullptr) return static_cast<std::byte*>(parts_.host_ptr);
  const std::lock_guard lock(mutex_);
  if (shadow_.at() == nullptr) shadow_ = Pages(std::max<std::size_t>(parts_.shadow_size, 1));
  return shadow_.at();
}

void Mem::add_mapping(const Mapping& mapping) {
  const std::lock_guard lock(mutex_);
  mappings_.push_back(mapping);
}

Mapping Mem::take_mapping(void* pointer) {
  const std::lock_guard lock(mutex_);
  const auto at = std::find_if(mappings_.rbegin(), mappings_.rend(),
                               [&](const Mapping& mapping) { return mapping.pointer == pointer; });
  ensure(at != mappings_.rend(), CL_INVALID_VALUE);
  const Mapping mapping = *at;
  mappings_.erase(std::next(at).base());
  return mapping;
}

cl_uint Mem::map_count() {
  const std::lock_guard lock(mutex_);
  return static_cast<cl_uint>(mappings_.size());
}

void Mem::on_destroy(tessera_mem_callback function, void* user_data) {
  const std::lock_guard lock(mutex_);
  if (destructors_.empty()) {
    wire::WatchObject message;
    message.target = id();
    session().post(message);
  }
  destructors_.emplace_back(function, user_data);
}

void ensure_mem_flags(cl_mem_flags flags, cl_mem_flags allowed) {
  ensure((flags & ~allowed) == 0, CL_INVALID_VALUE);
  ensure(std::popcount(flags & kAccess) <= 1, CL_INVALID_VALUE);
  ensure(std::popcount(flags & kHostAccess) <= 1, CL_INVALID_VALUE);
  ensure((flags & CL_MEM_USE_HOST_PTR) == 0 ||
             (flags & (CL_MEM_ALLOC_HOST_PTR | CL_MEM_COPY_HOST_PTR)) == 0,
         CL_INVALID_VALUE);
}

void ensure_host_ptr(cl_mem_flags flags, const void* host_ptr) {
  const bool wanted = (flags & (CL_MEM_USE_HOST_PTR | CL_MEM_COPY_HOST_PTR)) != 0;
  ensure(wanted == (host_ptr != nullptr), CL_INVALID_HOST_PTR);
}

cl_mem_flags wire_flags(cl_mem_flags flags) {
  return flags & ~kHostPointer;
}

cl_mem_flags with_access(cl_mem_flags flags) {
  return (flags & kAccess) == 0 ? flags | CL_MEM_READ_WRITE : flags;
}

namespace entry {

cl_int CL_API_CALL clGetMemObjectInfo(cl_mem memobj, cl_mem_info param_name,
                                      size_t param_value_size, void* param_value,
                                      size_t* param_value_size_ret) {
  return guarded([&] {
    Mem& mem = require<Mem>(memobj);
    const Info info(param_value_size, param_value, param_value_size_ret);
    switch (param_name) {
      case CL_MEM_TYPE:
        return info.value(mem.type());
      case CL_MEM_FLAGS:
        return info.value(mem.flags());
      case CL_MEM_SIZE:
        return info.value(mem.size());
      case CL_MEM_HOST_PTR:
        return info.value(mem.host_ptr());
      case CL_MEM_MAP_COUNT:
        return info.value(mem.map_count());
      case CL_MEM_REFERENCE_COUNT:
        return info.value(mem.references());
      case CL_MEM_CONTEXT:
        return info.value(mem.context().handle());
      case CL_MEM_ASSOCIATED_MEMOBJECT:
        return info.value(mem.parent() != nullptr ? mem.parent()->handle() : nullptr);
      case CL_MEM_OFFSET:
        return info.value(mem.offset());
      case CL_MEM_USES_SVM_POINTER:
        return info.value<cl_bool>(mem.svm() ? CL_TRUE : CL_FALSE);
      case CL_MEM_PROPERTIES:
        return info.array(std::span(mem.properties()));
      default:
        throw ApiError(CL_INVALID_VALUE);
    }
  });
}

cl_int CL_API_CALL clSetMemObjectDestructorCallback(cl_mem memobj, tessera_mem_callback pfn_notify,
                                                    void* user_data) {
  return guarded([&] {
    Mem& mem = require<Mem>(memobj);
    ensure(pfn_notify != nullptr, CL_INVALID_VALUE);
    mem.on_destroy(pfn_notify, user_data);
  });
}

}  // namespace entry
}  // namespace tessera::client

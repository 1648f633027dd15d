// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <memory>

#include "generated/client_entries.h"
#include "generated/messages_svm.h"
#include "opencl/client/mem.h"
#include "opencl/client/session.h"
#include "opencl/client/svm.h"

namespace tessera::client {
namespace {

// How many allocations are asked for until one lies where this process has room.
constexpr int kAttempts = 8;

std::uintptr_t address(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

cl_device_svm_capabilities capabilities(const Device& device) {
  return device.fact_or<cl_device_svm_capabilities>(CL_DEVICE_SVM_CAPABILITIES, 0);
}

void ensure_capable(const Context& context, cl_svm_mem_flags flags) {
  cl_device_svm_capabilities wanted = CL_DEVICE_SVM_COARSE_GRAIN_BUFFER;
  if ((flags & CL_MEM_SVM_FINE_GRAIN_BUFFER) != 0) wanted |= CL_DEVICE_SVM_FINE_GRAIN_BUFFER;
  if ((flags & CL_MEM_SVM_ATOMICS) != 0) wanted |= CL_DEVICE_SVM_ATOMICS;
  for (const Device* device : context.devices()) {
    ensure((capabilities(*device) & wanted) == wanted, CL_INVALID_OPERATION);
  }
}

void check_request(const Context& context, cl_svm_mem_flags flags, size_t size,
                   unsigned alignment) {
  ensure_mem_flags(flags, CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY |
                              CL_MEM_SVM_FINE_GRAIN_BUFFER | CL_MEM_SVM_ATOMICS);
  const bool fine = (flags & CL_MEM_SVM_FINE_GRAIN_BUFFER) != 0;
  ensure(fine || (flags & CL_MEM_SVM_ATOMICS) == 0, CL_INVALID_VALUE);
  ensure_capable(context, flags);
  ensure(size != 0 && size <= context.max_alloc(), CL_INVALID_VALUE);
  ensure(alignment == 0 || std::has_single_bit(alignment), CL_INVALID_VALUE);
  for (const Device* device : context.devices()) {
    ensure(alignment <= device->address_align_bits() / 8, CL_INVALID_VALUE);
  }
}

// The program may forget to free; the worker frees what is left when the context goes.
struct Watched {
  Session& session;
  wire::Id context;
};

void CL_CALLBACK forget_context(cl_context, void* user_data) {
  const std::unique_ptr<Watched> watched(static_cast<Watched*>(user_data));
  watched->session.svm().remove_all(watched->context);
}

void watch(Context& context) {
  if (!context.session().svm().is_new(context.id())) return;
  auto watched = std::unique_ptr<Watched>(new Watched{context.session(), context.id()});
  context.on_destroy(&forget_context, watched.get());
  watched.release();
}

void post_free(Session& session, wire::Id context, std::uintptr_t base) {
  wire::SvmFree message;
  message.context = context;
  message.address = base;
  session.post(message);
}

// Refused addresses are held until the search is over, so that the driver gives others.
class Search {
 public:
  Search(Context& context, const wire::SvmAlloc& message) : context_(context), message_(message) {}
  ~Search() {
    guarded([&] {
      for (const std::uintptr_t base : refused_) post_free(session(), context_.id(), base);
    });
  }
  Search(const Search&) = delete;
  Search& operator=(const Search&) = delete;

  void* run() {
    for (int i = 0; i < kAttempts; ++i) {
      const Reply reply = session().call(message_);
      ensure_success(reply.status);
      ensure(reply.values.size() == 2 && reply.values[0] != 0, CL_OUT_OF_RESOURCES);
      const std::uintptr_t base = reply.values[0];
      if (place(base, reply.values[1] != 0)) return reinterpret_cast<void*>(base);
      refused_.push_back(base);
    }
    throw ApiError(CL_OUT_OF_RESOURCES);
  }

 private:
  Session& session() const { return context_.session(); }

  bool place(std::uintptr_t base, bool shared) {
    Charge charge(session().account(), context_.gpus(), message_.size);
    UniqueFd pages = shared ? session().take_descriptor(base) : UniqueFd();
    if (shared && !pages) return false;
    if (shared) session().unfinished().note_visible_kernels();
    return session().svm().add(context_, base, message_.size, std::move(charge), std::move(pages));
  }

  Context& context_;
  const wire::SvmAlloc message_;
  std::vector<std::uintptr_t> refused_;
};

void* allocate(Context& context, cl_svm_mem_flags flags, size_t size, unsigned alignment) {
  check_request(context, flags, size, alignment);
  watch(context);
  wire::SvmAlloc message;
  message.context = context.id();
  message.flags = flags;
  message.size = size;
  message.alignment = alignment;
  return Search(context, message).run();
}

}  // namespace

bool some_device_has_svm(const Context& context) {
  const auto& devices = context.devices();
  return std::any_of(devices.begin(), devices.end(),
                     [](const Device* device) { return capabilities(*device) != 0; });
}

bool is_svm(const Context& context, const void* pointer, std::size_t size) {
  return context.session().svm().contains(context.id(), address(pointer), size);
}

namespace entry {

void* CL_API_CALL clSVMAlloc(cl_context context, cl_svm_mem_flags flags, size_t size,
                             unsigned int alignment) {
  return guarded_create(
      nullptr, [&] { return allocate(require<Context>(context), flags, size, alignment); });
}

void CL_API_CALL clSVMFree(cl_context context, void* svm_pointer) {
  guarded([&] {
    Context& owner = require<Context>(context);
    if (!owner.session().svm().remove(owner.id(), address(svm_pointer))) return;
    post_free(owner.session(), owner.id(), address(svm_pointer));
  });
}

}  // namespace entry
}  // namespace tessera::client

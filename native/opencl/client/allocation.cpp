// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/allocation.h"

#include <unistd.h>

#include <memory>
#include <vector>

#include "generated/messages_svm.h"

namespace tessera::client {
namespace {

// How many allocations are asked for until one lies where this process has room.
constexpr int kAttempts = 8;

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

std::uint64_t cost_of(const WantedAllocation& wanted, bool shares_pages) {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return usm_cost(is_unified(wanted.kind) && shares_pages, wanted.size, page);
}

// Refused addresses are held until the search is over, so that the driver gives others.
class Search {
 public:
  Search(Context& context, const WantedAllocation& wanted) : context_(context), wanted_(wanted) {}
  ~Search() {
    guarded([&] {
      for (const std::uintptr_t base : refused_) post_free(session(), context_.id(), base);
    });
  }
  Search(const Search&) = delete;
  Search& operator=(const Search&) = delete;

  void* run(const std::function<Reply()>& ask) {
    for (int i = 0; i < kAttempts; ++i) {
      const Reply reply = ask();
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
    Charge charge(session().account(), wanted_.charged, cost_of(wanted_, shared));
    UniqueFd pages = shared ? session().take_descriptor(base) : UniqueFd();
    if (shared && !pages) return false;
    if (!shared && needs_shared_pages(wanted_.kind)) return false;
    if (shared) session().unfinished().note_visible_kernels();
    const AllocationFacts facts{.kind = wanted_.kind,
                                .context = context_.id(),
                                .base = base,
                                .size = wanted_.size,
                                .device = wanted_.device,
                                .flags = wanted_.flags};
    return session().svm().add(facts, std::move(charge), std::move(pages));
  }

  Context& context_;
  const WantedAllocation& wanted_;
  std::vector<std::uintptr_t> refused_;
};

}  // namespace

void* allocate(Context& context, const WantedAllocation& wanted,
               const std::function<Reply()>& ask) {
  watch(context);
  return Search(context, wanted).run(ask);
}

void post_free(Session& session, wire::Id context, std::uintptr_t base) {
  wire::SvmFree message;
  message.context = context;
  message.address = base;
  session.post(message);
}

}  // namespace tessera::client

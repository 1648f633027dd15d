// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/object.h"

#include "opencl/client/session.h"

namespace tessera::client {

Object::Object(Kind kind, Session* session, Destroy destroy)
    : kind_(kind),
      id_(session != nullptr ? session->new_id() : 0),
      session_(session),
      destroy_(destroy) {}

bool Object::try_hold() noexcept {
  std::uint32_t holds = holds_.load(std::memory_order_relaxed);
  while (holds != 0) {
    if (holds_.compare_exchange_weak(holds, holds + 1, std::memory_order_acquire,
                                     std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void Object::drop() noexcept {
  if (holds_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (announced_) {
    session_->strike(*this);
    session_->release(id_);
  }
  destroy_(this);
}

void ensure_not_forked(const Object& object) {
  ensure(!object.has_session() || !object.session().forked_away(), CL_OUT_OF_RESOURCES);
}

}  // namespace tessera::client

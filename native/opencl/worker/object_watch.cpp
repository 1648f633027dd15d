// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/object_watch.h"

namespace tessera::worker {

ObjectWatch::ObjectWatch(Answers& answers) : shared_(std::make_shared<Shared>()) {
  shared_->answers = &answers;
}

ObjectWatch::~ObjectWatch() {
  const std::lock_guard lock(shared_->mutex);
  shared_->answers = nullptr;
}

// The lock is held.
void ObjectWatch::Shared::tell(wire::Id id) {
  if (watched.erase(id) == 0 || answers == nullptr) return;
  wire::ObjectGone message;
  message.target = id;
  try {
    answers->push(message);
    answers->channel().flush();
  } catch (const ChannelClosed&) {
    // The receiver finds out by itself; nothing may be thrown through the driver.
  }
}

void ObjectWatch::watch(wire::Id id, cl_mem object) {
  {
    const std::lock_guard lock(shared_->mutex);
    if (!shared_->watched.insert(id).second) return;
  }
  auto given = std::make_unique<Given>(Given{shared_, id});
  if (object != nullptr &&
      clSetMemObjectDestructorCallback(object, destroyed, given.get()) == CL_SUCCESS) {
    given.release();
    return;
  }
  const std::lock_guard lock(shared_->mutex);
  shared_->tell(id);
}

bool ObjectWatch::any() const {
  const std::lock_guard lock(shared_->mutex);
  return !shared_->watched.empty();
}

void ObjectWatch::pause(const std::function<bool(wire::Id)>& needed) {
  const std::lock_guard lock(shared_->mutex);
  for (const wire::Id id : std::set<wire::Id>(shared_->watched)) {
    if (needed(id)) {
      shared_->watched.erase(id);
    } else {
      shared_->tell(id);
    }
  }
}

void CL_CALLBACK ObjectWatch::destroyed(cl_mem, void* pointer) {
  const std::unique_ptr<Given> given(static_cast<Given*>(pointer));
  const std::lock_guard lock(given->shared->mutex);
  given->shared->tell(given->id);
}

}  // namespace tessera::worker

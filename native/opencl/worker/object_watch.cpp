// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/object_watch.h"

namespace tessera::worker {

ObjectWatch::ObjectWatch(Answers& answers, std::function<void()> before)
    : shared_(std::make_shared<Shared>()) {
  shared_->answers = &answers;
  shared_->before = std::move(before);
}

ObjectWatch::~ObjectWatch() {
  const std::lock_guard lock(shared_->mutex);
  shared_->answers = nullptr;
}

void ObjectWatch::Shared::tell(wire::Id id, std::unique_lock<std::mutex>& lock) {
  if (watched.erase(id) == 0 || answers == nullptr) return;
  Answers& to = *answers;
  lock.unlock();
  wire::ObjectGone message;
  message.target = id;
  try {
    before();
    to.push(message);
    to.channel().flush();
  } catch (const ChannelClosed&) {
    // The receiver finds out by itself; nothing may be thrown through the driver.
  }
  lock.lock();
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
  std::unique_lock lock(shared_->mutex);
  shared_->tell(id, lock);
}

bool ObjectWatch::any() const {
  const std::lock_guard lock(shared_->mutex);
  return !shared_->watched.empty();
}

void ObjectWatch::pause(const std::function<bool(wire::Id)>& needed) {
  std::unique_lock lock(shared_->mutex);
  for (const wire::Id id : std::set<wire::Id>(shared_->watched)) {
    if (needed(id)) {
      shared_->watched.erase(id);
    } else {
      shared_->tell(id, lock);
    }
  }
}

void CL_CALLBACK ObjectWatch::destroyed(cl_mem, void* pointer) {
  const std::unique_ptr<Given> given(static_cast<Given*>(pointer));
  std::unique_lock lock(given->shared->mutex);
  given->shared->tell(given->id, lock);
}

}  // namespace tessera::worker

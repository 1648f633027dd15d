// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CL/cl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>

#include "opencl/worker/answer.h"
#include "wire/codec.h"

namespace tessera::worker {

// Tells the client when the driver has destroyed a memory object: for destructor callbacks. By the
// driver's own callback, which knows best which commands still use the object.
class ObjectWatch {
 public:
  explicit ObjectWatch(Answers& answers);
  ~ObjectWatch();
  ObjectWatch(const ObjectWatch&) = delete;
  ObjectWatch& operator=(const ObjectWatch&) = delete;

  // object_gone will be sent; at once if the driver refuses, or for null.
  void watch(wire::Id id, cl_mem object);
  bool any() const;
  // The session is being suspended: what is `needed` is destroyed now and watched again after the
  // resume; all else is gone.
  void pause(const std::function<bool(wire::Id)>& needed);

 private:
  // Outlives the session as long as the driver may call back.
  struct Shared {
    std::mutex mutex;
    Answers* answers;  // null when the session is over
    std::set<wire::Id> watched;
    void tell(wire::Id id);
  };
  struct Given {
    std::shared_ptr<Shared> shared;
    wire::Id id;
  };
  static void CL_CALLBACK destroyed(cl_mem, void* given);
  const std::shared_ptr<Shared> shared_;
};

}  // namespace tessera::worker

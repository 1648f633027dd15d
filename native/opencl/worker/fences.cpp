// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/fences.h"

#include "opencl/worker/event_status.h"

namespace tessera::worker {

void Fences::add(cl_event event, std::uint64_t queue, bool in_order) {
  prune();
  std::erase_if(fences_,
                [&](const Fence& fence) { return fence.in_order && fence.queue == queue; });
  fences_.push_back({.event = Retained(event), .queue = queue, .in_order = in_order});
}

std::vector<Retained<cl_event>> Fences::before(std::uint64_t queue) {
  std::vector<Retained<cl_event>> events;
  if (fences_.empty()) return events;
  prune();
  for (const Fence& fence : fences_) {
    if (!fence.in_order || fence.queue != queue) events.emplace_back(fence.event.get());
  }
  return events;
}

void Fences::prune() {
  std::erase_if(fences_, [](const Fence& fence) { return has_ended(fence.event.get()); });
}

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "opencl/worker/event_status.h"
#include "opencl/worker/object_table.h"

namespace tessera::worker {

void CommandBufferEntry::add(RecordedCommand command, bool is_barrier,
                             std::span<const std::uint32_t> sync_points) {
  const auto place = static_cast<std::uint32_t>(commands.size());
  if (queue->out_of_order) {
    std::set<std::uint32_t> waits(sync_points.begin(), sync_points.end());
    if (is_barrier && waits.empty()) waits = last;
    if (barrier) waits.insert(*barrier);
    for (const std::uint32_t each : waits) last.erase(each);
    last.insert(place);
    if (is_barrier) barrier = place;
    command.waits.assign(waits.begin(), waits.end());
  }
  commands.push_back(std::move(command));
}

void CommandBufferEntry::add_launch(cl_event event, const QueueEntry& on) {
  const Id order = on.out_of_order ? 0 : on.id;
  if (order != 0) {
    std::erase_if(launches_, [&](const Launch& launch) { return launch.queue == order; });
  } else if (launches_.size() >= forget_at_) {
    pending();
    forget_at_ = launches_.size() * 2 + 64;
  }
  launches_.push_back({Retained(event), order});
}

bool CommandBufferEntry::pending() {
  std::erase_if(launches_, [](const Launch& launch) { return has_ended(launch.event.get()); });
  return !launches_.empty();
}

}  // namespace tessera::worker

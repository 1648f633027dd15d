// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/early_failures.h"

#include "opencl/worker/event_status.h"

namespace tessera::worker {
namespace {

constexpr std::chrono::seconds kTelling{1};

}  // namespace

void EarlyFailures::keep(Commands commands, std::vector<Retained<cl_event>> awaited) {
  kept_.push_back({std::move(commands), std::move(awaited), {}});
}

void EarlyFailures::prune(Clock::time_point now) {
  std::erase_if(kept_, [&](Kept& kept) {
    if (kept.awaited.empty()) return now - kept.ended >= kTelling;
    std::erase_if(kept.awaited, [](const auto& each) { return has_ended(each.get()); });
    if (kept.awaited.empty()) kept.ended = now;
    return false;
  });
}

}  // namespace tessera::worker

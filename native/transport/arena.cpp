// SPDX-License-Identifier: Apache-2.0
#include "transport/arena.h"

#include "transport/frame.h"

namespace tessera {

bool ArenaSender::try_take(std::size_t bytes, ArenaRun& run) {
  const std::size_t wanted = chunks_for(bytes);
  const std::scoped_lock lock(mutex_);
  collect();
  std::size_t free_here = 0;
  for (std::size_t chunk = 0; chunk < kChunks; ++chunk) {
    free_here = taken_[chunk] ? 0 : free_here + 1;
    if (free_here < wanted) continue;
    run = {static_cast<std::uint32_t>(chunk + 1 - wanted), static_cast<std::uint32_t>(wanted)};
    set(run, true);
    return true;
  }
  return false;
}

void ArenaSender::sent(ArenaRun run) {
  const std::scoped_lock lock(mutex_);
  clear_consumed(marks_[run.first]);
  in_flight_.push_back(run);
}

void ArenaSender::give_back(ArenaRun run) noexcept {
  const std::scoped_lock lock(mutex_);
  set(run, false);
}

void ArenaSender::collect() noexcept {
  for (std::size_t i = 0; i < in_flight_.size();) {
    if (!is_consumed(marks_[in_flight_[i].first])) {
      ++i;
      continue;
    }
    set(in_flight_[i], false);
    in_flight_[i] = in_flight_.back();
    in_flight_.pop_back();
  }
}

void ArenaSender::set(ArenaRun run, bool taken) noexcept {
  for (std::size_t chunk = run.first; chunk < run.first + run.count; ++chunk) taken_[chunk] = taken;
}

ArenaRun checked_run(std::uint64_t offset, std::size_t bytes) {
  require(offset % kChunkBytes == 0 && offset < kArenaBytes && bytes >= 1 &&
              bytes <= kArenaBytes - offset,
          "a bulk lies outside the arena");
  return {static_cast<std::uint32_t>(offset / kChunkBytes),
          static_cast<std::uint32_t>(chunks_for(bytes))};
}

}  // namespace tessera

// SPDX-License-Identifier: Apache-2.0
#include "gatekeeper/tenancy.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

namespace tessera::gatekeeper {

Tenancy::Tenancy(const Options& options) {
  std::vector<Place> places;
  for (std::size_t i = 0; i < options.gpus.size(); ++i) {
    const Gpu& gpu = options.gpus[i];
    if (gpu.board.empty()) continue;
    BoardPage board = BoardPage::attach(gpu.board);
    places.push_back({i, std::move(board), kMaxTenants});
  }
  places_ = std::move(places);
  try {
    for (auto& place : places_) {
      place.tenant = place.board.register_tenant(options.lease, options.weight,
                                                 options.gpus[place.gpu].share_ppm);
    }
  } catch (...) {
    leave();
    throw;
  }
}

Tenancy::~Tenancy() {
  leave();
}

void Tenancy::leave() {
  for (auto& place : places_) {
    if (place.tenant != kMaxTenants) place.board.unregister_tenant(place.tenant);
  }
  places_.clear();
}

std::optional<Tenancy::PlaceOn> Tenancy::place_on(std::size_t gpu) const {
  const auto at = std::ranges::find(places_, gpu, &Place::gpu);
  if (at == places_.end()) return std::nullopt;
  return PlaceOn{at->board.fd(), at->tenant};
}

std::vector<std::string> Tenancy::for_worker() const {
  std::vector<std::string> arguments;
  for (const auto& place : places_) {
    ::fcntl(place.board.fd(), F_SETFD, 0);
    arguments.insert(arguments.end(), {"--board", std::to_string(place.gpu) + ":" +
                                                      std::to_string(place.board.fd()) + ":" +
                                                      std::to_string(place.tenant)});
  }
  return arguments;
}

void Tenancy::free_seats_of(std::int32_t worker_pid) {
  for (auto& place : places_) place.board.free_seats_of(worker_pid);
}

}  // namespace tessera::gatekeeper

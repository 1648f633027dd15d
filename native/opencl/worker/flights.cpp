// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/flights.h"

#include "opencl/worker/event_status.h"

namespace tessera::worker {
namespace {

constexpr std::size_t kOthers = 16;

}  // namespace

Flights::~Flights() {
  for (const Flight& flight : flights_) clReleaseEvent(flight.event);
}

void Flights::add(const Flight& flight) {
  clRetainEvent(flight.event);
  if (spare_.empty()) {
    flights_.push_back(flight);
  } else {
    spare_.front() = flight;
    flights_.splice(flights_.end(), spare_, spare_.begin());
  }
  estimated_ns_ += flight.estimate_ns;
}

std::vector<cl_event> Flights::look(const Ended& ended) {
  std::vector<cl_event> running;
  const auto behind = look_from(flights_.begin(), kOldest, ended, &running);
  if (behind == flights_.end()) return running;
  if (others_ == flights_.end()) others_ = behind;
  others_ = look_from(others_, kOthers, ended, nullptr);
  return running;
}

// Until `most` have been found running. Returns the one behind them.
Flights::List::iterator Flights::look_from(List::iterator at, std::size_t most, const Ended& ended,
                                           std::vector<cl_event>* running) {
  while (at != flights_.end() && most != 0) {
    const auto flight = at++;
    const cl_int status = status_of(flight->event);
    if (status > CL_COMPLETE) {
      --most;
      if (running != nullptr) running->push_back(flight->event);
    } else {
      ended(*flight, status);
      drop(flight);
    }
  }
  return at;
}

void Flights::drop(List::iterator at) {
  if (at == others_) ++others_;
  estimated_ns_ -= at->estimate_ns;
  clReleaseEvent(at->event);
  if (spare_.size() >= kOldest) {
    flights_.erase(at);
    return;
  }
  *at = Flight{};
  spare_.splice(spare_.end(), flights_, at);
}

}  // namespace tessera::worker

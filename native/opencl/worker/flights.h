// SPDX-License-Identifier: Apache-2.0
//
// What a gate has under way, the oldest first, without those that are known to have ended.
//
// There may be very many, and they may end in any order. So a look asks the driver about a bounded
// number of those that run: always about the oldest, because most queues have an order, and about
// a few of the others, going on each time where the last look stopped. A list, because what has
// ended leaves from anywhere in it; its nodes are used again.
#pragma once

#include <CL/cl.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <vector>

#include "opencl/worker/flight.h"

namespace tessera::worker {

class Flights {
 public:
  // The oldest that a look finds running, at most.
  static constexpr std::size_t kOldest = 64;

  Flights() = default;
  Flights(const Flights&) = delete;
  Flights& operator=(const Flights&) = delete;
  ~Flights();

  bool empty() const { return flights_.empty(); }
  std::uint64_t estimated_ns() const { return estimated_ns_; }
  // Null where there is none.
  cl_event newest() const { return flights_.empty() ? nullptr : flights_.back().event; }

  // Takes one reference of the event of its own.
  void add(const Flight& flight);

  // Calls `ended` for those that it finds ended, and drops them. Returns the oldest of the others.
  using Ended = std::function<void(const Flight& flight, cl_int status)>;
  std::vector<cl_event> look(const Ended& ended);

 private:
  using List = std::list<Flight>;
  List::iterator look_from(List::iterator at, std::size_t most, const Ended& ended,
                           std::vector<cl_event>* running);
  void drop(List::iterator at);

  List flights_;
  List spare_;
  List::iterator others_ = flights_.end();  // where the next look goes on, or the end
  std::uint64_t estimated_ns_ = 0;
};

}  // namespace tessera::worker

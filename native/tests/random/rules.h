// SPDX-License-Identifier: Apache-2.0
//
// Whether the standard determines what a program computes. The generator adds a step only if this
// says so, and the reducer takes one away only if it still does.
//
// What the embedded device (PoCL 3.1) gets wrong by itself is left out too, unless `strict` is
// among the kinds; each has a rule of its own:
//   - a blocking call finishes its whole queue, so it hangs beside what waits for a user event,
//   also
//     in a queue without order; so does a marker or barrier there whose events are complete by
//     then;
//   - a second barrier with a list makes it forget the first one;
//   - an event that fails while anything else runs or is enqueued, or whose dependants have no
//   event
//     or lost it, ends the process; nobody is called back for a dependant, and a blocking call
//     hangs;
//   - it takes one mapping for another at the same address, and crashes with two of an image;
//   - it crashes where a rectangle or an image is copied from or to a sub-buffer, and where an
//   image
//     made of a buffer is filled.
#pragma once

#include <string>
#include <vector>

#include "tests/random/order.h"
#include "tests/random/program.h"

namespace tessera::random {

// Bytes that a step reads or writes. A mapping is memory of its own, from the map to the unmap.
struct Access {
  int memory = 0;  // an object that has no parent, or mapping_of(step)
  int handle = 0;  // by which object it is reached
  std::size_t low = 0, high = 0;
  bool write = false;
};

inline int mapping_of(int map_step) {
  return -1 - map_step;
}

std::vector<Access> accesses(const Plan& plan, const Order& order, int step);

// Earlier steps that touch the same bytes as `step` and are not before it.
std::vector<int> races_of(const Plan& plan, const Order& order, const Kinds& kinds, int step);

// What is wrong with the steps from `first` on, beside all before them; empty: nothing.
std::string fault_in(const Plan& plan, const Order& order, const Kinds& kinds, int first);
// The same for a whole program, whose events are all set and whose mappings all end.
std::string fault_in(const Plan& plan, const Kinds& kinds);

// The step that unmaps `map`, or -1.
int unmap_of(const Plan& plan, int map);

}  // namespace tessera::random

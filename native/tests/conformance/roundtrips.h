// SPDX-License-Identifier: Apache-2.0
//
// Rows of the round-trip test: what a call may cost in waits for the worker.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/conformance/world.h"

namespace tessera::conformance {

// `prepare` runs before the counters are read and `after` when they have been read again; neither
// counts.
struct CountedCall {
  std::string name;  // the entry point, or ENTRY:VARIANT
  unsigned limit;    // round trips at most
  std::function<void(World&)> run;
  std::function<void(World&)> prepare = {};
  std::function<void(World&)> after = {};
  unsigned messages = 0;  // exactly; 0: as many as it likes
};

// Things that the rows use besides the world, made before anything is counted.
struct Stage {
  Program source;       // built, with kernel argument facts
  Kernel kernel;        // every(global int*, local int*, int, image, sampler)
  Mem host_buffer;      // in use of host memory
  void* svm = nullptr;  // kBytes, or nullptr where the device has none
  std::vector<unsigned char> room;
};
Stage& stage(World& w);

std::vector<CountedCall> posted_objects();
std::vector<CountedCall> posted_commands();
std::vector<CountedCall> command_buffer_calls();
std::vector<CountedCall> immutable_queries();
std::vector<CountedCall> waiting_calls();

}  // namespace tessera::conformance

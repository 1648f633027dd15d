// SPDX-License-Identifier: Apache-2.0
//
// Makes a session anew from its saved state.
//
// Messages go through the session's own handlers, with answers held back, so that there is one way
// to make an object and one place that judges what a message asks for: a state that somebody has
// changed can do no more than a hostile client. The first thing that does not succeed ends the
// restoring; what was made until then is given back by the caller.
//
// The session's lock is held.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "opencl/worker/copy_under_way.h"
#include "opencl/worker/object_table.h"
#include "opencl/worker/state_file.h"
#include "opencl/worker/state_frames.h"

namespace tessera::worker {

class Session;
struct Device;

class Restorer {
 public:
  Restorer(Session& session, int fd) : session_(session), fd_(fd) {}

  // Reads all of the state and compares what it needs with `devices`, and with what the lease has
  // left; touches nothing. Throws StateError.
  void check(const std::vector<Device>& devices, const std::array<std::uint64_t, kMaxGpus>& left);
  // Throws StateError; the session is then half made.
  void replay();

 private:
  void apply(const Frame& frame, CopyUnderWay& copy);
  void message(const Frame& frame);
  // The copy to the device follows `copy`, and reads the frame until it ends.
  void contents(const Frame& frame, const ContentsPlace& place, CopyUnderWay& copy);
  static void end_copy(CopyUnderWay& copy);
  void poisoned(const PoisonedObject& object);
  void ended(const EndedEvent& event);
  void pending(const PendingEvent& event);
  void queue(const QueueCounters& counters);
  void unset(const UnsetArgument& argument);

  Session& session_;
  int fd_;
};

}  // namespace tessera::worker

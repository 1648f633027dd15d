// SPDX-License-Identifier: Apache-2.0
//
// Launches a command buffer: its commands go to the driver one by one, with the order that their
// queue and their sync points ask for, and one event ends after all of them.
//
// See docs/design/0013-command-buffers.md for why the driver's own command buffers are not used.
// Out of order, barriers and the end are commands that do nothing (ContextEntry::nothing): the
// driver's barriers would hold back what else is in the queue.
#pragma once

#include <CL/cl.h>

#include <memory>
#include <span>
#include <vector>

#include "opencl/worker/command.h"

namespace tessera::worker {

class CommandBufferLaunch {
 public:
  // `nothing`: a buffer for commands that do nothing, out of order.
  CommandBufferLaunch(Command& command, const CommandBufferEntry& buffer, cl_mem nothing)
      : command_(command), buffer_(buffer), nothing_(nothing) {}

  // As Command::run wants it: enqueues all, behind the `count` events of `list`. What a driver
  // took before it refused one runs all the same.
  cl_int run(cl_command_queue queue, cl_uint count, const cl_event* list, cl_event* event);

 private:
  struct Release {
    void operator()(cl_event event) const { clReleaseEvent(event); }
  };
  using Event = std::unique_ptr<std::remove_pointer_t<cl_event>, Release>;

  cl_int run_in_order(std::span<const cl_event> list, cl_event* event);
  cl_int run_by_sync_points(std::span<const cl_event> list, cl_event* event);
  // An event after `waits`, or none after nothing.
  cl_int join(std::span<const cl_event> waits, Event* event);
  cl_int enqueue(const RecordedCommand& recorded, std::span<const cl_event> waits, Event* event);
  cl_int enqueue_nothing(std::span<const cl_event> waits, Event* event);
  // What the commands at `places` end with; `list` for those that wait for nothing themselves.
  std::vector<cl_event> ends_of(std::span<const std::uint32_t> places,
                                std::span<const cl_event> list) const;

  Command& command_;
  const CommandBufferEntry& buffer_;
  const cl_mem nothing_;
  cl_command_queue queue_ = nullptr;
  std::vector<Event> ends_;  // out of order, by place; null: as soon as the list of the launch
};

}  // namespace tessera::worker

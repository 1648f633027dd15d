// SPDX-License-Identifier: Apache-2.0
//
// Moving user data between a message's bulk and the driver.
#pragma once

#include <CL/cl.h>

#include <cstdint>
#include <functional>

#include "opencl/read_wait.h"
#include "opencl/worker/command.h"

namespace tessera::worker {

// The driver's non-blocking enqueue of a transfer to or from `data`.
using Enqueue = std::function<cl_int(cl_command_queue queue, std::byte* data, cl_uint count,
                                     const cl_event* list, cl_event* event)>;

struct ReadRequest {
  std::uint64_t size;    // bytes; the caller has checked it against the object
  std::uint64_t ticket;  // for read_done
  ReadWait wait;
};

// Throws ProtocolError for a number that is none.
ReadWait read_wait(std::uint32_t number);

// Reads `size` bytes and answers by read_done, also when the command fails. A size beyond kMaxBulk
// throws ProtocolError. Blocking reads wait for the driver without lock and token, so this is the
// last thing that a handler does.
void read_into_bulk(Command& command, const ReadRequest& request, const Enqueue& enqueue);

// Enqueues a write of the message's bulk, which must have `size` bytes (else ProtocolError), and
// keeps it until the driver has read it. `fence`: the client takes the write for complete.
void write_from_bulk(Command& command, Incoming& incoming, std::uint64_t size, bool fence,
                     const Enqueue& enqueue);

}  // namespace tessera::worker

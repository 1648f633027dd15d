// SPDX-License-Identifier: Apache-2.0
//
// What the gatekeeper asks of a worker, over a socket that the two share since the worker's start.
//
// One packet is one request, a line of words; one packet is its answer, `ok NUMBERS` or `error NAME
// TEXT`. Requests come one after another, each after the answer of the one before.
//
//   check                        -> ok BYTES DEVICE OBJECTS   (StateNeeds)
//   suspend memory LEASE         -> the same
//   suspend disk LEASE PATH      -> the same; PATH may have spaces
//   resume P:D:BYTES[@TENANT]... -> ok; with a descriptor of the board for each GPU that has a
//   tenant
#pragma once

#include "base/unique_fd.h"

namespace tessera::worker {

class Session;

// Answers requests on a thread of its own, until the other end is gone.
void serve_control(UniqueFd socket, Session& session);

}  // namespace tessera::worker

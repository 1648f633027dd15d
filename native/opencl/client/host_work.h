// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CL/cl.h>

#include <functional>

namespace tessera::client {

// Enqueues a command whose work this process does: `work` runs on the thread of callbacks once the
// wait-list, and on an in-order queue all commands before, are done; the commands behind and
// `event` wait for it. If the wait-list fails, `work` is left out and the command fails. Throws
// ApiError.
void enqueue_host_work(cl_command_queue queue, cl_command_type type, cl_uint count,
                       const cl_event* wait_list, cl_event* event, std::function<void()> work);

}  // namespace tessera::client

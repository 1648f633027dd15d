// SPDX-License-Identifier: Apache-2.0
//
// What the launch of a kernel and its recording in a command buffer have in common.
#pragma once

#include "generated/messages_kernel.h"
#include "opencl/client/command.h"
#include "opencl/client/kernel.h"
#include "opencl/client/ndrange_rules.h"

namespace tessera::client {

namespace check {
// Every error that the standard gives at the call. Throws ApiError.
Kernel& launch(const Command& command, cl_kernel handle, const NdRange& range);
}  // namespace check

// Without the arguments that the worker has not got yet (launch_arguments.h).
wire::EnqueueNdRange launch_message(const Kernel& kernel, const NdRange& range);

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CL/cl.h>

#include <memory>

#include "generated/messages_svm.h"
#include "opencl/worker/memory_account.h"
#include "transport/channel.h"

namespace tessera::worker {

struct SvmMemory {
  std::shared_ptr<void> memory;  // null: the driver has no room
  bool shared = false;           // the client has the same pages
};

// Whether memory of this device can be the client's as well: the device computes on processors of
// this machine, and the channel reaches a client on it.
bool shares_pages(const Channel& channel, cl_device_id device);

// Memory for an allocation, charged as long as it lives. With `share` its pages are passed to the
// client under the tag of their address; what must be shared and cannot be gives no memory.
SvmMemory allocate_svm(cl_context context, const wire::SvmAlloc& message,
                       std::unique_ptr<Charge> charge, Channel& channel, bool share);

}  // namespace tessera::worker

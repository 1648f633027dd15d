// SPDX-License-Identifier: Apache-2.0
//
// What a launch of a kernel and its recording in a command buffer have in common.
#pragma once

#include "generated/messages_kernel.h"
#include "opencl/worker/kernel_facts.h"
#include "opencl/worker/object_table.h"

namespace tessera::worker {

// Whether all arguments are set, to objects that live, and local memory suffices. The driver holds
// no reference of what a kernel's arguments name: it would follow a handle that was released. So
// each is looked at before each launch, which costs a load, not a lookup.
cl_int check_arguments(const KernelEntry& kernel, const WorkGroupFacts& on);
// Whether the kernel may be launched as it is now on the device with this number.
cl_int check_launch(const wire::EnqueueNdRange& m, const KernelEntry& kernel, std::uint32_t device);
// Never 0; wraps around for a launch that no device takes.
std::uint64_t work_items(const wire::EnqueueNdRange& m);

}  // namespace tessera::worker

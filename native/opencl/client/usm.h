// SPDX-License-Identifier: Apache-2.0
//
// Unified shared memory (cl_intel_unified_shared_memory).
//
// Allocations are kept with those of shared virtual memory (svm_table.h). Memory of the host, and
// memory that host and device share, are the worker's own pages; where that cannot be, the device
// announces none. Memory of a device is the worker's pages too where it can be. Elsewhere it is an
// address and no more: its place is taken in this process, so that no other pointer of the program
// has it, and nothing can be read there.
#pragma once

#include <CL/cl.h>
#include <CL/cl_ext.h>

#include <cstddef>

#include "opencl/allocation_kind.h"
#include "opencl/client/kernel.h"

namespace tessera::client {

bool some_device_has_usm(const Context& context);
// Whether the device has allocations of this kind.
bool has_usm(const Device& device, AllocationKind kind);
// A kernel's argument may point there.
bool is_usm_pointer(const Context& context, const void* pointer);

bool is_usm_exec_info(cl_kernel_exec_info param);
// clSetKernelExecInfo with one of those. Throws ApiError.
void set_usm_exec_info(Kernel& kernel, cl_kernel_exec_info param, std::size_t size,
                       const void* value);

}  // namespace tessera::client

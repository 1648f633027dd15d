// SPDX-License-Identifier: Apache-2.0
//
// Copying and filling memory that has an address: what clEnqueueSVMMemcpy and clEnqueueMemcpyINTEL,
// clEnqueueSVMMemFill and clEnqueueMemFillINTEL have in common. What a pointer points to decides
// which process copies: allocations of the context are the worker's, everything else is the
// program's.
#pragma once

#include <CL/cl.h>

#include <cstddef>
#include <memory>

#include "opencl/client/command.h"

namespace tessera::client {

inline std::uint64_t address_of(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

struct Copy {
  cl_command_queue queue;
  cl_command_type type;
  void* to;
  const void* from;
  size_t size;
  cl_uint count;
  const cl_event* wait_list;
};

// At least one byte. Throws ApiError.
void enqueue_copy(const Copy& copy, bool blocking, cl_event* event);

// All of it lies in one allocation, or none of it in any that the program cannot read. Throws
// ApiError(CL_INVALID_VALUE).
void ensure_copyable(const Context& context, const void* pointer, size_t size);

struct Fill {
  void* to;
  const void* pattern;
  size_t pattern_size;
  size_t size;
};

// Throws ApiError(CL_INVALID_VALUE).
void enqueue_fill(Command& command, const Fill& fill);

// Between the memory of an allocation and the program's.
std::shared_ptr<const ReadState> read_allocation(Command& command, const void* from, void* to,
                                                 size_t size, bool blocking);
void write_allocation(Command& command, const void* from, const void* to, size_t size);

// Posts by `enqueue(event)`, and waits for the end if the program wants that.
void enqueue_and_wait(bool blocking, cl_event* event,
                      const std::function<void(cl_event*)>& enqueue);

}  // namespace tessera::client

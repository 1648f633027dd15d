// SPDX-License-Identifier: Apache-2.0
//
// cl_khr_command_buffer, whose functions have no slot in the dispatch table: by their names, with
// the parameters of revisions before 0.9.5.
#pragma once

#include "tests/conformance/world.h"

namespace tessera::conformance {

#define TESSERA_SYNC cl_uint, const cl_sync_point_khr*, cl_sync_point_khr*, cl_mutable_command_khr*

struct CommandBuffers {
  cl_command_buffer_khr (*create)(cl_uint, const cl_command_queue*, const cl_properties*, cl_int*);
  cl_int (*finalize)(cl_command_buffer_khr);
  cl_int (*retain)(cl_command_buffer_khr);
  cl_int (*release)(cl_command_buffer_khr);
  cl_int (*enqueue)(cl_uint, cl_command_queue*, cl_command_buffer_khr, cl_uint, const cl_event*,
                    cl_event*);
  cl_int (*barrier)(cl_command_buffer_khr, cl_command_queue, TESSERA_SYNC);
  cl_int (*copy_buffer)(cl_command_buffer_khr, cl_command_queue, cl_mem, cl_mem, size_t, size_t,
                        size_t, TESSERA_SYNC);
  cl_int (*copy_rect)(cl_command_buffer_khr, cl_command_queue, cl_mem, cl_mem, const size_t*,
                      const size_t*, const size_t*, size_t, size_t, size_t, size_t, TESSERA_SYNC);
  cl_int (*copy_buffer_to_image)(cl_command_buffer_khr, cl_command_queue, cl_mem, cl_mem, size_t,
                                 const size_t*, const size_t*, TESSERA_SYNC);
  cl_int (*copy_image)(cl_command_buffer_khr, cl_command_queue, cl_mem, cl_mem, const size_t*,
                       const size_t*, const size_t*, TESSERA_SYNC);
  cl_int (*copy_image_to_buffer)(cl_command_buffer_khr, cl_command_queue, cl_mem, cl_mem,
                                 const size_t*, const size_t*, size_t, TESSERA_SYNC);
  cl_int (*fill_buffer)(cl_command_buffer_khr, cl_command_queue, cl_mem, const void*, size_t,
                        size_t, size_t, TESSERA_SYNC);
  cl_int (*fill_image)(cl_command_buffer_khr, cl_command_queue, cl_mem, const void*, const size_t*,
                       const size_t*, TESSERA_SYNC);
  cl_int (*nd_range)(cl_command_buffer_khr, cl_command_queue, const cl_properties*, cl_kernel,
                     cl_uint, const size_t*, const size_t*, const size_t*, TESSERA_SYNC);
  cl_int (*info)(cl_command_buffer_khr, cl_uint, size_t, void*, size_t*);
};

#undef TESSERA_SYNC

// Of the platform. Throws Skip where the device does not announce the extension, and Failure where
// it does and a function is missing.
const CommandBuffers& command_buffers(const World& w);

cl_int release_command_buffer(cl_command_buffer_khr buffer);
using CommandBuffer = Handle<cl_command_buffer_khr, release_command_buffer>;

// In the state in which commands are recorded; `flags` as CL_COMMAND_BUFFER_FLAGS_KHR.
CommandBuffer new_command_buffer(const World& w, cl_command_queue queue, cl_properties flags = 0);

}  // namespace tessera::conformance

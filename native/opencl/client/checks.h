// SPDX-License-Identifier: Apache-2.0
//
// The errors that the standard lists for each generated command, beyond what Command finds for all.
// Each function throws ApiError. Those of images are in the files of images.
#pragma once

#include <CL/cl.h>

#include "opencl/client/command.h"
#include "opencl/client/mem.h"

namespace tessera::client::check {

void copy_buffer(Command& command, Mem& source, Mem& destination, size_t source_offset,
                 size_t destination_offset, size_t size);
void copy_buffer_rect(Command& command, Mem& source, Mem& destination, const size_t* source_origin,
                      const size_t* destination_origin, const size_t* region,
                      size_t& source_row_pitch, size_t& source_slice_pitch,
                      size_t& destination_row_pitch, size_t& destination_slice_pitch);
void fill_buffer(Command& command, Mem& buffer, const void* pattern, size_t pattern_size,
                 size_t offset, size_t size);
void migrate_mem_objects(Command& command, cl_uint count, const cl_mem* objects,
                         cl_mem_migration_flags flags);
void marker_with_wait_list(Command& command);
void barrier_with_wait_list(Command& command);

void fill_image(Command& command, Mem& image, const void* color, const size_t* origin,
                const size_t* region);
void copy_image(Command& command, Mem& source, Mem& destination, const size_t* source_origin,
                const size_t* destination_origin, const size_t* region);
void copy_image_to_buffer(Command& command, Mem& source, Mem& destination, const size_t* origin,
                          const size_t* region, size_t offset);
void copy_buffer_to_image(Command& command, Mem& source, Mem& destination, size_t offset,
                          const size_t* origin, const size_t* region);

// Shared with the written commands.
// The object is a buffer (CL_INVALID_MEM_OBJECT), and a sub-buffer suits the queue's device
// (CL_MISALIGNED_SUB_BUFFER_OFFSET).
void buffer(const Command& command, const Mem& mem);
// The object is an image (CL_INVALID_MEM_OBJECT) that the queue's device takes
// (CL_INVALID_OPERATION, CL_INVALID_IMAGE_SIZE), and the region lies in it (CL_INVALID_VALUE).
void image(const Command& command, const Mem& mem);
void image_region(const Mem& image, const size_t* origin, const size_t* region);
// offset + size lies in the buffer (CL_INVALID_VALUE).
void range(const Mem& buffer, size_t offset, size_t size);
// A box in a buffer or in host memory; fills in pitches that are 0 (CL_INVALID_VALUE).
void box_pitches(const size_t* region, size_t& row_pitch, size_t& slice_pitch);
// The box lies in `size` bytes (CL_INVALID_VALUE).
void box_range(const size_t* origin, const size_t* region, size_t row_pitch, size_t slice_pitch,
               size_t size);
// CL_MEM_HOST_* allows the program to read or write (CL_INVALID_OPERATION).
void host_may_read(const Mem& mem);
// Of a mapping, and what the host may do with it.
void map_flags(const Mem& mem, cl_map_flags flags);
void host_may_write(const Mem& mem);

}  // namespace tessera::client::check

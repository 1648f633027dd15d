// SPDX-License-Identifier: Apache-2.0
#include "opencl/null/engine.h"
#include "opencl/null/region.h"

using namespace tessera::null;

namespace {

using Held = Ref<_cl_mem>;

struct Rect {
  std::size_t offset;
  Pitch pitch;
};

// Where a rectangle begins and how it is pitched, with defaults for 0; false if the pitches are too
// small, or the rectangle ends beyond `limit` bytes.
bool lay_out(const Size3& origin, const Size3& box, std::size_t row, std::size_t slice,
             std::size_t limit, Rect& rect) {
  if (box[0] == 0 || box[1] == 0 || box[2] == 0) return false;
  rect.pitch.row = row == 0 ? box[0] : row;
  if (rect.pitch.row < box[0]) return false;
  std::size_t least = 0, end = 0, part = 0;
  if (__builtin_mul_overflow(box[1], rect.pitch.row, &least)) return false;
  rect.pitch.slice = slice == 0 ? least : slice;
  if (rect.pitch.slice < least || rect.pitch.slice % rect.pitch.row != 0) return false;
  if (__builtin_mul_overflow(origin[2], rect.pitch.slice, &rect.offset) ||
      __builtin_mul_overflow(origin[1], rect.pitch.row, &part) ||
      __builtin_add_overflow(rect.offset, part, &rect.offset) ||
      __builtin_add_overflow(rect.offset, origin[0], &rect.offset)) {
    return false;
  }
  if (__builtin_mul_overflow(box[2] - 1, rect.pitch.slice, &end) ||
      __builtin_mul_overflow(box[1] - 1, rect.pitch.row, &part) ||
      __builtin_add_overflow(end, part, &end) || __builtin_add_overflow(end, box[0], &end) ||
      __builtin_add_overflow(end, rect.offset, &end)) {
    return false;
  }
  return end <= limit;
}

constexpr std::size_t kNoLimit = SIZE_MAX / 2;

}  // namespace

extern "C" {

cl_int CL_API_CALL clEnqueueReadBuffer(cl_command_queue queue, cl_mem mem, cl_bool blocking,
                                       size_t offset, size_t size, void* to, cl_uint count,
                                       const cl_event* list, cl_event* event) {
  if (const cl_int error = check_memory(queue, mem, false)) return error;
  if (to == nullptr || !inside(mem, offset, size)) return CL_INVALID_VALUE;
  return submit({queue, CL_COMMAND_READ_BUFFER, count, list, event, blocking == CL_TRUE},
                [held = Held(mem), offset, size, to] {
                  std::memcpy(to, held->at(offset), size);
                  return CL_COMPLETE;
                });
}

cl_int CL_API_CALL clEnqueueWriteBuffer(cl_command_queue queue, cl_mem mem, cl_bool blocking,
                                        size_t offset, size_t size, const void* from, cl_uint count,
                                        const cl_event* list, cl_event* event) {
  if (const cl_int error = check_memory(queue, mem, false)) return error;
  if (from == nullptr || !inside(mem, offset, size)) return CL_INVALID_VALUE;
  return submit({queue, CL_COMMAND_WRITE_BUFFER, count, list, event, blocking == CL_TRUE},
                [held = Held(mem), offset, size, from] {
                  std::memcpy(held->at(offset), from, size);
                  return CL_COMPLETE;
                });
}

cl_int CL_API_CALL clEnqueueReadBufferRect(cl_command_queue queue, cl_mem mem, cl_bool blocking,
                                           const size_t* buffer_origin, const size_t* host_origin,
                                           const size_t* region, size_t buffer_row,
                                           size_t buffer_slice, size_t host_row, size_t host_slice,
                                           void* to, cl_uint count, const cl_event* list,
                                           cl_event* event) {
  if (const cl_int error = check_memory(queue, mem, false)) return error;
  if (to == nullptr || buffer_origin == nullptr || host_origin == nullptr || region == nullptr) {
    return CL_INVALID_VALUE;
  }
  Rect in{}, out{};
  const Size3 box = size3(region);
  if (!lay_out(size3(buffer_origin), box, buffer_row, buffer_slice, mem->size, in) ||
      !lay_out(size3(host_origin), box, host_row, host_slice, kNoLimit, out)) {
    return CL_INVALID_VALUE;
  }
  return submit({queue, CL_COMMAND_READ_BUFFER_RECT, count, list, event, blocking == CL_TRUE},
                [held = Held(mem), in, out, box, to] {
                  copy_box(static_cast<std::byte*>(to) + out.offset, out.pitch, held->at(in.offset),
                           in.pitch, box);
                  return CL_COMPLETE;
                });
}

cl_int CL_API_CALL clEnqueueWriteBufferRect(cl_command_queue queue, cl_mem mem, cl_bool blocking,
                                            const size_t* buffer_origin, const size_t* host_origin,
                                            const size_t* region, size_t buffer_row,
                                            size_t buffer_slice, size_t host_row, size_t host_slice,
                                            const void* from, cl_uint count, const cl_event* list,
                                            cl_event* event) {
  if (const cl_int error = check_memory(queue, mem, false)) return error;
  if (from == nullptr || buffer_origin == nullptr || host_origin == nullptr || region == nullptr) {
    return CL_INVALID_VALUE;
  }
  Rect in{}, out{};
  const Size3 box = size3(region);
  if (!lay_out(size3(buffer_origin), box, buffer_row, buffer_slice, mem->size, out) ||
      !lay_out(size3(host_origin), box, host_row, host_slice, kNoLimit, in)) {
    return CL_INVALID_VALUE;
  }
  return submit({queue, CL_COMMAND_WRITE_BUFFER_RECT, count, list, event, blocking == CL_TRUE},
                [held = Held(mem), in, out, box, from] {
                  copy_box(held->at(out.offset), out.pitch,
                           static_cast<const std::byte*>(from) + in.offset, in.pitch, box);
                  return CL_COMPLETE;
                });
}

cl_int CL_API_CALL clEnqueueFillBuffer(cl_command_queue queue, cl_mem mem, const void* pattern,
                                       size_t pattern_size, size_t offset, size_t size,
                                       cl_uint count, const cl_event* list, cl_event* event) {
  if (const cl_int error = check_memory(queue, mem, false)) return error;
  const bool power = pattern_size != 0 && (pattern_size & (pattern_size - 1)) == 0;
  if (pattern == nullptr || !power || pattern_size > 128 || offset % pattern_size != 0 ||
      size % pattern_size != 0 || !inside(mem, offset, size)) {
    return CL_INVALID_VALUE;
  }
  const auto* const first = static_cast<const std::byte*>(pattern);
  return submit({queue, CL_COMMAND_FILL_BUFFER, count, list, event},
                [held = Held(mem), offset, size,
                 bytes = std::vector<std::byte>(first, first + pattern_size)] {
                  for (std::size_t at = 0; at < size; at += bytes.size()) {
                    std::memcpy(held->at(offset + at), bytes.data(), bytes.size());
                  }
                  return CL_COMPLETE;
                });
}

cl_int CL_API_CALL clEnqueueCopyBuffer(cl_command_queue queue, cl_mem from, cl_mem to,
                                       size_t from_offset, size_t to_offset, size_t size,
                                       cl_uint count, const cl_event* list, cl_event* event) {
  if (const cl_int error = check_memory(queue, from, false)) return error;
  if (const cl_int error = check_memory(queue, to, false)) return error;
  if (size == 0 || !inside(from, from_offset, size) || !inside(to, to_offset, size)) {
    return CL_INVALID_VALUE;
  }
  const std::byte* const begin = from->at(from_offset);
  const std::byte* const target = to->at(to_offset);
  if (begin < target + size && target < begin + size) return CL_MEM_COPY_OVERLAP;
  return submit({queue, CL_COMMAND_COPY_BUFFER, count, list, event},
                [in = Held(from), out = Held(to), from_offset, to_offset, size] {
                  std::memcpy(out->at(to_offset), in->at(from_offset), size);
                  return CL_COMPLETE;
                });
}

cl_int CL_API_CALL clEnqueueCopyBufferRect(cl_command_queue queue, cl_mem from, cl_mem to,
                                           const size_t* from_origin, const size_t* to_origin,
                                           const size_t* region, size_t from_row, size_t from_slice,
                                           size_t to_row, size_t to_slice, cl_uint count,
                                           const cl_event* list, cl_event* event) {
  if (const cl_int error = check_memory(queue, from, false)) return error;
  if (const cl_int error = check_memory(queue, to, false)) return error;
  if (from_origin == nullptr || to_origin == nullptr || region == nullptr) return CL_INVALID_VALUE;
  Rect in{}, out{};
  const Size3 box = size3(region);
  if (!lay_out(size3(from_origin), box, from_row, from_slice, from->size, in) ||
      !lay_out(size3(to_origin), box, to_row, to_slice, to->size, out)) {
    return CL_INVALID_VALUE;
  }
  return submit({queue, CL_COMMAND_COPY_BUFFER_RECT, count, list, event},
                [source = Held(from), target = Held(to), in, out, box] {
                  copy_box(target->at(out.offset), out.pitch, source->at(in.offset), in.pitch, box);
                  return CL_COMPLETE;
                });
}

void* CL_API_CALL clEnqueueMapBuffer(cl_command_queue queue, cl_mem mem, cl_bool blocking,
                                     cl_map_flags, size_t offset, size_t size, cl_uint count,
                                     const cl_event* list, cl_event* event, cl_int* errcode) {
  if (const cl_int error = check_memory(queue, mem, false)) return refuse(errcode, error);
  if (size == 0 || !inside(mem, offset, size)) return refuse(errcode, CL_INVALID_VALUE);
  const cl_int error =
      submit({queue, CL_COMMAND_MAP_BUFFER, count, list, event, blocking == CL_TRUE},
             [held = Held(mem)] { return CL_COMPLETE; });
  if (error != CL_SUCCESS) return refuse(errcode, error);
  ++mem->maps;
  if (errcode != nullptr) *errcode = CL_SUCCESS;
  return mem->at(offset);
}

cl_int CL_API_CALL clEnqueueUnmapMemObject(cl_command_queue queue, cl_mem mem, void* mapped,
                                           cl_uint count, const cl_event* list, cl_event* event) {
  if (!valid(queue)) return CL_INVALID_COMMAND_QUEUE;
  if (!valid(mem)) return CL_INVALID_MEM_OBJECT;
  const auto* const at = static_cast<const std::byte*>(mapped);
  if (at < mem->at(0) || at >= mem->at(0) + mem->size || mem->maps == 0) return CL_INVALID_VALUE;
  const cl_int error = submit({queue, CL_COMMAND_UNMAP_MEM_OBJECT, count, list, event},
                              [held = Held(mem)] { return CL_COMPLETE; });
  if (error == CL_SUCCESS) --mem->maps;
  return error;
}

}  // extern "C"

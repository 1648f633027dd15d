// SPDX-License-Identifier: Apache-2.0
#include "opencl/null/engine.h"
#include "opencl/null/region.h"

using namespace tessera::null;

namespace {

using Held = Ref<_cl_mem>;

std::size_t offset_of(cl_mem image, const Size3& origin) {
  return origin[0] * image->pixel + origin[1] * image->row + origin[2] * image->slice;
}

Pitch pitch_of(cl_mem image) {
  return {image->row, image->slice};
}

Size3 bytes_of(cl_mem image, const Size3& box) {
  return {box[0] * image->pixel, box[1], box[2]};
}

// The host side's pitches, tight for 0; false if they are too small for the box.
bool host_pitch(const Size3& bytes, std::size_t row, std::size_t slice, Pitch& pitch) {
  pitch.row = row == 0 ? bytes[0] : row;
  pitch.slice = slice == 0 ? pitch.row * bytes[1] : slice;
  return pitch.row >= bytes[0] && pitch.slice >= pitch.row * bytes[1];
}

cl_int check_image_box(cl_command_queue queue, cl_mem image, const std::size_t* origin,
                       const std::size_t* box) {
  if (const cl_int error = check_memory(queue, image, true)) return error;
  if (origin == nullptr || box == nullptr) return CL_INVALID_VALUE;
  return inside_image(image, size3(origin), size3(box)) ? CL_SUCCESS : CL_INVALID_VALUE;
}

}  // namespace

extern "C" {

cl_int CL_API_CALL clEnqueueReadImage(cl_command_queue queue, cl_mem image, cl_bool blocking,
                                      const size_t* origin, const size_t* region, size_t row,
                                      size_t slice, void* to, cl_uint count, const cl_event* list,
                                      cl_event* event) {
  if (const cl_int error = check_image_box(queue, image, origin, region)) return error;
  const Size3 at = size3(origin), bytes = bytes_of(image, size3(region));
  Pitch pitch{};
  if (to == nullptr || !host_pitch(bytes, row, slice, pitch)) return CL_INVALID_VALUE;
  return submit({queue, CL_COMMAND_READ_IMAGE, count, list, event, blocking == CL_TRUE},
                [held = Held(image), at, bytes, pitch, to] {
                  copy_box(static_cast<std::byte*>(to), pitch, held->at(offset_of(held.get(), at)),
                           pitch_of(held.get()), bytes);
                  return CL_COMPLETE;
                });
}

cl_int CL_API_CALL clEnqueueWriteImage(cl_command_queue queue, cl_mem image, cl_bool blocking,
                                       const size_t* origin, const size_t* region, size_t row,
                                       size_t slice, const void* from, cl_uint count,
                                       const cl_event* list, cl_event* event) {
  if (const cl_int error = check_image_box(queue, image, origin, region)) return error;
  const Size3 at = size3(origin), bytes = bytes_of(image, size3(region));
  Pitch pitch{};
  if (from == nullptr || !host_pitch(bytes, row, slice, pitch)) return CL_INVALID_VALUE;
  return submit({queue, CL_COMMAND_WRITE_IMAGE, count, list, event, blocking == CL_TRUE},
                [held = Held(image), at, bytes, pitch, from] {
                  copy_box(held->at(offset_of(held.get(), at)), pitch_of(held.get()),
                           static_cast<const std::byte*>(from), pitch, bytes);
                  return CL_COMPLETE;
                });
}

// Every channel takes the first bytes of its colour component: the null device does not convert.
cl_int CL_API_CALL clEnqueueFillImage(cl_command_queue queue, cl_mem image, const void* color,
                                      const size_t* origin, const size_t* region, cl_uint count,
                                      const cl_event* list, cl_event* event) {
  if (const cl_int error = check_image_box(queue, image, origin, region)) return error;
  if (color == nullptr) return CL_INVALID_VALUE;
  const auto* const first = static_cast<const std::byte*>(color);
  return submit(
      {queue, CL_COMMAND_FILL_IMAGE, count, list, event},
      [held = Held(image), at = size3(origin), box = size3(region),
       bytes = std::vector<std::byte>(first, first + 16)] {
        const std::size_t pixel = held->pixel;
        const std::size_t channel = pixel >= 4 ? pixel / 4 : pixel;
        for (std::size_t z = 0; z < box[2]; ++z) {
          for (std::size_t y = 0; y < box[1]; ++y) {
            std::byte* to = held->at(offset_of(held.get(), {at[0], at[1] + y, at[2] + z}));
            for (std::size_t i = 0; i < box[0] * pixel; ++i) {
              to[i] = bytes[i % pixel / channel * 4 + i % channel];
            }
          }
        }
        return CL_COMPLETE;
      });
}

cl_int CL_API_CALL clEnqueueCopyImage(cl_command_queue queue, cl_mem from, cl_mem to,
                                      const size_t* from_origin, const size_t* to_origin,
                                      const size_t* region, cl_uint count, const cl_event* list,
                                      cl_event* event) {
  if (const cl_int error = check_image_box(queue, from, from_origin, region)) return error;
  if (const cl_int error = check_image_box(queue, to, to_origin, region)) return error;
  if (from->pixel != to->pixel) return CL_IMAGE_FORMAT_MISMATCH;
  return submit({queue, CL_COMMAND_COPY_IMAGE, count, list, event},
                [in = Held(from), out = Held(to), in_at = size3(from_origin),
                 out_at = size3(to_origin), bytes = bytes_of(from, size3(region))] {
                  copy_box(out->at(offset_of(out.get(), out_at)), pitch_of(out.get()),
                           in->at(offset_of(in.get(), in_at)), pitch_of(in.get()), bytes);
                  return CL_COMPLETE;
                });
}

cl_int CL_API_CALL clEnqueueCopyImageToBuffer(cl_command_queue queue, cl_mem from, cl_mem to,
                                              const size_t* origin, const size_t* region,
                                              size_t offset, cl_uint count, const cl_event* list,
                                              cl_event* event) {
  if (const cl_int error = check_image_box(queue, from, origin, region)) return error;
  if (const cl_int error = check_memory(queue, to, false)) return error;
  const Size3 bytes = bytes_of(from, size3(region));
  if (!inside(to, offset, bytes[0] * bytes[1] * bytes[2])) return CL_INVALID_VALUE;
  return submit({queue, CL_COMMAND_COPY_IMAGE_TO_BUFFER, count, list, event},
                [in = Held(from), out = Held(to), at = size3(origin), offset, bytes] {
                  copy_box(out->at(offset), {bytes[0], bytes[0] * bytes[1]},
                           in->at(offset_of(in.get(), at)), pitch_of(in.get()), bytes);
                  return CL_COMPLETE;
                });
}

cl_int CL_API_CALL clEnqueueCopyBufferToImage(cl_command_queue queue, cl_mem from, cl_mem to,
                                              size_t offset, const size_t* origin,
                                              const size_t* region, cl_uint count,
                                              const cl_event* list, cl_event* event) {
  if (const cl_int error = check_memory(queue, from, false)) return error;
  if (const cl_int error = check_image_box(queue, to, origin, region)) return error;
  const Size3 bytes = bytes_of(to, size3(region));
  if (!inside(from, offset, bytes[0] * bytes[1] * bytes[2])) return CL_INVALID_VALUE;
  return submit({queue, CL_COMMAND_COPY_BUFFER_TO_IMAGE, count, list, event},
                [in = Held(from), out = Held(to), at = size3(origin), offset, bytes] {
                  copy_box(out->at(offset_of(out.get(), at)), pitch_of(out.get()), in->at(offset),
                           {bytes[0], bytes[0] * bytes[1]}, bytes);
                  return CL_COMPLETE;
                });
}

void* CL_API_CALL clEnqueueMapImage(cl_command_queue queue, cl_mem image, cl_bool blocking,
                                    cl_map_flags, const size_t* origin, const size_t* region,
                                    size_t* row, size_t* slice, cl_uint count, const cl_event* list,
                                    cl_event* event, cl_int* errcode) {
  if (const cl_int error = check_image_box(queue, image, origin, region)) {
    return refuse(errcode, error);
  }
  if (row == nullptr) return refuse(errcode, CL_INVALID_VALUE);
  const cl_int error =
      submit({queue, CL_COMMAND_MAP_IMAGE, count, list, event, blocking == CL_TRUE},
             [held = Held(image)] { return CL_COMPLETE; });
  if (error != CL_SUCCESS) return refuse(errcode, error);
  ++image->maps;
  *row = image->row;
  if (slice != nullptr) *slice = image->extent[2] > 1 ? image->slice : 0;
  if (errcode != nullptr) *errcode = CL_SUCCESS;
  return image->at(offset_of(image, size3(origin)));
}

}  // extern "C"

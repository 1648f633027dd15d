// SPDX-License-Identifier: Apache-2.0
//
// Each step as a call of OpenCL; the entry point follows from the kinds of its objects.
#include <array>

#include "tests/random/session.h"

namespace tessera::random {
namespace {

using Triple = std::array<std::size_t, 3>;

bool is_image(ObjectKind kind) {
  return kind == ObjectKind::image || kind == ObjectKind::buffer_image;
}

Triple pixel_at(const Place& at) {
  return {at.offset % at.pitch / 4, at.offset / at.pitch, 0};
}
Triple byte_at(const Place& at) {
  return {at.offset % at.pitch, at.offset / at.pitch, 0};
}
Triple pixels(const Step& step) {
  return {step.row / 4, step.rows, 1};
}

cl_map_flags flags_of(MapMode mode) {
  switch (mode) {
    case MapMode::read:
      return CL_MAP_READ;
    case MapMode::write:
      return CL_MAP_WRITE;
    case MapMode::read_write:
      return CL_MAP_READ | CL_MAP_WRITE;
    case MapMode::invalidate:
      return CL_MAP_WRITE_INVALIDATE_REGION;
  }
  return 0;
}

}  // namespace

cl_int Session::enqueue(Thread& thread, int i, cl_uint count, const cl_event* waits,
                        cl_event* event) {
  const Step& step = plan_.steps[i];
  cl_command_queue queue = queues_[step.queue];
  switch (step.op) {
    case Op::write:
      return transfer(step, true, count, waits, event);
    case Op::read:
      return transfer(step, false, count, waits, event);
    case Op::copy:
      return copy(step, count, waits, event);
    case Op::fill:
      return fill(step, count, waits, event);
    case Op::map:
      return map(i, count, waits, event);
    case Op::unmap:
      return unmap(step, count, waits, event);
    case Op::kernel:
      return launch(thread, step, count, waits, event);
    case Op::marker:
      return clEnqueueMarkerWithWaitList(queue, count, waits, event);
    case Op::barrier:
      return clEnqueueBarrierWithWaitList(queue, count, waits, event);
    default:
      return clEnqueueMigrateMemObjects(queue, 1, &live_[step.to].memory, 0, count, waits, event);
  }
}

cl_int Session::transfer(const Step& step, bool write, cl_uint count, const cl_event* waits,
                         cl_event* event) {
  cl_command_queue queue = queues_[step.queue];
  const int object = write ? step.to : step.from;
  const Place& at = write ? step.to_at : step.from_at;
  const Place& host_place = write ? step.from_at : step.to_at;
  std::uint8_t* host = host_at(write ? step.from : step.to, host_place);
  cl_mem memory = live_[object].memory;
  const ObjectKind kind = plan_.objects[object].kind;
  if (kind == ObjectKind::svm) {
    std::uint8_t* svm = svm_at(object, at);
    return clEnqueueSVMMemcpy(queue, step.blocking, write ? svm : host, write ? host : svm,
                              step.row, count, waits, event);
  }
  if (is_image(kind)) {
    const Triple origin = pixel_at(at), region = pixels(step);
    const std::size_t pitch = step.rows > 1 ? host_place.pitch : 0;
    return write ? clEnqueueWriteImage(queue, memory, step.blocking, origin.data(), region.data(),
                                       pitch, 0, host, count, waits, event)
                 : clEnqueueReadImage(queue, memory, step.blocking, origin.data(), region.data(),
                                      pitch, 0, host, count, waits, event);
  }
  if (step.rect) {
    const Triple origin = byte_at(at), zero{}, region{step.row, step.rows, 1};
    return write ? clEnqueueWriteBufferRect(queue, memory, step.blocking, origin.data(),
                                            zero.data(), region.data(), at.pitch, 0,
                                            host_place.pitch, 0, host, count, waits, event)
                 : clEnqueueReadBufferRect(queue, memory, step.blocking, origin.data(), zero.data(),
                                           region.data(), at.pitch, 0, host_place.pitch, 0, host,
                                           count, waits, event);
  }
  return write ? clEnqueueWriteBuffer(queue, memory, step.blocking, at.offset, step.row, host,
                                      count, waits, event)
               : clEnqueueReadBuffer(queue, memory, step.blocking, at.offset, step.row, host, count,
                                     waits, event);
}

cl_int Session::copy(const Step& step, cl_uint count, const cl_event* waits, cl_event* event) {
  cl_command_queue queue = queues_[step.queue];
  cl_mem from = live_[step.from].memory, to = live_[step.to].memory;
  const bool from_image = is_image(plan_.objects[step.from].kind);
  const bool to_image = is_image(plan_.objects[step.to].kind);
  const Triple region = pixels(step);
  if (plan_.objects[step.from].kind == ObjectKind::svm) {
    return clEnqueueSVMMemcpy(queue, step.blocking, svm_at(step.to, step.to_at),
                              svm_at(step.from, step.from_at), step.row, count, waits, event);
  }
  if (from_image && to_image) {
    const Triple source = pixel_at(step.from_at), target = pixel_at(step.to_at);
    return clEnqueueCopyImage(queue, from, to, source.data(), target.data(), region.data(), count,
                              waits, event);
  }
  if (from_image) {
    const Triple source = pixel_at(step.from_at);
    return clEnqueueCopyImageToBuffer(queue, from, to, source.data(), region.data(),
                                      step.to_at.offset, count, waits, event);
  }
  if (to_image) {
    const Triple target = pixel_at(step.to_at);
    return clEnqueueCopyBufferToImage(queue, from, to, step.from_at.offset, target.data(),
                                      region.data(), count, waits, event);
  }
  if (step.rect) {
    const Triple source = byte_at(step.from_at), target = byte_at(step.to_at);
    const Triple bytes{step.row, step.rows, 1};
    return clEnqueueCopyBufferRect(queue, from, to, source.data(), target.data(), bytes.data(),
                                   step.from_at.pitch, 0, step.to_at.pitch, 0, count, waits, event);
  }
  return clEnqueueCopyBuffer(queue, from, to, step.from_at.offset, step.to_at.offset, step.row,
                             count, waits, event);
}

cl_int Session::fill(const Step& step, cl_uint count, const cl_event* waits, cl_event* event) {
  cl_command_queue queue = queues_[step.queue];
  const ObjectKind kind = plan_.objects[step.to].kind;
  Bytes pattern(step.pattern);
  fill_pattern(step.value, pattern.data(), pattern.size());
  if (is_image(kind)) {
    const cl_uint color[4] = {pattern[0], pattern[1], pattern[2], pattern[3]};
    const Triple origin = pixel_at(step.to_at), region = pixels(step);
    return clEnqueueFillImage(queue, live_[step.to].memory, color, origin.data(), region.data(),
                              count, waits, event);
  }
  if (kind == ObjectKind::svm) {
    return clEnqueueSVMMemFill(queue, svm_at(step.to, step.to_at), pattern.data(), pattern.size(),
                               step.row, count, waits, event);
  }
  return clEnqueueFillBuffer(queue, live_[step.to].memory, pattern.data(), pattern.size(),
                             step.to_at.offset, step.row, count, waits, event);
}

cl_int Session::map(int i, cl_uint count, const cl_event* waits, cl_event* event) {
  const Step& step = plan_.steps[i];
  cl_command_queue queue = queues_[step.queue];
  const ObjectKind kind = plan_.objects[step.to].kind;
  cl_mem memory = live_[step.to].memory;
  const cl_map_flags flags = flags_of(step.mode);
  cl_int code = CL_SUCCESS;
  mapped_pitch_[i] = step.row;
  if (kind == ObjectKind::svm) {
    mapped_[i] = svm_at(step.to, step.to_at);
    return clEnqueueSVMMap(queue, step.blocking, flags, mapped_[i], step.row, count, waits, event);
  }
  if (is_image(kind)) {
    const Triple origin = pixel_at(step.to_at), region = pixels(step);
    mapped_[i] =
        clEnqueueMapImage(queue, memory, step.blocking, flags, origin.data(), region.data(),
                          &mapped_pitch_[i], nullptr, count, waits, event, &code);
    return code;
  }
  mapped_[i] = clEnqueueMapBuffer(queue, memory, step.blocking, flags, step.to_at.offset, step.row,
                                  count, waits, event, &code);
  return code;
}

cl_int Session::unmap(const Step& step, cl_uint count, const cl_event* waits, cl_event* event) {
  void* at = mapped_[step.target];
  if (plan_.objects[step.to].kind == ObjectKind::svm) {
    return clEnqueueSVMUnmap(queues_[step.queue], at, count, waits, event);
  }
  return clEnqueueUnmapMemObject(queues_[step.queue], live_[step.to].memory, at, count, waits,
                                 event);
}

}  // namespace tessera::random

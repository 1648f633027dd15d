// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/scrub.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace tessera::worker {
namespace {

// The longest pattern that every driver has a fast fill for; zeros of any length are the same.
constexpr std::uint64_t kPattern = 16;  // bytes
constexpr std::array<std::byte, kPattern> kZeros{};

// The largest pattern that fits `bits` a whole number of times.
std::size_t pattern_of(std::uint64_t bits) {
  return std::min(kPattern, std::uint64_t{1} << std::countr_zero(bits));
}

}  // namespace

bool outlives_its_process(cl_device_id device) {
  cl_device_type type = 0;
  clGetDeviceInfo(device, CL_DEVICE_TYPE, sizeof type, &type, nullptr);
  return (type & CL_DEVICE_TYPE_CPU) == 0;
}

cl_int fill_buffer(cl_command_queue queue, cl_mem buffer, std::uint64_t size, cl_event* event) {
  return clEnqueueFillBuffer(queue, buffer, kZeros.data(), pattern_of(size), 0, size, 0, nullptr,
                             event);
}

cl_int fill_image(cl_command_queue queue, cl_mem image, const MemShape& shape, cl_event* event) {
  // A colour of four zeros, whatever their type.
  constexpr std::array<std::size_t, 3> kOrigin{};
  const std::array<std::size_t, 3> all{shape.pixels[0], shape.pixels[1], shape.pixels[2]};
  return clEnqueueFillImage(queue, image, kZeros.data(), kOrigin.data(), all.data(), 0, nullptr,
                            event);
}

cl_int fill_svm(clEnqueueMemFillINTEL_fn fill, cl_command_queue queue, void* memory,
                std::uint64_t size, cl_event* event) {
  const std::size_t pattern = pattern_of(size | reinterpret_cast<std::uintptr_t>(memory));
  return fill(queue, memory, kZeros.data(), pattern, size, 0, nullptr, event);
}

void Scrubbing::replace(cl_event fill) {
  if (fill_ != nullptr) clReleaseEvent(fill_);
  fill_ = fill;
}

cl_event Scrubbing::pending() {
  if (fill_ == nullptr) return nullptr;
  cl_int status = CL_QUEUED;
  clGetEventInfo(fill_, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, nullptr);
  if (status == CL_COMPLETE) replace(nullptr);
  return fill_;
}

}  // namespace tessera::worker

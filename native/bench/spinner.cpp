// SPDX-License-Identifier: Apache-2.0
#include "bench/spinner.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iostream>
#include <vector>

namespace tessera::bench {
namespace {

constexpr const char* kSource = R"(
__kernel void spin(__global float *out, uint loops) {
  float x = (float)get_global_id(0) * 1e-6f;
  for (uint i = 0; i < loops; ++i) x = fma(x, 0.999f, 0.5f);
  out[get_global_id(0)] = x;
})";
constexpr std::size_t kGroup = 64;
// Enough groups for every unit of the device to be busy until near the end, whatever its width.
constexpr std::size_t kGroupsPerUnit = 8;
constexpr std::uint32_t kFirstLoops = 256;
constexpr int kKernels = 9;  // of which the median counts
constexpr int kAttempts = 12;
constexpr double kNear = 0.03;

}  // namespace

Spinner::Spinner(const Device& device, std::uint64_t target_ns, std::uint32_t loops) {
  cl_int status = CL_SUCCESS;
  const std::array<cl_queue_properties, 3> profiling = {CL_QUEUE_PROPERTIES,
                                                        CL_QUEUE_PROFILING_ENABLE, 0};
  queue_ =
      clCreateCommandQueueWithProperties(device.context(), device.id(), profiling.data(), &status);
  require(status, "clCreateCommandQueueWithProperties");
  const char* source = kSource;
  program_ = clCreateProgramWithSource(device.context(), 1, &source, nullptr, &status);
  require(status, "clCreateProgramWithSource");
  const cl_device_id id = device.id();
  require(clBuildProgram(program_, 1, &id, nullptr, nullptr, nullptr), "clBuildProgram");
  kernel_ = clCreateKernel(program_, "spin", &status);
  require(status, "clCreateKernel");
  cl_uint units = 0;
  require(clGetDeviceInfo(id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(units), &units, nullptr),
          "clGetDeviceInfo");
  items_ = units * kGroupsPerUnit * kGroup;
  out_ = clCreateBuffer(device.context(), CL_MEM_WRITE_ONLY, items_ * sizeof(cl_float), nullptr,
                        &status);
  require(status, "clCreateBuffer");
  require(clSetKernelArg(kernel_, 0, sizeof(out_), &out_), "clSetKernelArg");
  if (loops == 0) {
    calibrate(target_ns);
  } else {
    set_loops(loops);
    device_ns_ = measure();
  }
}

Spinner::~Spinner() {
  clReleaseMemObject(out_);
  clReleaseKernel(kernel_);
  clReleaseProgram(program_);
  clReleaseCommandQueue(queue_);
}

cl_event Spinner::launch() const {
  cl_event event = nullptr;
  require(clEnqueueNDRangeKernel(queue_, kernel_, 1, nullptr, &items_, &kGroup, 0, nullptr, &event),
          "clEnqueueNDRangeKernel");
  return event;
}

void Spinner::wait(cl_event event) {
  require(clWaitForEvents(1, &event), "clWaitForEvents");
}

Ran Spinner::take(cl_event event) {
  cl_ulong start = 0, end = 0;
  require(
      clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof(start), &start, nullptr),
      "clGetEventProfilingInfo");
  require(clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof(end), &end, nullptr),
          "clGetEventProfilingInfo");
  require(clReleaseEvent(event), "clReleaseEvent");
  return {start, end};
}

void Spinner::set_loops(std::uint32_t loops) {
  loops_ = loops;
  const cl_uint value = loops;
  require(clSetKernelArg(kernel_, 1, sizeof(value), &value), "clSetKernelArg");
}

std::uint64_t Spinner::measure() const {
  std::vector<std::uint64_t> times;
  for (int i = 0; i < kKernels; ++i) {
    const cl_event event = launch();
    wait(event);
    times.push_back(take(event).device_ns());
  }
  std::nth_element(times.begin(), times.begin() + kKernels / 2, times.end());
  return times[kKernels / 2];
}

void Spinner::calibrate(std::uint64_t target_ns) {
  set_loops(kFirstLoops);
  measure();  // the first launches compile and touch memory
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    device_ns_ = measure();
    const double ratio = static_cast<double>(target_ns) /
                         static_cast<double>(std::max<std::uint64_t>(device_ns_, 1));
    if (std::abs(ratio - 1) < kNear) return;
    // By steps of 64 at most: a launch costs something too, and hides what few loops take.
    const double next = static_cast<double>(loops_) * std::clamp(ratio, 1.0 / 64, 64.0);
    set_loops(static_cast<std::uint32_t>(std::clamp(next, 1.0, 4e9)));
  }
}

}  // namespace tessera::bench

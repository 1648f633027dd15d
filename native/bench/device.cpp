// SPDX-License-Identifier: Apache-2.0
#include "bench/device.h"

#include <array>
#include <cstdlib>
#include <iostream>

namespace tessera::bench {
namespace {

// The order that clGetSessionCountersTESSERA fixes.
enum Counter { kMessages, kRoundTrips, kBytesToWorker, kBytesToClient, kWakes, kSleeps, kCounters };

constexpr const char* kSource = "__kernel void empty(__global int *unused) {}";

std::string text_of(cl_device_id device, cl_device_info what) {
  std::size_t size = 0;
  require(clGetDeviceInfo(device, what, 0, nullptr, &size), "clGetDeviceInfo");
  std::string text(size, '\0');
  require(clGetDeviceInfo(device, what, size, text.data(), nullptr), "clGetDeviceInfo");
  while (!text.empty() && text.back() == '\0') text.pop_back();
  return text;
}

std::string text_of(cl_platform_id platform, cl_platform_info what) {
  std::size_t size = 0;
  require(clGetPlatformInfo(platform, what, 0, nullptr, &size), "clGetPlatformInfo");
  std::string text(size, '\0');
  require(clGetPlatformInfo(platform, what, size, text.data(), nullptr), "clGetPlatformInfo");
  while (!text.empty() && text.back() == '\0') text.pop_back();
  return text;
}

cl_command_queue make_queue(cl_context context, cl_device_id device,
                            cl_command_queue_properties properties) {
  const std::array<cl_queue_properties, 3> list = {CL_QUEUE_PROPERTIES, properties, 0};
  cl_int status = CL_SUCCESS;
  cl_command_queue queue =
      clCreateCommandQueueWithProperties(context, device, list.data(), &status);
  require(status, "clCreateCommandQueueWithProperties");
  return queue;
}

}  // namespace

void require(cl_int status, const char* call) {
  if (status == CL_SUCCESS) return;
  std::cerr << call << " failed with " << status << '\n';
  std::exit(1);
}

Device::Device() {
  require(clGetPlatformIDs(1, &platform_, nullptr), "clGetPlatformIDs");
  require(clGetDeviceIDs(platform_, CL_DEVICE_TYPE_ALL, 1, &device_, nullptr), "clGetDeviceIDs");
  cl_int status = CL_SUCCESS;
  context_ = clCreateContext(nullptr, 1, &device_, nullptr, nullptr, &status);
  require(status, "clCreateContext");
  cl_command_queue_properties can = 0;
  require(clGetDeviceInfo(device_, CL_DEVICE_QUEUE_ON_HOST_PROPERTIES, sizeof(can), &can, nullptr),
          "clGetDeviceInfo");
  queue_ = make_queue(context_, device_, 0);
  unordered_ = make_queue(context_, device_, can & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
  const char* source = kSource;
  program_ = clCreateProgramWithSource(context_, 1, &source, nullptr, &status);
  require(status, "clCreateProgramWithSource");
  require(clBuildProgram(program_, 1, &device_, nullptr, nullptr, nullptr), "clBuildProgram");
  empty_kernel_ = clCreateKernel(program_, "empty", &status);
  require(status, "clCreateKernel");
  require(clGetDeviceInfo(device_, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(largest_buffer_),
                          &largest_buffer_, nullptr),
          "clGetDeviceInfo");
  session_counters_ = reinterpret_cast<SessionCounters>(
      clGetExtensionFunctionAddressForPlatform(platform_, "clGetSessionCountersTESSERA"));
}

Device::~Device() {
  clReleaseKernel(empty_kernel_);
  clReleaseProgram(program_);
  clReleaseCommandQueue(unordered_);
  clReleaseCommandQueue(queue_);
  clReleaseContext(context_);
}

std::string Device::ready_line() const {
  return "{\"event\": \"ready\", " + process_facts() +
         ", \"platform\": " + quoted(text_of(platform_, CL_PLATFORM_NAME)) +
         ", \"platform_version\": " + quoted(text_of(platform_, CL_PLATFORM_VERSION)) +
         ", \"device\": " + quoted(text_of(device_, CL_DEVICE_NAME)) +
         ", \"driver_version\": " + quoted(text_of(device_, CL_DRIVER_VERSION)) + "}";
}

void Device::counted(Slice& slice, const std::string& name, std::uint64_t calls,
                     const std::function<void()>& work) const {
  if (session_counters_ == nullptr) return work();
  std::array<cl_ulong, kCounters> before{}, after{};
  require(session_counters_(platform_, kCounters, before.data()), "clGetSessionCountersTESSERA");
  work();
  require(session_counters_(platform_, kCounters, after.data()), "clGetSessionCountersTESSERA");
  Counted& total = slice.counted[name];
  total.calls += calls;
  total.messages += after[kMessages] - before[kMessages];
  total.round_trips += after[kRoundTrips] - before[kRoundTrips];
  total.wakes += after[kWakes] - before[kWakes];
  total.sleeps += after[kSleeps] - before[kSleeps];
}

}  // namespace tessera::bench

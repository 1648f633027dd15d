// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <chrono>
#include <thread>

#include "bench/measure.h"

namespace tessera::bench {
namespace {

constexpr int kBatches = 16;
constexpr int kRoundTrips = 200;
constexpr int kIdleRoundTrips = 20;
constexpr int kKernels = 50;
constexpr int kChains = 3;
constexpr auto kIdle = std::chrono::milliseconds(2);  // longer than any side spins before it sleeps

class Buffer {
 public:
  Buffer(const Device& device, std::size_t bytes) {
    cl_int status = CL_SUCCESS;
    memory_ = clCreateBuffer(device.context(), CL_MEM_READ_WRITE, bytes, nullptr, &status);
    require(status, "clCreateBuffer");
  }
  ~Buffer() { clReleaseMemObject(memory_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  const cl_mem& get() const { return memory_; }

 private:
  cl_mem memory_ = nullptr;
};

void finish(cl_command_queue queue) {
  require(clFinish(queue), "clFinish");
}

void set_argument(const Device& device, const Buffer& buffer) {
  require(clSetKernelArg(device.empty_kernel(), 0, sizeof(cl_mem), &buffer.get()),
          "clSetKernelArg");
}

void launch(const Device& device) {
  const std::size_t one = 1;
  require(clEnqueueNDRangeKernel(device.queue(), device.empty_kernel(), 1, nullptr, &one, nullptr,
                                 0, nullptr, nullptr),
          "clEnqueueNDRangeKernel");
}

template <typename Call>
void measure_batches(const Device& device, Slice& slice, const std::string& name, Call call) {
  for (int batch = 0; batch < kBatches; ++batch) {
    std::uint64_t spent = 0;
    device.counted(slice, name, kBatch, [&] {
      const std::uint64_t start = now_ns();
      for (int i = 0; i < kBatch; ++i) call();
      spent = now_ns() - start;
    });
    slice.samples[name].push_back(static_cast<double>(spent) / kBatch);
    finish(device.queue());
  }
}

template <typename Call>
void measure_each(const Device& device, Slice& slice, const std::string& name, int count,
                  Call call) {
  auto& samples = slice.samples[name];
  device.counted(slice, name, static_cast<std::uint64_t>(count), [&] {
    for (int i = 0; i < count; ++i) {
      const std::uint64_t start = now_ns();
      call();
      samples.push_back(static_cast<double>(now_ns() - start));
    }
  });
}

}  // namespace

void measure_posted(const Device& device, Slice& slice) {
  const Buffer from(device, 4096), to(device, 4096);
  std::array<std::byte, 64> few{};
  set_argument(device, from);
  launch(device);
  finish(device.queue());

  measure_each(device, slice, "clock", kBatch, [] {});
  measure_batches(device, slice, "posted_kernel", [&] { launch(device); });
  measure_batches(device, slice, "posted_arg", [&] { set_argument(device, from); });
  measure_batches(device, slice, "posted_copy", [&] {
    require(
        clEnqueueCopyBuffer(device.queue(), from.get(), to.get(), 0, 0, 16, 0, nullptr, nullptr),
        "clEnqueueCopyBuffer");
  });
  measure_batches(device, slice, "posted_write", [&] {
    require(clEnqueueWriteBuffer(device.queue(), to.get(), CL_FALSE, 0, few.size(), few.data(), 0,
                                 nullptr, nullptr),
            "clEnqueueWriteBuffer");
  });
  measure_each(device, slice, "posted_kernel_single", kBatch, [&] { launch(device); });
  finish(device.queue());
}

void measure_round_trips(const Device& device, Slice& slice) {
  const Buffer buffer(device, 4096);
  const cl_int zero = 0;
  require(clEnqueueFillBuffer(device.queue(), buffer.get(), &zero, sizeof(zero), 0, 4096, 0,
                              nullptr, nullptr),
          "clEnqueueFillBuffer");
  finish(device.queue());

  measure_each(device, slice, "round_trip_finish", kRoundTrips, [&] { finish(device.queue()); });
  measure_each(device, slice, "round_trip_read", kRoundTrips, [&] {
    cl_int value = 0;
    require(clEnqueueReadBuffer(device.queue(), buffer.get(), CL_TRUE, 0, sizeof(value), &value, 0,
                                nullptr, nullptr),
            "clEnqueueReadBuffer");
  });
  for (int i = 0; i < kIdleRoundTrips; ++i) {
    std::this_thread::sleep_for(kIdle);
    measure_each(device, slice, "round_trip_finish_idle", 1, [&] { finish(device.queue()); });
  }
}

void measure_kernels(const Device& device, Slice& slice) {
  const Buffer buffer(device, 4096);
  set_argument(device, buffer);
  measure_each(device, slice, "kernel_finish", kKernels, [&] {
    launch(device);
    finish(device.queue());
  });

  const std::size_t one = 1;
  for (int chain = 0; chain < kChains; ++chain) {
    std::array<cl_event, kChain> events{};
    std::uint64_t posted = 0;
    measure_each(device, slice, "chain", 1, [&] {
      const std::uint64_t start = now_ns();
      for (int i = 0; i < kChain; ++i) {
        require(clEnqueueNDRangeKernel(device.unordered(), device.empty_kernel(), 1, nullptr, &one,
                                       nullptr, i > 0 ? 1 : 0, i > 0 ? &events[i - 1] : nullptr,
                                       &events[i]),
                "clEnqueueNDRangeKernel");
      }
      posted = now_ns() - start;
      finish(device.unordered());
    });
    slice.samples["chain_post"].push_back(static_cast<double>(posted));
    for (cl_event event : events) clReleaseEvent(event);
  }
}

}  // namespace tessera::bench

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>

#include "bench/measure.h"

namespace tessera::bench {
namespace {

constexpr std::size_t kMiB = 1024 * 1024;
constexpr std::array<std::size_t, 5> kSizes = {1 * kMiB, 4 * kMiB, 16 * kMiB, 64 * kMiB,
                                               256 * kMiB};
constexpr std::array<std::size_t, 2> kMapSizes = {1 * kMiB, 16 * kMiB};
constexpr std::size_t kBytesPerSize = 256 * kMiB;  // copied per round, at most kRepeats times
constexpr std::size_t kRepeats = 16;

std::string named(const char* what, std::size_t bytes) {
  return std::string(what) + "_" + std::to_string(bytes / kMiB) + "MiB";
}

int repeats_of(std::size_t bytes) {
  return static_cast<int>(std::clamp(kBytesPerSize / bytes, std::size_t{2}, kRepeats));
}

template <typename Call>
double timed(Call call) {
  const std::uint64_t start = now_ns();
  call();
  return static_cast<double>(now_ns() - start);
}

// A plain memcpy whose result nobody reads may be left out by the compiler.
void plain_copy(std::byte* target, const std::byte* source, std::size_t bytes) {
  std::memcpy(target, source, bytes);
  asm volatile("" : : "r"(target) : "memory");
}

}  // namespace

BulkCopies::BulkCopies(const Device& device)
    : device_(device),
      largest_(std::min(kSizes.back(), device.largest_buffer())),
      source_(largest_, std::byte{1}),
      target_(largest_, std::byte{2}) {
  cl_int status = CL_SUCCESS;
  buffer_ = clCreateBuffer(device.context(), CL_MEM_READ_WRITE, largest_, nullptr, &status);
  require(status, "clCreateBuffer");
  require(clEnqueueWriteBuffer(device.queue(), buffer_, CL_TRUE, 0, largest_, source_.data(), 0,
                               nullptr, nullptr),
          "clEnqueueWriteBuffer");
}

BulkCopies::~BulkCopies() {
  clReleaseMemObject(buffer_);
}

void BulkCopies::measure(Slice& slice) {
  for (const std::size_t bytes : kSizes) {
    if (bytes <= largest_) measure_copies(bytes, slice);
  }
  for (const std::size_t bytes : kMapSizes) {
    if (bytes <= largest_) measure_maps(bytes, slice);
  }
}

void BulkCopies::measure_copies(std::size_t bytes, Slice& slice) {
  for (int i = 0; i < repeats_of(bytes); ++i) {
    slice.samples[named("memcpy", bytes)].push_back(
        timed([&] { plain_copy(target_.data(), source_.data(), bytes); }));
    const double write = timed([&] {
      require(clEnqueueWriteBuffer(device_.queue(), buffer_, CL_TRUE, 0, bytes, source_.data(), 0,
                                   nullptr, nullptr),
              "clEnqueueWriteBuffer");
    });
    // Else the read would pay for what the write has left to do.
    const double rest = timed([&] { require(clFinish(device_.queue()), "clFinish"); });
    slice.samples[named("write", bytes)].push_back(write);
    slice.samples[named("write_done", bytes)].push_back(write + rest);
    slice.samples[named("read", bytes)].push_back(timed([&] {
      require(clEnqueueReadBuffer(device_.queue(), buffer_, CL_TRUE, 0, bytes, target_.data(), 0,
                                  nullptr, nullptr),
              "clEnqueueReadBuffer");
    }));
  }
}

void BulkCopies::measure_maps(std::size_t bytes, Slice& slice) {
  const auto map_once = [&](cl_map_flags flags) {
    cl_int status = CL_SUCCESS;
    void* mapped = clEnqueueMapBuffer(device_.queue(), buffer_, CL_TRUE, flags, 0, bytes, 0,
                                      nullptr, nullptr, &status);
    require(status, "clEnqueueMapBuffer");
    require(clEnqueueUnmapMemObject(device_.queue(), buffer_, mapped, 0, nullptr, nullptr),
            "clEnqueueUnmapMemObject");
    require(clFinish(device_.queue()), "clFinish");
  };
  for (int i = 0; i < repeats_of(bytes); ++i) {
    slice.samples[named("map_read", bytes)].push_back(timed([&] { map_once(CL_MAP_READ); }));
    slice.samples[named("map_write", bytes)].push_back(
        timed([&] { map_once(CL_MAP_WRITE_INVALIDATE_REGION); }));
  }
}

}  // namespace tessera::bench

// SPDX-License-Identifier: Apache-2.0
//
// tessera-bench-holder DEVICE_MIB OWN_MIB: holds bytes that are nobody's zeros, on the device and
// in its own memory, and shows that it runs by a line every millisecond. At the end of its input it
// looks whether all of them are still there.
#include <poll.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <vector>

#include "bench/device.h"
#include "bench/lockstep.h"

namespace tessera::bench {
namespace {

constexpr std::size_t kPiece = 16u << 20;
constexpr int kTickMs = 1;

std::vector<std::uint64_t> noise(unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<std::uint64_t> bytes(kPiece / sizeof(std::uint64_t));
  for (auto& word : bytes) word = random();
  return bytes;
}

class Held {
 public:
  Held(const Device& device, unsigned device_mib, unsigned own_mib) : device_(device) {
    const unsigned piece_mib = kPiece >> 20;
    for (unsigned i = 0; i < device_mib / piece_mib; ++i) hold_on_device(i);
    for (unsigned i = 0; i < own_mib / piece_mib; ++i) own_.push_back(noise(i));
    require(clFinish(device_.queue()), "clFinish");
  }

  bool whole() const {
    for (unsigned i = 0; i < own_.size(); ++i) {
      if (own_[i] != noise(i)) return false;
    }
    std::vector<std::uint64_t> seen(kPiece / sizeof(std::uint64_t));
    for (unsigned i = 0; i < buffers_.size(); ++i) {
      require(clEnqueueReadBuffer(device_.queue(), buffers_[i], CL_TRUE, 0, kPiece, seen.data(), 0,
                                  nullptr, nullptr),
              "clEnqueueReadBuffer");
      if (seen != noise(i)) return false;
    }
    return true;
  }

 private:
  void hold_on_device(unsigned seed) {
    const auto bytes = noise(seed);
    cl_int status = CL_SUCCESS;
    buffers_.push_back(
        clCreateBuffer(device_.context(), CL_MEM_READ_WRITE, kPiece, nullptr, &status));
    require(status, "clCreateBuffer");
    require(clEnqueueWriteBuffer(device_.queue(), buffers_.back(), CL_TRUE, 0, kPiece, bytes.data(),
                                 0, nullptr, nullptr),
            "clEnqueueWriteBuffer");
  }

  const Device& device_;
  std::vector<cl_mem> buffers_;
  std::vector<std::vector<std::uint64_t>> own_;
};

void tick_until_end_of_input() {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  for (;;) {
    if (::poll(&input, 1, kTickMs) > 0) {
      char byte = 0;
      if (::read(STDIN_FILENO, &byte, 1) <= 0) return;
    }
    std::cout << "tick" << std::endl;
  }
}

}  // namespace
}  // namespace tessera::bench

int main(int argc, char** argv) {
  using namespace tessera::bench;
  const auto device_mib = argc == 3 ? number(argv[1]) : std::nullopt;
  const auto own_mib = argc == 3 ? number(argv[2]) : std::nullopt;
  if (!device_mib || !own_mib) {
    std::cerr << "usage: " << argv[0] << " DEVICE_MIB OWN_MIB\n";
    return 2;
  }
  const Device device;
  const Held held(device, *device_mib, *own_mib);
  std::cout << "ready" << std::endl;
  tick_until_end_of_input();
  if (!held.whole()) return 1;
  std::cout << "whole" << std::endl;
  return 0;
}

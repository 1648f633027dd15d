// SPDX-License-Identifier: Apache-2.0
//
// A kernel that keeps the whole device busy for about a given time and does nothing else: it
// computes in registers, so two devices differ only in the number of loops that take as long.
#pragma once

#include <cstdint>

#include "bench/device.h"

namespace tessera::bench {

// When a command ran, by the device's own clock, in nanoseconds.
struct Ran {
  std::uint64_t start = 0, end = 0;
  std::uint64_t device_ns() const { return end - start; }
};

class Spinner {
 public:
  // Takes `loops` where it is not 0; else finds as many as take `target_ns` of device time. That
  // needs a device which nobody else uses meanwhile.
  Spinner(const Device& device, std::uint64_t target_ns, std::uint32_t loops);
  ~Spinner();
  Spinner(const Spinner&) = delete;
  Spinner& operator=(const Spinner&) = delete;

  std::uint32_t loops() const { return loops_; }
  std::uint64_t device_ns() const { return device_ns_; }  // of one kernel, as it was found

  cl_event launch() const;  // posted; the caller releases the event
  static void wait(cl_event event);
  static Ran take(cl_event event);  // of a finished command; releases the event

 private:
  void set_loops(std::uint32_t loops);
  std::uint64_t measure() const;
  void calibrate(std::uint64_t target_ns);

  cl_command_queue queue_ = nullptr;  // in order, with profiling
  cl_program program_ = nullptr;
  cl_kernel kernel_ = nullptr;
  cl_mem out_ = nullptr;
  std::size_t items_ = 0;
  std::uint32_t loops_ = 0;
  std::uint64_t device_ns_ = 0;
};

}  // namespace tessera::bench

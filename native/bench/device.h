// SPDX-License-Identifier: Apache-2.0
//
// The first OpenCL device, as any program would open it.
#pragma once

#include <CL/cl.h>

#include <cstddef>
#include <string>

#include "bench/lockstep.h"

namespace tessera::bench {

// Ends the program with status 1 and the name of the call: a benchmark has nothing to fall back to.
void require(cl_int status, const char* call);

class Device {
 public:
  Device();
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  cl_device_id id() const { return device_; }
  cl_context context() const { return context_; }
  cl_command_queue queue() const { return queue_; }  // in order
  cl_command_queue unordered() const {
    return unordered_;
  }  // ordered by events alone, where it can be
  cl_kernel empty_kernel() const { return empty_kernel_; }
  std::size_t largest_buffer() const { return largest_buffer_; }
  std::string ready_line() const;  // a JSON object

  // Runs `work`, which makes `calls` API calls, and adds what the session's counters moved by to
  // `slice`. On a device that has no counters it only runs the work.
  void counted(Slice& slice, const std::string& name, std::uint64_t calls,
               const std::function<void()>& work) const;

 private:
  using SessionCounters = cl_int(CL_API_CALL*)(cl_platform_id, std::size_t, cl_ulong*);

  cl_platform_id platform_ = nullptr;
  cl_device_id device_ = nullptr;
  cl_context context_ = nullptr;
  cl_command_queue queue_ = nullptr, unordered_ = nullptr;
  cl_program program_ = nullptr;
  cl_kernel empty_kernel_ = nullptr;
  cl_ulong largest_buffer_ = 0;
  SessionCounters session_counters_ = nullptr;
};

}  // namespace tessera::bench

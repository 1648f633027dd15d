// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CL/cl.h>

#include <utility>

namespace tessera::worker {

// One more reference of a driver's object for as long as a thread may wait without the session's
// lock.
template <class Handle>
class Retained {
 public:
  explicit Retained(Handle handle) : handle_(handle) {
    if (handle_ != nullptr) retain(handle_);
  }
  Retained(Retained&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Retained& operator=(Retained&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  Retained(const Retained&) = delete;
  Retained& operator=(const Retained&) = delete;
  ~Retained() {
    if (handle_ != nullptr) release(handle_);
  }
  Handle get() const { return handle_; }

 private:
  static void retain(cl_command_queue h) { clRetainCommandQueue(h); }
  static void retain(cl_event h) { clRetainEvent(h); }
  static void retain(cl_program h) { clRetainProgram(h); }
  static void retain(cl_context h) { clRetainContext(h); }
  static void release(cl_command_queue h) { clReleaseCommandQueue(h); }
  static void release(cl_event h) { clReleaseEvent(h); }
  static void release(cl_program h) { clReleaseProgram(h); }
  static void release(cl_context h) { clReleaseContext(h); }
  Handle handle_;
};

}  // namespace tessera::worker

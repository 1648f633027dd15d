// SPDX-License-Identifier: Apache-2.0
//
// How a failure inside the driver becomes a code of the API. Everything below an entry point
// throws:
//
//   std::exception
//     ApiError          a code of the API, found by the client or answered by the worker
//       SessionLost     the worker is gone (CL_OUT_OF_RESOURCES)
//     ChannelClosed     the same, straight from the channel
//     ConnectError      no session could be opened
//     wire::TooLong     a list or text that no message can carry
//     std::bad_alloc
//
// and guarded() or guarded_create() turns it into the code: an exception must never reach the
// program.
#pragma once

#include <CL/cl.h>

#include <exception>

#include "opencl/client/cancellation.h"

namespace tessera::client {

class ApiError : public std::exception {
 public:
  explicit ApiError(cl_int code) : code_(code) {}
  cl_int code() const { return code_; }
  const char* what() const noexcept override { return "error of the OpenCL API"; }

 private:
  cl_int code_;
};

class SessionLost : public ApiError {
 public:
  SessionLost() : ApiError(CL_OUT_OF_RESOURCES) {}
};

// Throws ApiError(code) unless `holds`.
inline void ensure(bool holds, cl_int code) {
  if (!holds) throw ApiError(code);
}

// Throws ApiError(code) unless it is CL_SUCCESS.
inline void ensure_success(cl_int code) {
  if (code != CL_SUCCESS) throw ApiError(code);
}

// The code of the exception that is being handled; call it in a catch block only.
cl_int current_error() noexcept;

template <class Body>
cl_int guarded(Body&& body) noexcept {
  const NotCancelled here;
  try {
    body();
    return CL_SUCCESS;
  } catch (...) {
    return current_error();
  }
}

// For entry points that return an object or a pointer and may be given a place for the code.
template <class Body>
auto guarded_create(cl_int* code, Body&& body) noexcept -> decltype(body()) {
  const NotCancelled here;
  try {
    auto made = body();
    if (code != nullptr) *code = CL_SUCCESS;
    return made;
  } catch (...) {
    const cl_int error = current_error();
    if (code != nullptr) *code = error;
    return nullptr;
  }
}

}  // namespace tessera::client

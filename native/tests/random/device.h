// SPDX-License-Identifier: Apache-2.0
//
// What all programs of a process share: the device, one context, the built kernels.
#pragma once

#include <CL/cl.h>

#include <stdexcept>
#include <string>

#include "tests/random/program.h"

namespace tessera::random {

// A call that gave another code than the standard asks for. The program cannot go on after it.
class CallFailed : public std::runtime_error {
 public:
  CallFailed(const std::string& call, cl_int got, cl_int want);
};

void expect_code(cl_int got, cl_int want, const char* call);

struct Device {
  cl_platform_id platform = nullptr;
  cl_device_id id = nullptr;
  cl_context context = nullptr;
  cl_program program = nullptr;

  // Made at the first use, for the life of the process.
  static Device& get();
};

const char* kernel_name(KernelKind kind);
// One of a few small programs, built and given back; for a thread that does nothing else.
void rebuild(const Device& device, unsigned variant);

}  // namespace tessera::random

#define OK(call) ::tessera::random::expect_code((call), CL_SUCCESS, #call)

// SPDX-License-Identifier: Apache-2.0
//
// What a build told about a kernel, so that its queries and the errors of its arguments need no
// message.
#pragma once

#include <CL/cl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "generated/messages_kernel.h"
#include "opencl/arg_kind.h"

namespace tessera::client {

struct ArgFacts {
  ArgKind kind = ArgKind::unknown;
  std::size_t size = 0;  // bytes of a value; 0 = the driver takes what it gets
  cl_kernel_arg_address_qualifier address = CL_KERNEL_ARG_ADDRESS_PRIVATE;
  cl_kernel_arg_access_qualifier access = CL_KERNEL_ARG_ACCESS_NONE;
  cl_kernel_arg_type_qualifier qualifiers = CL_KERNEL_ARG_TYPE_NONE;
  std::string type_name;
  std::string name;

  // Whether a value of `bytes` may be set. Vectors of three take the room of four or of three.
  bool takes(std::size_t bytes, std::size_t max_parameter_size) const;
};

struct WorkGroupFacts {
  std::size_t max_size = 0;                    // work-items
  std::array<std::size_t, 3> required_size{};  // work-items; zeros = none is required
  std::uint64_t local_memory = 0;              // bytes, without local arguments
  std::size_t preferred_multiple = 0;          // work-items
  std::uint64_t private_memory = 0;            // bytes of a work-item

  bool size_is_required() const { return required_size[0] != 0; }
};

struct KernelFacts {
  std::string name;
  std::string attributes;
  bool args_described = false;  // clGetKernelArgInfo tells names, types and qualifiers
  std::vector<ArgFacts> args;
  std::map<std::uint32_t, WorkGroupFacts> work_group;  // by device index

  // Throws std::runtime_error when the parallel lists of the message do not fit together.
  static KernelFacts from(const wire::KernelFacts& message);
};

}  // namespace tessera::client

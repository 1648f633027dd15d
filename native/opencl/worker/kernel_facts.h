// SPDX-License-Identifier: Apache-2.0
//
// What a build tells about its kernels.
//
// The client judges clSetKernelArg from these facts without a message, and the worker judges every
// argument message by them: bytes that a client chose must never reach an argument where the driver
// expects a handle, because a driver follows a handle as a pointer. The name of a type is no proof
// (a typedef hides sampler_t), so the driver itself is asked, with zeros and NULL, which no driver
// follows: an argument that takes NULL is no value, whatever it is called.
//
// Sizes of values: a scalar's name says its size. For other types a scratch kernel is offered zeros
// of candidate sizes. A driver that takes any size tells nothing; the size is then 0, unknown.
#pragma once

#include <CL/cl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "opencl/arg_kind.h"

namespace tessera::worker {

class Answers;

struct ArgFacts {
  ArgKind kind = ArgKind::unknown;
  std::uint64_t size = 0;  // bytes of a value; 0: not known
  cl_kernel_arg_address_qualifier address = CL_KERNEL_ARG_ADDRESS_PRIVATE;
  cl_kernel_arg_access_qualifier access = CL_KERNEL_ARG_ACCESS_NONE;
  cl_kernel_arg_type_qualifier qualifiers = CL_KERNEL_ARG_TYPE_NONE;
  std::string type_name;
  std::string name;
};

struct WorkGroupFacts {
  std::uint32_t device = 0;          // as numbered on the wire
  std::uint64_t max_size = 0;        // work-items
  std::uint64_t required_size[3]{};  // work-items; zeros: none
  std::uint64_t local_memory = 0;    // bytes, without local arguments
  std::uint64_t multiple = 0;        // work-items
  std::uint64_t private_memory = 0;  // bytes of a work-item
  std::uint64_t device_local = 0;    // bytes of local memory that the device has
};

struct KernelFacts {
  std::string name;
  std::string attributes;
  bool described = false;  // the driver told names and qualifiers of the arguments
  std::vector<ArgFacts> args;
  std::vector<WorkGroupFacts> work_group;

  // Null where the program was not built for `device`.
  const WorkGroupFacts* on(std::uint32_t device) const;
};

struct ProgramFacts {
  std::vector<KernelFacts> kernels;
  std::unordered_map<std::string, std::size_t> by_name;

  const KernelFacts* find(const std::string& name) const;
};

// A device as the wire and as the driver know it.
struct NumberedDevice {
  std::uint32_t number;
  cl_device_id id;
};

// Asks the driver; takes no lock, and may take a while. `error` is set if the kernels cannot be had
// (a library, a failed build); the facts are then empty.
std::shared_ptr<const ProgramFacts> find_facts(cl_program program,
                                               std::span<const NumberedDevice> devices,
                                               cl_int* error);

// Sends kernel_facts for each kernel. Texts that do not fit a message are left out.
void send_facts(Answers& answers, std::uint64_t program, const ProgramFacts& facts);

// ---- pure parts ----

// Bytes of an argument of the type `name`, if that is a scalar or vector of OpenCL C; else 0.
std::uint64_t scalar_size(std::string_view name);

// Offers an argument `size` bytes of zeros, or NULL with that size, or the handle of a buffer that
// lives, and returns what the driver says. Never with size 0, which some drivers do not survive.
struct Probe {
  std::function<cl_int(std::size_t size)> zeros;
  std::function<cl_int(std::size_t size)> null;
  std::function<cl_int()> buffer;
};

// Finds kind and size of an argument whose other facts are filled in, if `described`.
void classify(ArgFacts& arg, bool described, const Probe& probe, std::uint64_t max_parameter_size);

// Whether `bytes` may be set as a value of this argument.
cl_int check_value(const ArgFacts& arg, std::uint64_t bytes, std::uint64_t max_parameter_size);

}  // namespace tessera::worker

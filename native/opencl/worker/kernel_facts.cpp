// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/kernel_facts.h"

#include <algorithm>

#include "generated/messages_kernel.h"
#include "opencl/worker/answer.h"

namespace tessera::worker {
namespace {

// What a program may at most tell: a hostile source can have as many kernels as fit 16 MiB.
constexpr std::size_t kMaxKernels = 65'536;
constexpr std::size_t kMaxText = 16 * 1024;  // bytes of one name that are kept
// Beyond this no size is looked for, whatever the device says.
constexpr std::uint64_t kMaxProbe = 64 * 1024;  // bytes

struct Kernels {
  std::vector<cl_kernel> handles;
  ~Kernels() {
    for (cl_kernel kernel : handles) clReleaseKernel(kernel);
  }
};

cl_int make_kernels(cl_program program, Kernels& kernels) {
  cl_uint count = 0;
  cl_int error = clCreateKernelsInProgram(program, 0, nullptr, &count);
  if (error != CL_SUCCESS || count == 0) return error;
  if (count > kMaxKernels) return CL_OUT_OF_HOST_MEMORY;
  kernels.handles.resize(count);
  error = clCreateKernelsInProgram(program, count, kernels.handles.data(), &count);
  if (error != CL_SUCCESS) kernels.handles.clear();
  return error;
}

template <class Ask>
std::string text(Ask ask) {
  std::size_t size = 0;
  if (ask(0, nullptr, &size) != CL_SUCCESS || size == 0) return {};
  std::string value(size, '\0');
  if (ask(size, value.data(), nullptr) != CL_SUCCESS) return {};
  return value.substr(0, std::min(value.find('\0'), kMaxText));
}

std::string kernel_text(cl_kernel kernel, cl_kernel_info what) {
  return text([&](std::size_t size, void* value, std::size_t* needed) {
    return clGetKernelInfo(kernel, what, size, value, needed);
  });
}

std::string arg_text(cl_kernel kernel, cl_uint index, cl_kernel_arg_info what) {
  return text([&](std::size_t size, void* value, std::size_t* needed) {
    return clGetKernelArgInfo(kernel, index, what, size, value, needed);
  });
}

// False where the driver tells nothing about arguments.
bool describe(cl_kernel kernel, cl_uint index, ArgFacts& arg) {
  const auto ask = [&](cl_kernel_arg_info what, auto& into) {
    return clGetKernelArgInfo(kernel, index, what, sizeof into, &into, nullptr) == CL_SUCCESS;
  };
  if (!ask(CL_KERNEL_ARG_ADDRESS_QUALIFIER, arg.address) ||
      !ask(CL_KERNEL_ARG_ACCESS_QUALIFIER, arg.access) ||
      !ask(CL_KERNEL_ARG_TYPE_QUALIFIER, arg.qualifiers)) {
    arg = ArgFacts();
    return false;
  }
  arg.type_name = arg_text(kernel, index, CL_KERNEL_ARG_TYPE_NAME);
  arg.name = arg_text(kernel, index, CL_KERNEL_ARG_NAME);
  return !arg.type_name.empty();
}

// A buffer of a program's context, made when first needed.
class AnyBuffer {
 public:
  explicit AnyBuffer(cl_program program) : program_(program) {}
  AnyBuffer(const AnyBuffer&) = delete;
  AnyBuffer& operator=(const AnyBuffer&) = delete;
  ~AnyBuffer() {
    if (handle_ != nullptr) clReleaseMemObject(handle_);
  }

  cl_int offer(cl_kernel kernel, cl_uint index) {
    cl_context context = nullptr;
    cl_int status = CL_SUCCESS;
    if (handle_ == nullptr) {
      status = clGetProgramInfo(program_, CL_PROGRAM_CONTEXT, sizeof context, &context, nullptr);
      if (status == CL_SUCCESS) {
        handle_ = clCreateBuffer(context, CL_MEM_READ_WRITE, kBytes, nullptr, &status);
      }
    }
    if (handle_ == nullptr) return status;
    return clSetKernelArg(kernel, index, sizeof handle_, &handle_);
  }

 private:
  static constexpr std::size_t kBytes = 64;
  cl_program program_;
  cl_mem handle_ = nullptr;
};

void find_args(cl_kernel kernel, std::span<const std::byte> zeros, AnyBuffer& buffer,
               KernelFacts& facts) {
  cl_uint count = 0;
  clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof count, &count, nullptr);
  facts.args.resize(count);
  facts.described = true;
  for (cl_uint i = 0; i < count; ++i) {
    facts.described = describe(kernel, i, facts.args[i]) && facts.described;
  }
  for (cl_uint i = 0; i < count; ++i) {
    if (!facts.described) facts.args[i] = ArgFacts();
    const Probe probe{[&](std::size_t size) {
                        if (size > zeros.size()) return cl_int{CL_INVALID_ARG_SIZE};
                        return clSetKernelArg(kernel, i, size, zeros.data());
                      },
                      [&](std::size_t size) { return clSetKernelArg(kernel, i, size, nullptr); },
                      [&] { return buffer.offer(kernel, i); }};
    classify(facts.args[i], facts.described, probe, zeros.size());
  }
}

WorkGroupFacts find_work_group(cl_kernel kernel, const NumberedDevice& device) {
  WorkGroupFacts facts;
  facts.device = device.number;
  const auto ask = [&](cl_kernel_work_group_info what, auto& into) {
    clGetKernelWorkGroupInfo(kernel, device.id, what, sizeof into, &into, nullptr);
  };
  std::size_t max_size = 0, multiple = 0, required[3] = {};
  cl_ulong local = 0, own = 0, device_local = 0;
  ask(CL_KERNEL_WORK_GROUP_SIZE, max_size);
  ask(CL_KERNEL_COMPILE_WORK_GROUP_SIZE, required);
  ask(CL_KERNEL_LOCAL_MEM_SIZE, local);
  ask(CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE, multiple);
  ask(CL_KERNEL_PRIVATE_MEM_SIZE, own);
  clGetDeviceInfo(device.id, CL_DEVICE_LOCAL_MEM_SIZE, sizeof device_local, &device_local, nullptr);
  facts.max_size = max_size;
  std::copy(std::begin(required), std::end(required), std::begin(facts.required_size));
  facts.local_memory = local;
  facts.multiple = multiple;
  facts.private_memory = own;
  facts.device_local = device_local;
  return facts;
}

std::uint64_t least_parameter_size(std::span<const NumberedDevice> devices) {
  std::uint64_t least = kMaxProbe;
  for (const NumberedDevice& device : devices) {
    std::size_t size = 0;
    clGetDeviceInfo(device.id, CL_DEVICE_MAX_PARAMETER_SIZE, sizeof size, &size, nullptr);
    least = std::min<std::uint64_t>(least, size);
  }
  return least;
}

// The message and what its views point to.
struct Outgoing {
  wire::KernelFacts message;
  std::vector<std::uint32_t> kinds, address, access, devices;
  std::vector<std::uint64_t> sizes, qualifiers, work_group;

  explicit Outgoing(const KernelFacts& facts) {
    for (const ArgFacts& arg : facts.args) {
      kinds.push_back(static_cast<std::uint32_t>(arg.kind));
      sizes.push_back(arg.size);
      if (!facts.described) continue;
      address.push_back(arg.address);
      access.push_back(arg.access);
      qualifiers.push_back(arg.qualifiers);
      message.arg_type_names.push_back(arg.type_name);
      message.arg_names.push_back(arg.name);
    }
    for (const WorkGroupFacts& each : facts.work_group) {
      devices.push_back(each.device);
      work_group.insert(
          work_group.end(),
          {each.max_size, each.required_size[0], each.required_size[1], each.required_size[2],
           each.local_memory, each.multiple, each.private_memory, 0});
    }
    message.name = facts.name;
    message.attributes = facts.attributes;
    message.arg_kinds = kinds;
    message.arg_sizes = sizes;
    message.arg_address = address;
    message.arg_access = access;
    message.arg_type_qualifiers = qualifiers;
    message.devices = devices;
    message.work_group = work_group;
  }
};

}  // namespace

std::shared_ptr<const ProgramFacts> find_facts(cl_program program,
                                               std::span<const NumberedDevice> devices,
                                               cl_int* error) {
  auto facts = std::make_shared<ProgramFacts>();
  AnyBuffer buffer(program);  // outlives the kernels that may have it for an argument
  Kernels kernels;
  *error = make_kernels(program, kernels);
  const std::vector<std::byte> zeros(least_parameter_size(devices));
  for (cl_kernel kernel : kernels.handles) {
    KernelFacts found;
    found.name = kernel_text(kernel, CL_KERNEL_FUNCTION_NAME);
    found.attributes = kernel_text(kernel, CL_KERNEL_ATTRIBUTES);
    find_args(kernel, zeros, buffer, found);
    for (const NumberedDevice& device : devices) {
      found.work_group.push_back(find_work_group(kernel, device));
    }
    facts->by_name.emplace(found.name, facts->kernels.size());
    facts->kernels.push_back(std::move(found));
  }
  return facts;
}

void send_facts(Answers& answers, std::uint64_t program, const ProgramFacts& facts) {
  for (const KernelFacts& kernel : facts.kernels) {
    Outgoing outgoing(kernel);
    outgoing.message.program = program;
    try {
      answers.send(outgoing.message);
    } catch (const wire::TooLong&) {
      for (auto* names : {&outgoing.message.arg_type_names, &outgoing.message.arg_names}) {
        std::ranges::fill(*names, std::string_view());
      }
      outgoing.message.attributes = {};
      answers.send(outgoing.message);
    }
  }
}

}  // namespace tessera::worker

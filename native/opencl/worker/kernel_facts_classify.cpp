// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <charconv>

#include "opencl/worker/kernel_facts.h"

namespace tessera::worker {
namespace {

constexpr std::size_t kHandle = sizeof(cl_mem);

struct Scalar {
  std::string_view name;
  std::uint64_t size;
};
constexpr std::array<Scalar, 18> kScalars{{{"char", 1},
                                           {"uchar", 1},
                                           {"unsigned char", 1},
                                           {"short", 2},
                                           {"ushort", 2},
                                           {"unsigned short", 2},
                                           {"half", 2},
                                           {"int", 4},
                                           {"uint", 4},
                                           {"unsigned int", 4},
                                           {"unsigned", 4},
                                           {"float", 4},
                                           {"long", 8},
                                           {"ulong", 8},
                                           {"unsigned long", 8},
                                           {"double", 8},
                                           {"signed char", 1},
                                           {"signed int", 4}}};

// The width that a vector's name ends with; 1 for none, 0 for what is no vector.
std::uint64_t vector_width(std::string_view digits) {
  if (digits.empty()) return 1;
  std::uint64_t width = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), width);
  if (error != std::errc() || end != digits.data() + digits.size()) return 0;
  if (width == 3) return 4;  // takes the room of four
  return width == 2 || width == 4 || width == 8 || width == 16 ? width : 0;
}

bool names_image(std::string_view type) {
  return type.starts_with("image") && type.ends_with("_t");
}

// A driver that takes all of these takes anything.
bool takes_anything(const Probe& probe) {
  for (const std::size_t odd : {std::size_t{5}, std::size_t{7}, std::size_t{11}}) {
    if (probe.zeros(odd) != CL_SUCCESS) return false;
  }
  return true;
}

std::uint64_t probe_size(const Probe& probe, std::uint64_t max_parameter_size) {
  if (takes_anything(probe)) return 0;
  for (std::uint64_t size = 1; size <= max_parameter_size; size *= 2) {
    if (probe.zeros(size) == CL_SUCCESS) return size;
  }
  for (std::uint64_t size = 3; size <= max_parameter_size; ++size) {
    if (probe.zeros(size) == CL_SUCCESS) return size;
  }
  return 0;
}

void classify_undescribed(ArgFacts& arg, const Probe& probe, std::uint64_t max_parameter_size) {
  // Only local memory has any size without a value.
  if (probe.null(3 * kHandle) == CL_SUCCESS) {
    arg.kind = ArgKind::local;
    return;
  }
  if (probe.null(kHandle) == CL_SUCCESS) {
    arg.kind = ArgKind::buffer;
    return;
  }
  const cl_int handle = probe.zeros(kHandle);
  if (handle == CL_INVALID_MEM_OBJECT) {
    arg.kind = ArgKind::image;
  } else if (handle == CL_INVALID_SAMPLER) {
    arg.kind = ArgKind::sampler;
  } else {
    arg.size = probe_size(probe, max_parameter_size);
    // Eight bytes and no name: could as well be a handle of which the driver takes NULL, and then
    // nobody's bytes go there. What takes a buffer's handle and is no buffer is a number.
    const bool handle_or_number = arg.size == 0 || arg.size == kHandle;
    const bool number = arg.size == kHandle && probe.buffer() == CL_SUCCESS;
    arg.kind = handle_or_number && !number ? ArgKind::unknown : ArgKind::value;
    if (arg.kind == ArgKind::unknown) arg.size = 0;
  }
}

void classify_private(ArgFacts& arg, const Probe& probe, std::uint64_t max_parameter_size) {
  if (arg.type_name == "sampler_t") {
    arg.kind = ArgKind::sampler;
  } else if (arg.type_name == "queue_t" || arg.type_name == "reserve_id_t" ||
             arg.type_name == "clk_event_t" || arg.access != CL_KERNEL_ARG_ACCESS_NONE) {
    arg.kind = ArgKind::unknown;
  } else if (probe.null(kHandle) == CL_SUCCESS || probe.zeros(kHandle) == CL_INVALID_SAMPLER) {
    // A handle behind a typedef, and of handles only a sampler is private.
    arg.kind = ArgKind::sampler;
  } else {
    arg.kind = ArgKind::value;
    arg.size = scalar_size(arg.type_name);
    if (arg.size == 0) arg.size = probe_size(probe, max_parameter_size);
  }
}

}  // namespace

std::uint64_t scalar_size(std::string_view name) {
  for (const Scalar& scalar : kScalars) {
    if (!name.starts_with(scalar.name)) continue;
    if (const std::uint64_t width = vector_width(name.substr(scalar.name.size())); width != 0) {
      return scalar.size * width;
    }
  }
  return 0;
}

void classify(ArgFacts& arg, bool described, const Probe& probe, std::uint64_t max_parameter_size) {
  if (!described) return classify_undescribed(arg, probe, max_parameter_size);
  switch (arg.address) {
    case CL_KERNEL_ARG_ADDRESS_LOCAL:
      arg.kind = ArgKind::local;
      return;
    case CL_KERNEL_ARG_ADDRESS_GLOBAL:
    case CL_KERNEL_ARG_ADDRESS_CONSTANT:
      if (arg.type_name == "sampler_t") {
        // Some drivers place samplers in constant memory.
        arg.kind = ArgKind::sampler;
      } else {
        const bool image = arg.access != CL_KERNEL_ARG_ACCESS_NONE || names_image(arg.type_name);
        arg.kind = image ? ArgKind::image : ArgKind::buffer;
      }
      return;
    default:
      classify_private(arg, probe, max_parameter_size);
      return;
  }
}

cl_int check_value(const ArgFacts& arg, std::uint64_t bytes, std::uint64_t max_parameter_size) {
  if (bytes == 0 || bytes > max_parameter_size) return CL_INVALID_ARG_SIZE;
  switch (arg.kind) {
    case ArgKind::value: {
      // A vector of three may come without its padding.
      const bool three = arg.type_name.ends_with('3') && bytes == arg.size / 4 * 3;
      return arg.size == 0 || bytes == arg.size || three ? CL_SUCCESS : CL_INVALID_ARG_SIZE;
    }
    case ArgKind::unknown:
      return bytes == kHandle ? CL_INVALID_ARG_VALUE : CL_SUCCESS;
    default:
      return CL_INVALID_ARG_VALUE;
  }
}

const WorkGroupFacts* KernelFacts::on(std::uint32_t device) const {
  for (const WorkGroupFacts& each : work_group) {
    if (each.device == device) return &each;
  }
  return nullptr;
}

const KernelFacts* ProgramFacts::find(const std::string& name) const {
  const auto at = by_name.find(name);
  return at == by_name.end() ? nullptr : &kernels[at->second];
}

}  // namespace tessera::worker

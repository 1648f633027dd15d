// SPDX-License-Identifier: Apache-2.0
//
// The errors of a launch and of its arguments, as the client finds them without the worker.
#include "check.h"
#include "opencl/client/kernel_facts.h"
#include "opencl/client/ndrange_rules.h"
#include "opencl/client/program_options.h"

namespace tessera::client {
namespace {

constexpr std::size_t kMax = SIZE_MAX;

NdRangeLimits limits(bool uniform) {
  return {.max_dimensions = 3,
          .max_item_sizes = {64, 32, 16},
          .max_address = UINT64_MAX,
          .local_memory = 1024,
          .uniform = uniform};
}

cl_int checked(std::array<std::size_t, 3> global, std::array<std::size_t, 3> local,
               bool uniform = true, std::array<std::size_t, 3> required = {}) {
  const WorkGroupFacts facts{.max_size = 128, .required_size = required};
  return check_nd_range({3, nullptr, global.data(), local.data()}, facts, limits(uniform));
}

void dimensions() {
  const std::size_t one = 1;
  const WorkGroupFacts facts{.max_size = 128};
  CHECK(check_nd_range({0, nullptr, &one, nullptr}, facts, limits(true)) ==
        CL_INVALID_WORK_DIMENSION);
  CHECK(check_nd_range({4, nullptr, &one, nullptr}, facts, limits(true)) ==
        CL_INVALID_WORK_DIMENSION);
  CHECK(check_nd_range({1, nullptr, &one, nullptr}, facts, limits(true)) == CL_SUCCESS);
  CHECK(check_nd_range({1, nullptr, nullptr, nullptr}, facts, limits(true)) == CL_SUCCESS);
  CHECK(is_empty({1, nullptr, nullptr, nullptr}));
}

void local_sizes() {
  CHECK(checked({64, 32, 16}, {8, 4, 4}) == CL_SUCCESS);
  CHECK(checked({64, 32, 16}, {8, 8, 4}) == CL_INVALID_WORK_GROUP_SIZE);
  CHECK(checked({128, 1, 1}, {128, 1, 1}) == CL_INVALID_WORK_ITEM_SIZE);
  CHECK(checked({64, 1, 1}, {0, 1, 1}) == CL_INVALID_WORK_GROUP_SIZE);
  CHECK(checked({kMax, 1, 1}, {64, 1, 1}) == CL_INVALID_WORK_GROUP_SIZE);
  CHECK(checked({65, 1, 1}, {64, 1, 1}, true) == CL_INVALID_WORK_GROUP_SIZE);
  CHECK(checked({65, 1, 1}, {64, 1, 1}, false) == CL_SUCCESS);
}

void required_sizes() {
  CHECK(checked({8, 4, 1}, {4, 2, 1}, true, {4, 2, 1}) == CL_SUCCESS);
  CHECK(checked({8, 4, 1}, {2, 2, 1}, true, {4, 2, 1}) == CL_INVALID_WORK_GROUP_SIZE);
  const std::size_t eight = 8, four = 4;
  const WorkGroupFacts facts{.max_size = 128, .required_size = {4, 1, 1}};
  CHECK(check_nd_range({1, nullptr, &eight, &four}, facts, limits(true)) == CL_SUCCESS);
  CHECK(check_nd_range({1, nullptr, &eight, nullptr}, facts, limits(true)) ==
        CL_INVALID_WORK_GROUP_SIZE);
}

void offsets() {
  const std::size_t global = 8, fits = kMax - 8, wraps = kMax - 7;
  const WorkGroupFacts facts{.max_size = 128};
  CHECK(check_nd_range({1, &fits, &global, nullptr}, facts, limits(true)) == CL_SUCCESS);
  CHECK(check_nd_range({1, &wraps, &global, nullptr}, facts, limits(true)) ==
        CL_INVALID_GLOBAL_OFFSET);
  NdRangeLimits narrow = limits(true);
  narrow.max_address = UINT32_MAX;
  const std::size_t wide = std::size_t{1} << 32;
  CHECK(check_nd_range({1, nullptr, &wide, nullptr}, facts, narrow) == CL_INVALID_GLOBAL_WORK_SIZE);
}

void language_versions() {
  CHECK(options_ask_for_uniform_work_groups(""));
  CHECK(options_ask_for_uniform_work_groups("-DX=1 -cl-std=CL1.2"));
  CHECK(!options_ask_for_uniform_work_groups("  -cl-std=CL2.0 "));
  CHECK(!options_ask_for_uniform_work_groups("-cl-std=CL1.1 -cl-std=CL3.0"));
  CHECK(!options_ask_for_uniform_work_groups("-cl-std=CLC++"));
  CHECK(options_ask_for_uniform_work_groups("-cl-std=CL3.0 -cl-uniform-work-group-size"));
  CHECK(
      options_ask_for_uniform_work_groups("-I -cl-std=CL2.0x/CL1"
                                          " -cl-std=CL1.0"));
}

void argument_sizes() {
  ArgFacts arg;
  arg.size = 16;
  arg.type_name = "float4";
  CHECK(arg.takes(16, 1024) && !arg.takes(12, 1024) && !arg.takes(0, 1024));
  arg.type_name = "float3";
  CHECK(arg.takes(16, 1024) && arg.takes(12, 1024) && !arg.takes(8, 1024));
  arg.size = 0;
  CHECK(!arg.takes(0, 1024) && arg.takes(1, 1024) && arg.takes(1024, 1024));
  CHECK(!arg.takes(1025, 1024));
}

void facts_that_do_not_fit_together() {
  const std::array<std::uint32_t, 1> kinds{1};
  const std::array<std::uint64_t, 2> sizes{4, 4};
  wire::KernelFacts message;
  message.arg_kinds = kinds;
  message.arg_sizes = sizes;
  CHECK_THROWS(KernelFacts::from(message), std::runtime_error);
  message.arg_sizes = std::span(sizes).first(1);
  CHECK(KernelFacts::from(message).args.size() == 1);
  message.devices = kinds;
  CHECK_THROWS(KernelFacts::from(message), std::runtime_error);
}

}  // namespace
}  // namespace tessera::client

int main() {
  using namespace tessera::client;
  dimensions();
  local_sizes();
  required_sizes();
  offsets();
  language_versions();
  argument_sizes();
  facts_that_do_not_fit_together();
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// A program: where it came from, and what its last build left on each device.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "opencl/client/context.h"
#include "opencl/client/kernel_facts.h"
#include "opencl/client/ndrange_rules.h"
#include "opencl/client/object.h"

namespace tessera::client {

class Build;

// What the program was made from.
enum class Origin { source, il, binary, builtin_kernels, linked };

// The state of a program on one device.
struct DeviceBuild {
  cl_build_status status = CL_BUILD_NONE;
  std::string options;                     // of the last build, as the program gave them
  std::shared_ptr<const std::string> log;  // of the last build; null: empty
  cl_program_binary_type binary_type = CL_PROGRAM_BINARY_TYPE_NONE;
  std::size_t global_variables = 0;              // bytes
  std::size_t binary_size = 0;                   // bytes; 0 = the worker did not tell
  std::optional<std::vector<std::byte>> binary;  // once fetched
};

using Facts = std::shared_ptr<const KernelFacts>;

class Program final : public Typed<Program> {
 public:
  // `text`: the source, the IL or the names of built-in kernels; empty otherwise.
  Program(Context& context, std::vector<Device*> devices, Origin origin, std::string text);

  Context& context() const { return *context_; }
  const std::vector<Device*>& devices() const { return devices_; }
  Origin origin() const { return origin_; }
  const std::string& text() const { return text_; }
  bool has_device(const Device& device) const;
  // What one of its devices allows a launch. Throws ApiError(CL_INVALID_DEVICE).
  const NdRangeLimits& limits(const Device& device) const;
  // The devices of a list that the API takes: empty means all. Throws ApiError: CL_INVALID_VALUE,
  // CL_INVALID_DEVICE.
  std::vector<Device*> chosen(cl_uint count, const cl_device_id* devices) const;

  // What is known of one of its devices. Throws ApiError(CL_INVALID_DEVICE).
  DeviceBuild state(const Device& device) const;
  // The binary of a device; asks the worker once after each build. Empty without one.
  std::vector<std::byte> binary(const Device& device);
  std::size_t binary_size(const Device& device);
  void keep_binary(const Device& device, std::vector<std::byte> binary);
  // The binary that the program was made from, which is not built yet.
  void load_binary(const Device& device, std::vector<std::byte> binary,
                   cl_program_binary_type type);

  // Some device has an executable, this one has.
  bool executable() const;
  bool executable_on(const Device& device) const;
  // Throws ApiError: CL_INVALID_PROGRAM_EXECUTABLE, CL_INVALID_KERNEL_NAME.
  Facts facts_of(std::string_view kernel) const;
  std::vector<Facts> kernels() const;

  // Every work-group of its kernels has to be whole.
  bool uniform() const { return uniform_.load(std::memory_order_relaxed); }
  void set_uniform(bool uniform) { uniform_.store(uniform, std::memory_order_relaxed); }

  // Tells what its kernels' arguments are.
  bool arg_info() const { return arg_info_.load(std::memory_order_relaxed); }

  void attach_kernel() { kernels_attached_.fetch_add(1, std::memory_order_relaxed); }
  void detach_kernel() noexcept { kernels_attached_.fetch_sub(1, std::memory_order_relaxed); }
  bool has_kernels() const { return kernels_attached_.load(std::memory_order_relaxed) != 0; }

  // A build takes the program; one at a time. Throws ApiError(CL_INVALID_OPERATION) while another
  // has it or kernels are attached.
  void begin_build(const std::shared_ptr<Build>& build);
  std::shared_ptr<Build> build() const;
  // Takes over what the build found out.
  void end_build(Build& build);
  // Facts that come without a build: those of built-in kernels.
  void add_facts(Facts facts);

 private:
  Ref<Context> context_;
  const std::vector<Device*> devices_;
  std::vector<NdRangeLimits> limits_;  // parallel to the devices
  const Origin origin_;
  const std::string text_;
  std::atomic<bool> uniform_{false};
  std::atomic<bool> arg_info_{true};
  std::atomic<std::size_t> kernels_attached_{0};
  mutable std::mutex mutex_;
  std::map<std::uint32_t, DeviceBuild> states_;  // by device index
  std::vector<Facts> facts_;
  std::shared_ptr<Build> build_;
};

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/program.h"

#include <algorithm>

#include "opencl/client/build.h"
#include "opencl/client/session.h"
#include "opencl/may_print.h"

namespace tessera::client {
namespace {

bool is_executable(const DeviceBuild& state) {
  return state.status == CL_BUILD_SUCCESS &&
         state.binary_type != CL_PROGRAM_BINARY_TYPE_COMPILED_OBJECT &&
         state.binary_type != CL_PROGRAM_BINARY_TYPE_LIBRARY;
}

}  // namespace

Program::Program(Context& context, std::vector<Device*> devices, Origin origin, std::string text)
    : Typed(&context.session()),
      context_(context),
      devices_(std::move(devices)),
      origin_(origin),
      text_(std::move(text)) {
  const bool opaque = origin_ == Origin::binary || origin_ == Origin::il;
  if (opaque || may_print(text_)) session().unfinished().note_visible_kernels();
  for (const Device* device : devices_) {
    limits_.push_back(limits_of(*device));
    DeviceBuild& state = states_[device->index()];
    if (origin_ != Origin::builtin_kernels) continue;
    state.status = CL_BUILD_SUCCESS;
    state.binary_type = CL_PROGRAM_BINARY_TYPE_EXECUTABLE;
  }
}

bool Program::has_device(const Device& device) const {
  return std::find(devices_.begin(), devices_.end(), &device) != devices_.end();
}

const NdRangeLimits& Program::limits(const Device& device) const {
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    if (devices_[i] == &device) return limits_[i];
  }
  throw ApiError(CL_INVALID_DEVICE);
}

std::vector<Device*> Program::chosen(cl_uint count, const cl_device_id* devices) const {
  ensure((count == 0) == (devices == nullptr), CL_INVALID_VALUE);
  if (count == 0) return devices_;
  std::vector<Device*> chosen;
  for (cl_uint i = 0; i < count; ++i) {
    Device& device = require<Device>(devices[i]);
    ensure(has_device(device), CL_INVALID_DEVICE);
    chosen.push_back(&device);
  }
  return chosen;
}

DeviceBuild Program::state(const Device& device) const {
  const std::lock_guard lock(mutex_);
  const auto at = states_.find(device.index());
  ensure(at != states_.end(), CL_INVALID_DEVICE);
  return at->second;
}

std::vector<std::byte> Program::binary(const Device& device) {
  const DeviceBuild known = state(device);
  if (known.binary) return *known.binary;
  if (known.status != CL_BUILD_SUCCESS) return {};
  wire::GetProgramBinary message;
  message.program = id();
  message.device = device.index();
  const Reply reply = session().call(message);
  ensure_success(reply.status);
  std::vector<std::byte> bytes(reply.bulk.data(), reply.bulk.data() + reply.bulk.size());
  keep_binary(device, bytes);
  return bytes;
}

std::size_t Program::binary_size(const Device& device) {
  const DeviceBuild known = state(device);
  if (known.binary) return known.binary->size();
  return known.binary_size != 0 ? known.binary_size : binary(device).size();
}

void Program::keep_binary(const Device& device, std::vector<std::byte> binary) {
  const std::lock_guard lock(mutex_);
  states_[device.index()].binary = std::move(binary);
}

void Program::load_binary(const Device& device, std::vector<std::byte> binary,
                          cl_program_binary_type type) {
  const std::lock_guard lock(mutex_);
  states_[device.index()].binary = std::move(binary);
  states_[device.index()].binary_type = type;
}

bool Program::executable() const {
  const std::lock_guard lock(mutex_);
  return std::any_of(states_.begin(), states_.end(),
                     [](const auto& each) { return is_executable(each.second); });
}

bool Program::executable_on(const Device& device) const {
  const std::lock_guard lock(mutex_);
  const auto at = states_.find(device.index());
  return at != states_.end() && is_executable(at->second);
}

Facts Program::facts_of(std::string_view kernel) const {
  ensure(executable(), CL_INVALID_PROGRAM_EXECUTABLE);
  const std::lock_guard lock(mutex_);
  const auto at = std::find_if(facts_.begin(), facts_.end(),
                               [&](const Facts& facts) { return facts->name == kernel; });
  ensure(at != facts_.end(), CL_INVALID_KERNEL_NAME);
  return *at;
}

std::vector<Facts> Program::kernels() const {
  ensure(executable(), CL_INVALID_PROGRAM_EXECUTABLE);
  const std::lock_guard lock(mutex_);
  return facts_;
}

void Program::begin_build(const std::shared_ptr<Build>& build) {
  const std::lock_guard lock(mutex_);
  ensure(build_ == nullptr && !has_kernels(), CL_INVALID_OPERATION);
  build_ = build;
  for (const Device* device : build->devices) {
    states_[device->index()] = {};
    states_[device->index()].status = CL_BUILD_IN_PROGRESS;
    states_[device->index()].options = build->options;
  }
}

std::shared_ptr<Build> Program::build() const {
  const std::lock_guard lock(mutex_);
  return build_;
}

void Program::end_build(Build& build) {
  const std::lock_guard lock(mutex_);
  build_ = nullptr;
  facts_ = build.facts;
  for (const Device* device : build.devices) states_[device->index()].status = CL_BUILD_NONE;
  for (const Build::Result& result : build.results) {
    const auto at = states_.find(result.device);
    if (at == states_.end()) continue;
    const bool asked =
        std::any_of(build.devices.begin(), build.devices.end(),
                    [&](const Device* device) { return device->index() == result.device; });
    // It lost what it had, or is a part of the same device as one that was asked for.
    if (!asked) at->second = {};
    if (!asked && result.status == CL_BUILD_SUCCESS) at->second.options = build.options;
    at->second.status = result.status;
    at->second.binary_type = result.binary_type;
    at->second.binary_size = result.binary_size;
    at->second.global_variables = result.global_variables;
    at->second.log = std::make_shared<const std::string>(std::move(build.logs[result.device]));
  }
  if (build.status != CL_SUCCESS) return;
  set_uniform(build.uniform);
  arg_info_.store(build.arg_info, std::memory_order_relaxed);
}

void Program::add_facts(Facts facts) {
  const std::lock_guard lock(mutex_);
  facts_.push_back(std::move(facts));
}

}  // namespace tessera::client

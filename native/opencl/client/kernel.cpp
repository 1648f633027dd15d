// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/kernel.h"

#include <algorithm>
#include <utility>

#include "opencl/client/image.h"
#include "opencl/client/session.h"

namespace tessera::client {

Kernel::Kernel(Program& program, Facts facts)
    : Typed(&program.session()),
      program_(program),
      facts_(std::move(facts)),
      arguments_(facts_->args.size()) {
  program.attach_kernel();
}

Kernel::Kernel(Kernel& source)
    : Typed(&source.session()), program_(source.program_), facts_(source.facts_) {
  const std::lock_guard lock(source.mutex_);
  arguments_ = source.arguments_;
  changes_ = source.changes_;  // the worker's clone has not got them either
  indirect_ = source.indirect_;
  program_->attach_kernel();
}

const WorkGroupFacts* Kernel::work_group(const Device& device) const {
  const auto at = facts_->work_group.find(device.index());
  return at == facts_->work_group.end() ? nullptr : &at->second;
}

Device& Kernel::device(cl_device_id handle) const {
  // Those of the program that it was built for.
  const auto has = [this](const Device* device) { return work_group(*device) != nullptr; };
  const std::vector<Device*>& devices = program_->devices();
  if (handle == nullptr && std::count_if(devices.begin(), devices.end(), has) == 1) {
    return **std::find_if(devices.begin(), devices.end(), has);
  }
  Device& device = require<Device>(handle);
  ensure(program_->has_device(device) && has(&device), CL_INVALID_DEVICE);
  return device;
}

std::uint64_t Kernel::ensure_launchable(const Device& device) {
  const std::size_t align = device.address_align_bits() / 8;
  const bool images_may_not_fit = context().devices().size() > 1;
  std::uint64_t local_bytes = 0;
  const std::lock_guard lock(mutex_);
  for (const KernelArgument& argument : arguments_) {
    ensure(argument.what != KernelArgument::What::unset, CL_INVALID_KERNEL_ARGS);
    ensure(argument.sub_buffer_at == 0 || argument.sub_buffer_at % align == 0,
           CL_MISALIGNED_SUB_BUFFER_OFFSET);
    if (argument.what == KernelArgument::What::local) local_bytes += argument.number;
    if (!images_may_not_fit || argument.image.type == 0) continue;
    ensure(image_fits(argument.image, device), CL_INVALID_IMAGE_SIZE);
  }
  return local_bytes;
}

std::vector<Ref<Object>> Kernel::argument_objects() {
  std::vector<Ref<Object>> objects;
  const std::lock_guard lock(mutex_);
  for (const KernelArgument& argument : arguments_) {
    if (argument.what != KernelArgument::What::object || argument.number == 0) continue;
    objects.push_back(session().find_any(argument.number));
    ensure(static_cast<bool>(objects.back()), CL_INVALID_KERNEL_ARGS);
  }
  return objects;
}

std::uint64_t Kernel::local_memory(const Device& device) {
  const WorkGroupFacts* facts = work_group(device);
  std::uint64_t bytes = facts == nullptr ? 0 : facts->local_memory;
  const std::lock_guard lock(mutex_);
  for (const KernelArgument& argument : arguments_) {
    if (argument.what == KernelArgument::What::local) bytes += argument.number;
  }
  return bytes;
}

bool Kernel::is_news(cl_kernel_exec_info indirect, bool allowed) {
  const std::lock_guard lock(mutex_);
  const auto [at, first] = indirect_.emplace(indirect, allowed);
  return first || std::exchange(at->second, allowed) != allowed;
}

}  // namespace tessera::client

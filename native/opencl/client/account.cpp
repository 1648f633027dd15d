// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/account.h"

namespace tessera::client {

void Account::charge(std::span<Device* const> devices, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  for (const Device* device : devices) {
    const std::uint64_t used = used_[device->index()];
    ensure(used <= device->memory() && size <= device->memory() - used,
           CL_MEM_OBJECT_ALLOCATION_FAILURE);
  }
  for (const Device* device : devices) used_[device->index()] += size;
}

void Account::give_back(std::span<Device* const> devices, std::uint64_t size) noexcept {
  const std::lock_guard lock(mutex_);
  for (const Device* device : devices) used_[device->index()] -= size;
}

std::uint64_t Account::used(const Device& device) const {
  const std::lock_guard lock(mutex_);
  return used_[device.index()];
}

}  // namespace tessera::client

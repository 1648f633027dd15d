// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/account.h"

#include <algorithm>

namespace tessera::client {

void Account::begin(std::size_t device, std::uint64_t limit) {
  const std::lock_guard lock(mutex_);
  limits_.at(device) = limit;
  devices_ = std::max(devices_, device + 1);
}

bool Account::resize(std::uint64_t resizes, std::span<const std::uint64_t> limits) {
  const std::lock_guard lock(mutex_);
  if (limits.size() != devices_) return false;
  if (resizes <= resizes_) return true;
  resizes_ = resizes;
  std::ranges::copy(limits, limits_.begin());
  return true;
}

bool Account::charge(std::span<Device* const> devices, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  bool fits = true;
  for (const Device* device : devices) {
    std::uint64_t& used = used_[device->index()];
    const std::uint64_t limit = limits_[device->index()];
    fits = fits && used <= limit && size <= limit - used;
    used += size;
  }
  return fits;
}

void Account::give_back(std::span<Device* const> devices, std::uint64_t size) noexcept {
  const std::lock_guard lock(mutex_);
  for (const Device* device : devices) used_[device->index()] -= size;
}

}  // namespace tessera::client

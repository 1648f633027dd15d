// SPDX-License-Identifier: Apache-2.0
//
// What this session holds of the lease's memory, so that a creation past it fails at the call
// without a round trip. The worker's count is the one that binds; this one only knows this
// session's objects and is believed as long as the session is alone on the lease.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <span>

#include "opencl/client/device.h"

namespace tessera::client {

inline constexpr std::size_t kMaxDevices = 16;

class Account {
 public:
  // Adds `size` bytes on each device. Throws ApiError(CL_MEM_OBJECT_ALLOCATION_FAILURE) past a
  // lease.
  void charge(std::span<Device* const> devices, std::uint64_t size);
  void give_back(std::span<Device* const> devices, std::uint64_t size) noexcept;
  std::uint64_t used(const Device& device) const;

 private:
  mutable std::mutex mutex_;
  std::array<std::uint64_t, kMaxDevices> used_{};
};

// One charge, given back when dropped.
class Charge {
 public:
  Charge() = default;
  Charge(Account& account, std::span<Device* const> devices, std::uint64_t size)
      : account_(&account), devices_(devices), size_(size) {
    account.charge(devices, size);
  }
  Charge(Charge&& other) noexcept { swap(other); }
  Charge& operator=(Charge&& other) noexcept {
    Charge(std::move(other)).swap(*this);
    return *this;
  }
  ~Charge() {
    if (account_ != nullptr) account_->give_back(devices_, size_);
  }

 private:
  void swap(Charge& other) noexcept {
    std::swap(account_, other.account_);
    std::swap(devices_, other.devices_);
    std::swap(size_, other.size_);
  }

  Account* account_ = nullptr;
  std::span<Device* const> devices_;  // of the context, which outlives what it holds
  std::uint64_t size_ = 0;
};

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
//
// What this session holds of the lease's memory, so that a creation which fits can be posted, with
// no need to ask. The worker's count is the one that binds; this one only knows this session's
// objects and is believed as long as the session is alone on the lease.
//
// A creation that seems not to fit asks the worker before it fails: the lease may have grown. To
// refuse it here, without a message, was given up for that. A lease that shrinks is told with the
// next answer of the worker; what was posted before that fails as every posted creation does, in
// the commands that use it.
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
  // The lease's bytes on a device, by its number on the wire, as the session begins.
  void begin(std::size_t device, std::uint64_t limit);
  // The limits of all devices after they were changed for the `resizes`-th time; a message that was
  // overtaken by a later one has no effect. False for another number of devices.
  bool resize(std::uint64_t resizes, std::span<const std::uint64_t> limits);

  // Adds `size` bytes on each device of the lease, and tells whether they fit the lease's limit on
  // all.
  bool charge(std::span<Device* const> devices, std::uint64_t size);
  void give_back(std::span<Device* const> devices, std::uint64_t size) noexcept;

 private:
  std::mutex mutex_;
  std::size_t devices_ = 0;
  std::uint64_t resizes_ = 0;
  std::array<std::uint64_t, kMaxDevices> limits_{};
  std::array<std::uint64_t, kMaxDevices> used_{};
};

// One charge, given back when dropped.
class Charge {
 public:
  Charge() = default;
  Charge(Account& account, std::span<Device* const> devices, std::uint64_t size)
      : account_(&account), devices_(devices), size_(size), fits_(account.charge(devices, size)) {}
  Charge(Charge&& other) noexcept { swap(other); }
  Charge& operator=(Charge&& other) noexcept {
    Charge(std::move(other)).swap(*this);
    return *this;
  }
  ~Charge() {
    if (account_ != nullptr) account_->give_back(devices_, size_);
  }

  // As far as this session knows.
  bool fits() const { return fits_; }

 private:
  void swap(Charge& other) noexcept {
    std::swap(account_, other.account_);
    std::swap(devices_, other.devices_);
    std::swap(size_, other.size_);
    std::swap(fits_, other.fits_);
  }

  Account* account_ = nullptr;
  std::span<Device* const> devices_;  // of the context, which outlives what it holds
  std::uint64_t size_ = 0;
  bool fits_ = true;
};

}  // namespace tessera::client

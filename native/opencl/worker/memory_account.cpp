// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/memory_account.h"

namespace tessera::worker {
namespace {

constexpr std::chrono::seconds kDestroying{10};

}  // namespace

Charge::~Charge() {
  account_.quota_.release(account_.slot_, gpu_mask_, bytes_);
}

bool Charge::adjust(std::uint64_t bytes) {
  if (bytes > bytes_) {
    if (!account_.quota_.reserve(account_.slot_, gpu_mask_, bytes - bytes_)) return false;
  } else {
    account_.quota_.release(account_.slot_, gpu_mask_, bytes_ - bytes);
  }
  bytes_ = bytes;
  return true;
}

MemoryAccount::~MemoryAccount() {
  std::unique_lock lock(mutex_);
  released_.wait_for(lock, kDestroying, [&] { return alive_.load() <= 0; });
}

std::unique_ptr<Charge> MemoryAccount::charge(std::uint32_t gpu_mask, std::uint64_t bytes,
                                              bool count_refusal) {
  if (!quota_.reserve(slot_, gpu_mask, bytes, count_refusal)) return nullptr;
  return std::make_unique<Charge>(*this, gpu_mask, bytes);
}

cl_int MemoryAccount::attach(std::unique_ptr<Charge> charge, cl_mem object) {
  auto tied = std::make_unique<Tied>(Tied{this, std::move(charge)});
  alive_.fetch_add(1);
  const cl_int status = clSetMemObjectDestructorCallback(object, destroyed, tied.get());
  if (status == CL_SUCCESS) {
    tied.release();
  } else {
    alive_.fetch_sub(1);
  }
  return status;
}

void CL_CALLBACK MemoryAccount::destroyed(cl_mem, void* charge) {
  const std::unique_ptr<Tied> tied(static_cast<Tied*>(charge));
  MemoryAccount& account = *tied->account;
  tied->charge.reset();
  const std::lock_guard lock(account.mutex_);
  account.alive_.fetch_sub(1);
  ++account.releases_;
  account.released_.notify_all();
}

bool MemoryAccount::wait_for_release(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  const std::uint64_t before = releases_;
  if (!releases_pending()) return false;
  return released_.wait_until(lock, deadline, [&] { return releases_ != before; });
}

}  // namespace tessera::worker

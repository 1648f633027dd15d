// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/owed_calls.h"

namespace tessera::worker {
namespace {

void* as_pointer(std::uint64_t number) {
  return reinterpret_cast<void*>(static_cast<std::uintptr_t>(number));
}

}  // namespace

// Never destroyed: a driver's thread may outlive everything else.
OwedCalls& OwedCalls::of_this_process() {
  static OwedCalls* const calls = new OwedCalls;
  return *calls;
}

void* OwedCalls::add(Call call) {
  auto owed = std::make_unique<Call>(std::move(call));
  const std::lock_guard lock(mutex_);
  const std::uint64_t number = owed->number = ++last_;
  calls_.insert(number, std::move(owed));
  return as_pointer(number);
}

std::unique_ptr<OwedCalls::Call> OwedCalls::take(void* number) {
  const std::lock_guard lock(mutex_);
  return calls_.take(reinterpret_cast<std::uintptr_t>(number));
}

std::vector<OwedCalls::Seen> OwedCalls::of(const Callbacks* owner) const {
  std::vector<Seen> seen;
  const std::lock_guard lock(mutex_);
  calls_.each([&](const auto& call) {
    if (call->owner == owner) {
      seen.push_back({as_pointer(call->number), call->event, call->keeps});
    }
  });
  return seen;
}

}  // namespace tessera::worker

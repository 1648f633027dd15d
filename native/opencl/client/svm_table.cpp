// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/svm_table.h"

#include <algorithm>
#include <iterator>

namespace tessera::client {

bool SvmTable::add(const AllocationFacts& facts, Charge charge, UniqueFd pages) {
  const bool shared = static_cast<bool>(pages);
  // Memory of a device is an address here and nothing else: a program that looks at it finds out.
  const bool looks = facts.kind != AllocationKind::device;
  const std::lock_guard lock(mutex_);
  const bool taken = shared ? pages_.take_shared(facts.base, facts.size, pages.get())
                            : pages_.take(facts.base, facts.size, looks);
  if (!taken) return false;
  allocations_.insert_or_assign(facts.base, Allocation{facts, std::move(charge), shared});
  return true;
}

SvmTable::Allocations::iterator SvmTable::erase(Allocations::iterator at) {
  const std::uintptr_t base = at->first;
  const std::size_t size = at->second.facts.size;
  std::erase_if(mappings_, [&](const SvmMapping& mapping) {
    return reinterpret_cast<std::uintptr_t>(mapping.pointer) - base < size;
  });
  at->second.shared ? pages_.give_back_shared(base, size) : pages_.give_back(base, size);
  return allocations_.erase(at);
}

bool SvmTable::remove(wire::Id context, std::uintptr_t base) {
  const std::lock_guard lock(mutex_);
  const auto at = allocations_.find(base);
  if (at == allocations_.end() || at->second.facts.context != context) return false;
  erase(at);
  return true;
}

void SvmTable::remove_all(wire::Id context) {
  const std::lock_guard lock(mutex_);
  contexts_.erase(context);
  for (auto at = allocations_.begin(); at != allocations_.end();) {
    at = at->second.facts.context == context ? erase(at) : std::next(at);
  }
}

const SvmTable::Allocations::value_type* SvmTable::find(std::uintptr_t at) const {
  auto found = allocations_.upper_bound(at);
  if (found == allocations_.begin()) return nullptr;
  --found;
  return at - found->first < found->second.facts.size ? &*found : nullptr;
}

bool SvmTable::contains(wire::Id context, std::uintptr_t at, std::size_t size) const {
  const std::lock_guard lock(mutex_);
  const auto* found = find(at);
  return found != nullptr && found->second.facts.context == context &&
         size <= found->second.facts.size - (at - found->first);
}

std::optional<AllocationFacts> SvmTable::facts(std::uintptr_t at) const {
  const std::lock_guard lock(mutex_);
  const auto* found = find(at);
  if (found == nullptr) return std::nullopt;
  return found->second.facts;
}

bool SvmTable::shares_pages(std::uintptr_t at) const {
  const std::lock_guard lock(mutex_);
  const auto* found = find(at);
  return found != nullptr && found->second.shared;
}

void SvmTable::add_mapping(const SvmMapping& mapping) {
  const std::lock_guard lock(mutex_);
  mappings_.push_back(mapping);
}

std::optional<SvmMapping> SvmTable::take_mapping(const void* pointer) {
  const std::lock_guard lock(mutex_);
  const auto at = std::find_if(mappings_.rbegin(), mappings_.rend(),
                               [&](const SvmMapping& each) { return each.pointer == pointer; });
  if (at == mappings_.rend()) return std::nullopt;
  const SvmMapping mapping = *at;
  mappings_.erase(std::next(at).base());
  return mapping;
}

bool SvmTable::is_new(wire::Id context) {
  const std::lock_guard lock(mutex_);
  return contexts_.insert(context).second;
}

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
#include "arbiter/policy.h"

#include <algorithm>

namespace tessera {
namespace {

std::uint64_t weight_of(const PolicyState& state, const PolicyTenant& tenant) {
  if (state.kind != PolicyKind::weighted) return kDefaultWeight;
  return std::clamp<std::uint32_t>(tenant.weight, 1, kMaxWeight);
}

std::uint64_t to_virtual(const PolicyState& state, const PolicyTenant& tenant, std::uint64_t ns) {
  return ns * kMaxWeight / weight_of(state, tenant);
}

std::int64_t share_of(const PolicyTenant& tenant, std::uint64_t ns) {
  __extension__ using Wide = unsigned __int128;
  const std::uint64_t ppm = std::clamp<std::uint32_t>(tenant.share_ppm, 1, kWholeDevice);
  return static_cast<std::int64_t>(static_cast<Wide>(ns) * ppm / kWholeDevice);
}

void begin_accounts(PolicyState& state) {
  state.accounted = state.kind;
  state.virtual_ns = 0;
  for (auto& tenant : state.tenants) tenant.known = false;
}

void charge(const PolicyState& state, PolicyTenant& tenant) {
  // A counter that went back belongs to a new lease in the same place.
  if (!tenant.known || tenant.device_ns < tenant.counted_ns) {
    tenant.known = true;
    tenant.counted_ns = tenant.device_ns;
    tenant.virtual_ns = 0;
    tenant.owed_ns = 0;
    tenant.was_active = false;
    tenant.budget_ns = static_cast<std::int64_t>(state.slice_ns);
    return;
  }
  const std::uint64_t used = tenant.device_ns - tenant.counted_ns;
  tenant.counted_ns = tenant.device_ns;
  tenant.virtual_ns += to_virtual(state, tenant, used);
  tenant.budget_ns -= static_cast<std::int64_t>(used);
}

void refill(const PolicyState& state, PolicyTenant& tenant, std::uint64_t elapsed_ns) {
  const auto most = static_cast<std::int64_t>(kOwedSlices * state.slice_ns);
  tenant.budget_ns = std::min(most, tenant.budget_ns + share_of(tenant, elapsed_ns));
}

// The virtual time of the lease that is furthest behind among those that ran on.
void advance_clock(PolicyState& state) {
  std::uint64_t least = kNoEnd;
  for (const auto& tenant : state.tenants) {
    if (tenant.active && tenant.was_active) least = std::min(least, tenant.virtual_ns);
  }
  if (least != kNoEnd) state.virtual_ns = std::max(state.virtual_ns, least);
}

std::uint64_t less(std::uint64_t ns, std::uint64_t by) {
  return ns > by ? ns - by : 0;
}

void pause(const PolicyState& state, PolicyTenant& tenant) {
  tenant.owed_ns = less(state.virtual_ns, tenant.virtual_ns);
  tenant.paused_ns = state.virtual_ns;
}

void come_back(const PolicyState& state, PolicyTenant& tenant) {
  const std::uint64_t slices = to_virtual(state, tenant, kOwedSlices * state.slice_ns);
  const std::uint64_t left = less(tenant.owed_ns, state.virtual_ns - tenant.paused_ns);
  const std::uint64_t floor = less(state.virtual_ns, std::max(slices, left));
  tenant.virtual_ns = std::max(tenant.virtual_ns, floor);
}

void note_pauses(const PolicyState& state, PolicyTenant& tenant) {
  if (tenant.was_active && !tenant.active) pause(state, tenant);
  if (tenant.active && !tenant.was_active) come_back(state, tenant);
  tenant.was_active = tenant.active;
}

// Whether `a` goes before `b`. Equal claims go to whoever waited longer.
bool goes_before(const PolicyState& state, const PolicyTenant& a, const PolicyTenant& b) {
  switch (state.kind) {
    case PolicyKind::equal:
    case PolicyKind::weighted:
      if (a.virtual_ns != b.virtual_ns) return a.virtual_ns < b.virtual_ns;
      break;
    case PolicyKind::fixed: {
      // The longest time that its share has been waiting for: budget / share.
      __extension__ using Wide = __int128;
      const Wide left = static_cast<Wide>(a.budget_ns) * b.share_ppm;
      const Wide right = static_cast<Wide>(b.budget_ns) * a.share_ppm;
      if (left != right) return left > right;
      break;
    }
    case PolicyKind::best_effort:
      break;
  }
  return a.last_grant < b.last_grant;
}

bool may_run(const PolicyState& state, const PolicyTenant& tenant) {
  return state.kind != PolicyKind::fixed ||
         tenant.budget_ns >= static_cast<std::int64_t>(state.slice_ns);
}

// When the bucket of `tenant` will hold a slice.
std::uint64_t ready_at(const PolicyState& state, const PolicyTenant& tenant) {
  const auto missing = static_cast<std::int64_t>(state.slice_ns) - tenant.budget_ns;
  const std::uint64_t ppm = std::clamp<std::uint32_t>(tenant.share_ppm, 1, kWholeDevice);
  return state.now_ns + static_cast<std::uint64_t>(missing) * kWholeDevice / ppm + 1;
}

}  // namespace

PolicyState account(PolicyState state, std::uint64_t now_ns) {
  const std::uint64_t elapsed = state.now_ns == 0 ? 0 : now_ns - std::min(now_ns, state.now_ns);
  state.now_ns = std::max(now_ns, state.now_ns);
  if (state.accounted != state.kind) begin_accounts(state);
  for (auto& tenant : state.tenants) {
    charge(state, tenant);
    refill(state, tenant, elapsed);
  }
  advance_clock(state);
  for (auto& tenant : state.tenants) note_pauses(state, tenant);
  return state;
}

std::pair<PolicyState, Choice> choose(PolicyState state, std::uint64_t now_ns) {
  state = account(std::move(state), now_ns);
  Choice choice;
  std::size_t active = 0;
  for (std::size_t i = 0; i < kMaxTenants; ++i) {
    const PolicyTenant& tenant = state.tenants[i];
    if (!tenant.active) continue;
    ++active;
    if (!may_run(state, tenant)) {
      choice.look_again_ns = std::min(choice.look_again_ns, ready_at(state, tenant));
    } else if (choice.tenant == kNobody ||
               goes_before(state, tenant, state.tenants[choice.tenant])) {
      choice.tenant = i;
    }
  }
  if (choice.tenant == kNobody) return {std::move(state), choice};
  state.tenants[choice.tenant].last_grant = ++state.grants;
  const bool alone = active == 1 && state.kind != PolicyKind::fixed;
  choice.until_ns = alone ? kNoEnd : state.now_ns + state.slice_ns;
  choice.look_again_ns = choice.until_ns;
  return {std::move(state), choice};
}

std::uint64_t default_slice_ns(std::size_t tenants, bool on_host_cores) {
  const std::uint64_t of_many = on_host_cores ? 6'000'000 : 1'000'000;
  return tenants <= 8 ? 2 * of_many : of_many;
}

}  // namespace tessera

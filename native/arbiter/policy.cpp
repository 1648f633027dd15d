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
    tenant.owed_ns = tenant.turn_ns = tenant.last_turn_ns = 0;
    tenant.was_active = false;
    tenant.budget_ns = static_cast<std::int64_t>(state.slice_ns);
    return;
  }
  const std::uint64_t used = tenant.device_ns - tenant.counted_ns;
  tenant.counted_ns = tenant.device_ns;
  tenant.virtual_ns += to_virtual(state, tenant, used);
  tenant.turn_ns += to_virtual(state, tenant, used);
  tenant.budget_ns -= static_cast<std::int64_t>(used);
}

void refill(const PolicyState& state, PolicyTenant& tenant, std::uint64_t elapsed_ns) {
  const auto most = static_cast<std::int64_t>(kOwedSlices * state.slice_ns);
  tenant.budget_ns = std::min(most, tenant.budget_ns + share_of(tenant, elapsed_ns));
}

// The virtual time of the lease that is furthest behind among those that ran on. Where nobody ran
// on, the furthest ahead of those that stop: all that was owed is served. Else the clock would
// stand still for a lease that sends its commands one at a time, and whoever comes next would be
// owed all of them.
void advance_clock(PolicyState& state) {
  std::uint64_t least = kNoEnd, most_of_stopped = 0;
  for (const auto& tenant : state.tenants) {
    if (!tenant.was_active) continue;
    if (tenant.active) {
      least = std::min(least, tenant.virtual_ns);
    } else {
      most_of_stopped = std::max(most_of_stopped, tenant.virtual_ns);
    }
  }
  state.virtual_ns = std::max(state.virtual_ns, least != kNoEnd ? least : most_of_stopped);
}

std::uint64_t less(std::uint64_t ns, std::uint64_t by) {
  return ns > by ? ns - by : 0;
}

std::uint64_t longest_turn(const PolicyState& state) {
  std::uint64_t longest = 0;
  for (const auto& tenant : state.tenants) {
    longest = std::max({longest, tenant.turn_ns, tenant.last_turn_ns});
  }
  return longest;
}

void pause(const PolicyState& state, PolicyTenant& tenant) {
  tenant.owed_ns = std::min(less(state.virtual_ns, tenant.virtual_ns), longest_turn(state));
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

// Who has the GPU without competitors takes nothing from anybody.
void forget_turns_alone(PolicyState& state) {
  const auto active = std::count_if(state.tenants.begin(), state.tenants.end(),
                                    [](const PolicyTenant& one) { return one.active; });
  if (active > 1) return;
  for (auto& tenant : state.tenants) tenant.turn_ns = tenant.last_turn_ns = 0;
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
  forget_turns_alone(state);
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
  PolicyTenant& chosen = state.tenants[choice.tenant];
  chosen.last_grant = ++state.grants;
  chosen.last_turn_ns = std::exchange(chosen.turn_ns, 0);
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

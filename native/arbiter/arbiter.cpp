// SPDX-License-Identifier: Apache-2.0
#include "arbiter/arbiter.h"

#include <algorithm>
#include <tuple>

#include "base/futex.h"

namespace tessera::arbiter {
namespace {

// A counter or a weight may have changed without a ring.
constexpr std::uint64_t kLookEvery = 1'000'000'000;

PolicyKind known_policy(std::uint32_t word) {
  return word <= static_cast<std::uint32_t>(PolicyKind::weighted) ? static_cast<PolicyKind>(word)
                                                                  : PolicyKind::equal;
}

}  // namespace

Arbiter::Arbiter(BoardPage& board, const Timing& timing) : board_(board), timing_(timing) {
  // What an arbiter before this one had granted: nobody holds the GPU, and whoever has commands
  // under way is waited for as for any other.
  for (std::size_t i = 0; i < kMaxTenants; ++i) {
    if (board_->tenants[i].grant.exchange(0) != 0) poke(i);
    traced_ns_[i] = board_->tenants[i].device_ns.load();
  }
}

void Arbiter::look() {
  seen_.fill({});
  for (auto& seat : board_->seats) {
    if (seat.worker_pid.load(std::memory_order_acquire) == 0) continue;
    const std::size_t tenant = seat.tenant.load();
    if (tenant >= kMaxTenants) continue;
    seen_[tenant].wants |= seat.wants.load() != 0;
    if (seat.busy.load() == 0) continue;
    seen_[tenant].busy = true;
    seen_[tenant].ends_ns = std::max(seen_[tenant].ends_ns, seat.ends_ns.load());
  }
  std::size_t present = 0;
  for (std::size_t i = 0; i < kMaxTenants; ++i) {
    const Tenant& tenant = board_->tenants[i];
    if (tenant.present.load() == 0) {
      state_.tenants[i] = {};
      seen_[i] = {};
      overran_[i] = false;
      traced_ns_[i] = 0;
      continue;
    }
    ++present;
    PolicyTenant& known = state_.tenants[i];
    known.active = seen_[i].wants || (seen_[i].busy && !overran_[i]);
    known.weight = tenant.weight.load();
    known.share_ppm = tenant.share_ppm.load();
    known.device_ns = tenant.device_ns.load();
    overran_[i] = overran_[i] && seen_[i].busy;
  }
  state_.kind = known_policy(board_->policy.load());
  const std::uint64_t slice_us = board_->slice_us.load();
  state_.slice_ns = slice_us == 0
                        ? default_slice_ns(present, timing_.on_host_cores)
                        : std::clamp<std::uint64_t>(slice_us, kMinSliceUs, kMaxSliceUs) * 1000;
}

std::uint64_t Arbiter::turn(std::uint64_t now_ns) {
  look();
  if (holder_ != kNobody) {
    const std::uint64_t again = keep_or_take_back(now_ns);
    if (holder_ != kNobody) {
      state_ = account(std::move(state_), now_ns);
      return std::min(again, now_ns + kLookEvery);
    }
  }
  if (leaving_ != kNobody) {
    const std::uint64_t again = wait_for_leaving(now_ns);
    if (leaving_ != kNobody) return again;
  }
  return std::min(grant_next(now_ns), now_ns + kLookEvery);
}

// Until what the last holder has under way has ended, nearly, or is no longer waited for.
std::uint64_t Arbiter::wait_for_leaving(std::uint64_t now_ns) {
  const Seen& seen = seen_[leaving_];
  if (seen.busy) {
    const std::uint64_t limit = leaving_since_ns_ + timing_.overrun_ns;
    const std::uint64_t call_at =
        seen.ends_ns == kNoEnd ? kNoEnd : seen.ends_ns - timing_.overlap_ns;
    if (now_ns < call_at && now_ns < limit) return std::min(call_at, limit);
    if (now_ns >= limit) {
      overran_[leaving_] = true;
      state_.tenants[leaving_].active = false;
      board_->tenants[leaving_].overruns.fetch_add(1);
    }
  }
  write_trace(now_ns);
  leaving_ = kNobody;
  return now_ns;
}

bool Arbiter::others_active(std::size_t tenant) const {
  for (std::size_t i = 0; i < kMaxTenants; ++i) {
    if (i != tenant && state_.tenants[i].active) return true;
  }
  return false;
}

// The holder keeps the GPU while it uses it and its time is not over, or nobody else wants it.
std::uint64_t Arbiter::keep_or_take_back(std::uint64_t now_ns) {
  const Tenant& tenant = board_->tenants[holder_];
  if (tenant.present.load() == 0 || tenant.grant.load() == 0) {
    take_back(now_ns);
    return now_ns;
  }
  const bool others = others_active(holder_);
  const bool metered = others || state_.kind == PolicyKind::fixed;
  if (!metered) {
    set_end(kNoEnd, false);
    return kNoEnd;
  }
  const std::uint64_t end = granted_ns_ + state_.slice_ns;
  const bool idle = !state_.tenants[holder_].active;
  if (now_ns >= end || (idle && others)) {
    take_back(now_ns);
    look();
    return now_ns;
  }
  set_end(end, true);
  return end;
}

void Arbiter::set_end(std::uint64_t until_ns, bool contended) {
  Tenant& tenant = board_->tenants[holder_];
  const bool longer = until_ns > tenant.until_ns.load();
  tenant.until_ns.store(until_ns);
  const std::uint32_t before = board_->contended.exchange(contended ? 1 : 0);
  if (contended && before == 0) poke(holder_);
  // Sessions that found the old end passed.
  if (longer && seen_[holder_].wants) futex_wake_all(tenant.grant);
}

void Arbiter::take_back(std::uint64_t now_ns) {
  board_->contended.store(1);
  board_->tenants[holder_].grant.store(0);
  poke(holder_);
  leaving_ = holder_;
  leaving_since_ns_ = now_ns;
  holder_ = kNobody;
}

void Arbiter::poke(std::size_t tenant) {
  for (auto& seat : board_->seats) {
    if (seat.worker_pid.load() == 0 || seat.tenant.load() != tenant) continue;
    seat.poke.fetch_add(1);
    if (seat.attended.load() == 0) futex_wake_all(seat.poke);
  }
}

std::uint64_t Arbiter::grant_next(std::uint64_t now_ns) {
  Choice choice;
  std::tie(state_, choice) = choose(std::move(state_), now_ns);
  if (choice.tenant == kNobody) {
    if (idle_since_ns_ == 0) idle_since_ns_ = now_ns;
    return choice.look_again_ns;
  }
  if (idle_since_ns_ != 0) board_->idle_ns.fetch_add(now_ns - idle_since_ns_);
  idle_since_ns_ = 0;
  holder_ = choice.tenant;
  overran_[holder_] = false;
  granted_ns_ = now_ns;
  Tenant& tenant = board_->tenants[holder_];
  const auto number = static_cast<std::uint32_t>(state_.grants) | 1u << 31;  // never 0
  trace_ = {now_ns, now_ns, 0, static_cast<std::uint32_t>(holder_), number};
  tenant.grants.fetch_add(1);
  tenant.until_ns.store(choice.until_ns);
  board_->contended.store(choice.until_ns == kNoEnd ? 0 : 1);
  tenant.grant.store(number);
  if (seen_[holder_].wants) futex_wake_all(tenant.grant);
  return choice.look_again_ns;
}

void Arbiter::write_trace(std::uint64_t now_ns) {
  trace_.end_ns = now_ns;
  const std::uint64_t used = board_->tenants[trace_.tenant].device_ns.load();
  std::uint64_t& traced = traced_ns_[trace_.tenant];
  // Less than before: the place went to another lease.
  trace_.device_ns = used < traced ? used : used - traced;
  traced = used;
  const std::uint64_t count = board_->trace_count.load(std::memory_order_relaxed);
  board_->trace[count % kTraceLength] = trace_;
  board_->trace_count.store(count + 1, std::memory_order_release);
}

}  // namespace tessera::arbiter

// SPDX-License-Identifier: Apache-2.0
//
// Who may use the GPU next: one pure function of (state, now).
//
// The policies
//   best_effort  whoever waits longest, a slice at a time; nothing is owed to anybody
//   equal        every lease that runs gets the same device time
//   weighted     every lease that runs gets device time in proportion to its weight
//   fixed        every lease gets its paid share of the clock, idle or not, and no more
//
// `equal` and `weighted` are start-time fair queueing: each lease has a virtual time, which its
// measured device time advances by the inverse of its weight; the one that is furthest behind goes
// next. (P. Goyal, H. Vin, H. Cheng: Start-time Fair Queueing, SIGCOMM 1996. The charge comes after
// the fact here, as the length of a command is not known before.) A lease that was idle comes back
// where the others are now, less a few slices: it gets the device soon, but cannot claim what it
// left unused. Without these few slices a lease that pauses for microseconds between its commands
// would lose at every pause what it was owed, and the shares would drift. If it was owed more than
// them when it paused, it is still owed that, less what the others advanced meanwhile: a program
// whose queue runs empty for a moment just when another had a long turn loses nothing by it. But
// never more than the longest turn that anybody had: else a lease of short commands, one at a time
// beside long ones, would save up a claim on minutes.
//
// `fixed` is a token bucket for each lease: it fills with the lease's share of the clock, is
// drained by measured device time, and holds at most a few slices. A lease runs when its bucket
// holds a slice. Commands longer than a slice overdraw it, and are paid off before the next.
//
// Accounts end with their policy: what a lease owes under one is nothing to the next. Else who had
// used more than its share under `equal` would starve under `fixed` until that was paid off.
//
// Refused: lottery scheduling (its share error shrinks with the square root of time), counting
// launches or work-groups (a tenant with large ones wins), and preemption in the middle of a slice
// for a lease that is further behind (each change of hands costs device time).
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "arbiter/board.h"

namespace tessera {

inline constexpr std::size_t kNobody = kMaxTenants;
// How many slices a lease may be owed (equal, weighted) or save up (fixed).
inline constexpr std::uint64_t kOwedSlices = 4;

struct PolicyTenant {
  // What is seen of the lease.
  bool active = false;  // waits for the GPU, or has it and uses it
  std::uint32_t weight = kDefaultWeight;
  std::uint32_t share_ppm = kWholeDevice;
  std::uint64_t device_ns = 0;  // charged to it, ever
  // The policy's account of it; zero for a new lease.
  std::uint64_t counted_ns = 0;  // of device_ns, in the account
  std::uint64_t virtual_ns = 0;  // device time times kMaxWeight / weight
  std::uint64_t owed_ns = 0;     // virtual; when it paused
  std::uint64_t paused_ns = 0;   // the state's virtual time when it paused
  std::uint64_t turn_ns = 0;     // virtual; used since its latest grant, beside competitors
  std::uint64_t last_turn_ns = 0;
  std::int64_t budget_ns = 0;    // fixed
  std::uint64_t last_grant = 0;  // number of the latest one
  bool was_active = false;
  bool known = false;
};

struct PolicyState {
  PolicyKind kind = PolicyKind::equal;
  PolicyKind accounted = PolicyKind::equal;  // whose accounts the tenants' are
  std::uint64_t slice_ns = 2'000'000;
  std::uint64_t now_ns = 0;      // of the last step
  std::uint64_t virtual_ns = 0;  // of the active lease that was furthest behind
  std::uint64_t grants = 0;
  std::array<PolicyTenant, kMaxTenants> tenants;
};

struct Choice {
  std::size_t tenant = kNobody;
  std::uint64_t until_ns = kNoEnd;  // of the grant
  std::uint64_t look_again_ns =
      kNoEnd;  // when the choice may be another one, should nothing happen
};

// Brings the accounts up to `now_ns` (CLOCK_MONOTONIC, never less than before). To be called
// whenever something changed, and at least once a second while leases run.
PolicyState account(PolicyState state, std::uint64_t now_ns);

// account(), and whom the free GPU is granted to. Nobody, if no lease is active or, with `fixed`,
// none of the active ones has a slice to spend.
std::pair<PolicyState, Choice> choose(PolicyState state, std::uint64_t now_ns);

// The slice for a GPU with so many leases, if none was set: shorter where many take turns, so that
// a round stays short, and longer where the GPU computes on the host's own cores, because there
// each change of hands takes a tenth of a millisecond from them.
std::uint64_t default_slice_ns(std::size_t tenants, bool on_host_cores);

}  // namespace tessera

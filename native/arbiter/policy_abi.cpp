// SPDX-License-Identifier: Apache-2.0
//
// The policy for other languages: tests simulate it from Python, by this very code.
#include <cstdint>
#include <tuple>

#include "arbiter/policy.h"

#define TESSERA_EXPORT extern "C" __attribute__((visibility("default")))

TESSERA_EXPORT tessera::PolicyState* tessera_policy_new(std::uint32_t kind,
                                                        std::uint64_t slice_ns) {
  auto* state = new tessera::PolicyState;
  state->kind = static_cast<tessera::PolicyKind>(kind);
  state->slice_ns = slice_ns;
  return state;
}

TESSERA_EXPORT void tessera_policy_free(tessera::PolicyState* state) {
  delete state;
}

TESSERA_EXPORT void tessera_policy_change(tessera::PolicyState* state, std::uint32_t kind) {
  state->kind = static_cast<tessera::PolicyKind>(kind);
}

TESSERA_EXPORT void tessera_policy_see(tessera::PolicyState* state, std::uint32_t tenant,
                                       std::uint32_t active, std::uint32_t weight,
                                       std::uint32_t share_ppm, std::uint64_t device_ns) {
  tessera::PolicyTenant& seen = state->tenants[tenant];
  seen.active = active != 0;
  seen.weight = weight;
  seen.share_ppm = share_ppm;
  seen.device_ns = device_ns;
}

TESSERA_EXPORT void tessera_policy_account(tessera::PolicyState* state, std::uint64_t now_ns) {
  *state = tessera::account(*state, now_ns);
}

// The index of the lease that the GPU is granted to, or kMaxTenants.
TESSERA_EXPORT std::uint32_t tessera_policy_choose(tessera::PolicyState* state,
                                                   std::uint64_t now_ns, std::uint64_t* until_ns,
                                                   std::uint64_t* look_again_ns) {
  tessera::Choice choice;
  std::tie(*state, choice) = tessera::choose(*state, now_ns);
  *until_ns = choice.until_ns;
  *look_again_ns = choice.look_again_ns;
  return static_cast<std::uint32_t>(choice.tenant);
}

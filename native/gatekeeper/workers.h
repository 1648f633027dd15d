// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <vector>

#include "base/unique_fd.h"
#include "gatekeeper/options.h"
#include "gatekeeper/tenancy.h"
#include "lease/quota.h"

namespace tessera::gatekeeper {

// The workers of a lease, one for each slot of its quota page.
class Workers {
 public:
  // `token` = a descriptor of the secret for TCP clients, or none. SIGCHLD must be blocked.
  Workers(const Options& options, Quota& quota, Tenancy& tenancy, UniqueFd token);

  // Gives the client a worker of its own, or refuses it when the lease is full.
  void serve(UniqueFd client, bool over_tcp);
  // Takes back what ended workers held.
  void reap();
  // SIGTERM, then SIGKILL for those left after `grace`; returns when none is left.
  void end_all(std::chrono::milliseconds grace);

 private:
  [[noreturn]] void become_worker(int client, std::size_t slot, bool over_tcp, pid_t gatekeeper);
  void signal_all(int number) const;
  bool any() const;

  const Options& options_;
  Quota& quota_;
  Tenancy& tenancy_;
  UniqueFd token_;
  std::vector<pid_t> pids_;  // by slot; 0 = none
};

}  // namespace tessera::gatekeeper

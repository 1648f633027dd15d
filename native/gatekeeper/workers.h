// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string>
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
  Workers(const Options& options, Quota& quota, std::optional<Tenancy>& tenancy, UniqueFd token);

  // Gives the client a worker of its own, or refuses it when the lease is full.
  void serve(UniqueFd client, bool over_tcp);
  // Takes back what ended workers held.
  void reap(const std::function<void(std::size_t slot)>& ended);

  // Those that have a worker.
  std::vector<std::size_t> slots() const;
  // Of the worker in `slot`; -1 where there is none.
  int control_fd(std::size_t slot) const { return controls_[slot].get(); }
  // Sends one request; false when the worker is gone.
  bool ask(std::size_t slot, const std::string& words, std::span<const int> descriptors);
  // SIGTERM, then SIGKILL for those left after `grace`; returns when none is left.
  void end_all(std::chrono::milliseconds grace);

 private:
  [[noreturn]] void become_worker(int client, int control, std::size_t slot, bool over_tcp,
                                  pid_t gatekeeper);
  void signal_all(int number) const;
  bool any() const;

  const Options& options_;
  Quota& quota_;
  std::optional<Tenancy>& tenancy_;
  UniqueFd token_;
  std::vector<pid_t> pids_;         // by slot; 0 = none
  std::vector<UniqueFd> controls_;  // by slot; this end of the worker's control socket
};

}  // namespace tessera::gatekeeper

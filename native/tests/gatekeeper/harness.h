// SPDX-License-Identifier: Apache-2.0
//
// A gatekeeper of one GPU with 1000 bytes, for the tests of this folder, and what they share.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "lease/quota.h"

namespace tessera {

// Where the programs are; the main() of a test sets them.
extern std::string gatekeeper_path;
extern std::string stub_path;

void pause_ms(long ms);
// Whether it became true within 5 seconds.
bool eventually(const std::function<bool()>& true_soon);
pid_t spawn(const std::vector<std::string>& arguments);
// The status of an ended child.
int wait_for(pid_t pid);
UniqueFd connect_to(const std::string& path);

class Gatekeeper {
 public:
  explicit Gatekeeper(bool tcp = false, const std::string& worker = stub_path);
  ~Gatekeeper();
  Gatekeeper(const Gatekeeper&) = delete;
  Gatekeeper& operator=(const Gatekeeper&) = delete;

  // Its exit status after SIGTERM.
  int stop();
  UniqueFd connect() const { return connect_to(socket()); }
  // The worker's first byte: how many descriptors it has. -1 when it is refused.
  int greeted(const UniqueFd& client) const;
  Quota quota() const;
  std::size_t descriptors() const;
  pid_t pid() const { return pid_; }
  std::string socket() const { return folder_ + "/gpu.sock"; }
  std::string control() const { return folder_ + "/control.sock"; }
  std::string quota_path() const { return folder_ + "/quota"; }
  std::string token_path() const { return folder_ + "/token"; }
  const std::string& ready_line() const { return ready_line_; }
  void forget() { pid_ = 0; }

 private:
  std::string folder_;
  std::string ready_line_;
  pid_t pid_ = 0;
};

}  // namespace tessera

// SPDX-License-Identifier: Apache-2.0
//
// The second process of a yardstick.
#pragma once

#include <sys/types.h>

#include <functional>

namespace tessera::bench {

// A forked child that runs `work` and exits, and that dies with this process. The destructor waits
// for it, so `work` must end once its descriptors are closed or its last turn is served.
class Peer {
 public:
  explicit Peer(const std::function<void()>& work);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

 private:
  pid_t pid_;
};

// Ends the program with status 1 and the system's reason when `result` is negative; else returns
// it.
long checked(long result, const char* call);

}  // namespace tessera::bench

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/unique_fd.h"

namespace tessera::guest {

// Connections to the lease, from the command that holds it. The relay opens none by itself: it
// reads what a guest has written, so it has no path, no address and no right to use one
// (confinement.h). A byte asks for a connection, a byte with a descriptor or without one answers.
class Connections {
 public:
  explicit Connections(UniqueFd command) : command_(static_cast<UniqueFd&&>(command)) {}

  // A connected socket that does not block, or none where the lease has ended or is overrun. Waits
  // for the answer.
  UniqueFd open() const;

 private:
  const UniqueFd command_;
};

}  // namespace tessera::guest

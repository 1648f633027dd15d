// SPDX-License-Identifier: Apache-2.0
//
// Descriptors that travel over the otherwise silent socket of a shared-memory session.
//
// A message cannot carry a descriptor; it carries a tag, and the descriptor goes ahead over the
// socket under the same tag. Messages of several threads may be handled in another order than their
// descriptors came in, so those not yet asked for are kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

#include "base/unique_fd.h"

namespace tessera {

// Sends a copy of `fd`. False when the socket has no room for it (the peer takes none out) or is
// gone.
bool send_tagged_descriptor(int socket, std::uint64_t tag, int fd);

class DescriptorBox {
 public:
  // The descriptor that came under `tag`; empty if none did. Never waits.
  UniqueFd take(int socket, std::uint64_t tag);

 private:
  bool receive_one(int socket);

  std::mutex mutex_;
  std::map<std::uint64_t, UniqueFd> waiting_;
};

}  // namespace tessera

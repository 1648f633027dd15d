// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tessera {

// What the client waits for when it has sent a read; `blocking` of its message.
enum class ReadWait : std::uint32_t {
  not_at_all = 0,
  // The worker may do nothing else until it has answered, which is the shortest way.
  for_answer = 1,
  // The worker goes on receiving. The bytes come behind the ends of all that the read waited for.
  for_bytes = 2,
};

}  // namespace tessera

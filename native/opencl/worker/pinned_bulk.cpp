// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/pinned_bulk.h"

#include <cstring>

namespace tessera::worker {

PinnedBulk::Payload::Payload(WindowShare& share, Bulk bulk)
    : size_(bulk.size()),
      part_(bulk.size() > kSmallWrite ? share.take(bulk.size()) : share.take_aside(bulk.size())) {
  if (!part_.is_aside()) {
    bulk_ = std::move(bulk);
    return;
  }
  copy_ = std::make_unique_for_overwrite<std::byte[]>(bulk.size());
  if (bulk.size() != 0) std::memcpy(copy_.get(), bulk.data(), bulk.size());
}

}  // namespace tessera::worker

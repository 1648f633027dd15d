// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/landing.h"

#include <cstring>

namespace tessera::worker {

Landing::Landing(WindowShare& share, Channel& channel, std::size_t size)
    : part_(share.take(size)), channel_(channel), size_(size) {
  if (part_.is_aside()) {
    aside_ = std::make_unique_for_overwrite<std::byte[]>(size);
  } else {
    bulk_ = channel.reserve(size);
  }
}

Bulk Landing::payload() {
  if (aside_ == nullptr) return std::move(bulk_);
  if (Bulk lent = channel_.lend({aside_.get(), size_})) return lent;
  Bulk bulk = channel_.reserve(size_);
  std::memcpy(bulk.data(), aside_.get(), size_);
  return bulk;
}

}  // namespace tessera::worker

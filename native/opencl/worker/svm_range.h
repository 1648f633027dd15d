// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "opencl/worker/object_table.h"

namespace tessera::worker {

// A piece of an allocation of shared virtual or unified shared memory, which lives at least as long
// as `memory` is held.
struct SvmRange {
  void* place = nullptr;  // null: no allocation has all of it
  std::shared_ptr<void> memory;
  AllocationKind kind = AllocationKind::svm;
};

// Where the driver has [address, address + size). Addresses come from the wire; one that no live
// allocation of the context contains is never handed to the driver.
SvmRange find_svm(const ContextEntry& context, std::uint64_t address, std::uint64_t size);

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CL/cl.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "base/unique_fd.h"
#include "opencl/allocation_kind.h"
#include "opencl/client/account.h"
#include "opencl/client/svm_pages.h"
#include "wire/codec.h"

namespace tessera::client {

struct ReadState;  // transfer.h

// One clEnqueueSVMMap that is not yet unmapped.
struct SvmMapping {
  const void* pointer;
  std::size_t size;
  bool writes;
  std::shared_ptr<const ReadState> read;  // that brings the contents; null where none does
};

struct AllocationFacts {
  AllocationKind kind = AllocationKind::svm;
  wire::Id context = 0;
  std::uintptr_t base = 0;
  std::size_t size = 0;
  Device* device = nullptr;            // that it belongs to, if any
  cl_mem_alloc_flags_intel flags = 0;  // of unified memory
};

// The allocations of a session, by their addresses.
class SvmTable {
 public:
  // Takes the pages of a new allocation; false when their place is in use in this process. `pages`:
  // those that the worker shares, or empty.
  bool add(const AllocationFacts& facts, Charge charge, UniqueFd pages);
  // False for an address that is no allocation's of this context.
  bool remove(wire::Id context, std::uintptr_t base);
  void remove_all(wire::Id context);
  bool contains(wire::Id context, std::uintptr_t at, std::size_t size) const;
  // Of the allocation that has this address, whatever its context.
  std::optional<AllocationFacts> facts(std::uintptr_t at) const;
  // The program sees what kernels see there at any time.
  bool shares_pages(std::uintptr_t at) const;

  void add_mapping(const SvmMapping& mapping);
  // Takes out the newest mapping of this pointer, if there is one.
  std::optional<SvmMapping> take_mapping(const void* pointer);

  // True the first time for each context: its end has to be watched then.
  bool is_new(wire::Id context);

 private:
  struct Allocation {
    AllocationFacts facts;
    Charge charge;
    bool shared;
  };
  using Allocations = std::map<std::uintptr_t, Allocation>;
  // The allocation that has the address, or nullptr.
  const Allocations::value_type* find(std::uintptr_t at) const;
  Allocations::iterator erase(Allocations::iterator at);

  mutable std::mutex mutex_;
  Allocations allocations_;
  std::vector<SvmMapping> mappings_;
  std::set<wire::Id> contexts_;
  SvmPages pages_;
};

}  // namespace tessera::client

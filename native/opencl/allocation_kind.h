// SPDX-License-Identifier: Apache-2.0
//
// Allocations that programs and kernels know by an address: the rules that both sides keep.
#pragma once

#include <CL/cl.h>
#include <CL/cl_ext.h>

#include <bit>
#include <cstdint>

namespace tessera {

// `svm` is memory of clSVMAlloc; the others are unified shared memory (UsmAlloc::kind).
enum class AllocationKind : std::uint32_t { svm = 0, host = 1, device = 2, shared = 3 };

inline bool is_unified(AllocationKind kind) {
  return kind != AllocationKind::svm;
}

// Kernels and program must see the same pages at any time.
inline bool needs_shared_pages(AllocationKind kind) {
  return kind == AllocationKind::host || kind == AllocationKind::shared;
}

// The largest alignment that is passed on; which of them a device gives, its driver says.
inline constexpr std::uint32_t kMaxUsmAlignment = 2 * 1024 * 1024;  // bytes

inline bool takes_usm_alignment(std::uint32_t alignment) {
  return alignment == 0 || (std::has_single_bit(alignment) && alignment <= kMaxUsmAlignment);
}

// Where the first access is expected can only be said of what may move.
inline bool takes_usm_flags(AllocationKind kind, cl_mem_alloc_flags_intel flags) {
  constexpr cl_mem_alloc_flags_intel kPlacement =
      CL_MEM_ALLOC_INITIAL_PLACEMENT_DEVICE_INTEL | CL_MEM_ALLOC_INITIAL_PLACEMENT_HOST_INTEL;
  if ((flags & ~(kPlacement | CL_MEM_ALLOC_WRITE_COMBINED_INTEL)) != 0) return false;
  return kind == AllocationKind::shared ? (flags & kPlacement) != kPlacement
                                        : (flags & kPlacement) == 0;
}

inline std::uint64_t whole_pages(std::uint64_t bytes, std::uint64_t page) {
  return (bytes + page - 1) & ~(page - 1);
}

// What an allocation of unified shared memory takes of the lease. Shared pages are laid over whole
// pages of the driver's memory, which need a page of room.
inline std::uint64_t usm_cost(bool shares_pages, std::uint64_t size, std::uint64_t page) {
  return shares_pages ? whole_pages(size, page) + page : size;
}

}  // namespace tessera

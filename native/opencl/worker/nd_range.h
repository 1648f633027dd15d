// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CL/cl.h>

#include <cstdint>

#include "generated/messages_kernel.h"

namespace tessera::worker {

// Bits of EnqueueNdRange::given.
inline constexpr std::uint32_t kOffsetGiven = 1;
inline constexpr std::uint32_t kLocalGiven = 2;

// What drivers compute with before they check it: dimensions, sizes whose product or sum with the
// offset wraps, and local sizes of 0. `max_group` in work-items.
cl_int check_nd_range(const wire::EnqueueNdRange& m, std::uint64_t max_group);

}  // namespace tessera::worker

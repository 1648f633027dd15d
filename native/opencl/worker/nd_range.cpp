// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/nd_range.h"

namespace tessera::worker {

cl_int check_nd_range(const wire::EnqueueNdRange& m, std::uint64_t max_group) {
  if (m.work_dim < 1 || m.work_dim > 3) return CL_INVALID_WORK_DIMENSION;
  std::uint64_t items = 1, group = 1;
  for (std::uint32_t i = 0; i < m.work_dim; ++i) {
    std::uint64_t end = 0;
    if (__builtin_mul_overflow(items, m.global[i], &items)) return CL_INVALID_GLOBAL_WORK_SIZE;
    if ((m.given & kOffsetGiven) != 0 && __builtin_add_overflow(m.global[i], m.offset[i], &end)) {
      return CL_INVALID_GLOBAL_OFFSET;
    }
    if ((m.given & kLocalGiven) == 0) continue;
    if (m.local[i] == 0) return CL_INVALID_WORK_GROUP_SIZE;
    if (__builtin_mul_overflow(group, m.local[i], &group)) return CL_INVALID_WORK_GROUP_SIZE;
  }
  return group > max_group ? CL_INVALID_WORK_GROUP_SIZE : CL_SUCCESS;
}

}  // namespace tessera::worker

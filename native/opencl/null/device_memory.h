// SPDX-License-Identifier: Apache-2.0
//
// The memory of a device that outlives the processes that use it, as a GPU's does.
//
// With GPU_NULL_MEMORY=FILE the null driver has one device, a GPU whose memory is that file. Every
// process with the driver maps the same pages, and takes the first that are free. Whoever frees
// pages, or is killed while it holds them, leaves its bytes in them, and the next one gets them as
// they are. No driver has to be worse than that, and some are no better; so a worker that keeps
// tenants apart here keeps them apart anywhere. A pattern in place of the former bytes was refused:
// a test would find the pattern, and never learn whether somebody's bytes can be had.
//
// The variable begins with GPU_ because the daemon hands on to its workers what begins so.
#pragma once

#include "opencl/null/objects.h"

namespace tessera::null {

inline constexpr std::size_t kDeviceMemory = std::size_t{64} << 20;  // bytes

// Whether this process's device is such a GPU.
bool has_device_memory();

// Whole pages of it with what they held before; null if there is no room.
Bytes allocate_on_device(std::size_t size);

}  // namespace tessera::null

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tessera {

// What a kernel argument takes, as the worker found it out at build time (message kernel_facts).
enum class ArgKind : std::uint32_t {
  unknown = 0,  // the driver tells nothing; the worker judges each value
  value = 1,    // bytes of a known size
  buffer = 2,   // global or constant pointer: a buffer, NULL or an SVM address
  local = 3,    // local memory: only a size
  image = 4,
  sampler = 5,
};

}  // namespace tessera

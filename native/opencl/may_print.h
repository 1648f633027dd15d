// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace tessera {

// Kernels of this source may print; an include or a macro can hide it.
inline bool may_print(std::string_view source) {
  return source.find("printf") != source.npos || source.find("include") != source.npos ||
         source.find("##") != source.npos;
}

}  // namespace tessera

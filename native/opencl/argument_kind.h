// SPDX-License-Identifier: Apache-2.0
//
// What a launch may bring for an argument of its kernel (EnqueueNdRange::arg_kinds).
#pragma once

#include <cstdint>

namespace tessera {

enum class ArgumentKind : std::uint32_t { value = 0, object = 1, local = 2, svm = 3 };

}  // namespace tessera

// SPDX-License-Identifier: Apache-2.0
//
// What a launch may bring for an argument of its kernel (EnqueueNdRange::arg_kinds).
#pragma once

#include <cstdint>

namespace tessera {

// `svm` is the address of an allocation, `pointer` any address: it is a value.
enum class ArgumentKind : std::uint32_t { value = 0, object = 1, local = 2, svm = 3, pointer = 4 };

}  // namespace tessera

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "tests/random/program.h"

namespace tessera::random {

// A smaller program that still fails. `fails` runs one, as often as its fault is rare.
Plan reduce(Plan plan, const Kinds& kinds, const std::function<bool(const Plan&)>& fails);

}  // namespace tessera::random

// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace tessera::guest {

// Loads the kernel modules in `folder`, in the order of their names, so that each finds loaded what
// it needs. Throws std::system_error; a module that is there already is none.
void load_modules(const char* folder);

}  // namespace tessera::guest

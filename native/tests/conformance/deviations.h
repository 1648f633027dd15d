// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

namespace tessera::conformance {

// Case name -> what the embedded device does instead. Foreign handles (.wrong_kind) are not listed.
const std::map<std::string, const char*>& deviations();

}  // namespace tessera::conformance

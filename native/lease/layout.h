// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace tessera {

// The layout of the quota page as JSON: {"field": [offset, size], ...} in the order of quota.h;
// fields of a GPU are "gpus.limit" and of a session "slots.state", with the offset within their
// element.
std::string quota_layout_json();

}  // namespace tessera

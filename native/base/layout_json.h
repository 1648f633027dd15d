// SPDX-License-Identifier: Apache-2.0
//
// The layout of a shared page as JSON, for the test that compares it with Python's.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace tessera {

struct LayoutField {
  const char* name;
  std::size_t offset;  // bytes
  std::size_t size;    // bytes
};

inline std::string layout_json(std::span<const LayoutField> fields) {
  std::string json = "{";
  for (const auto& field : fields) {
    json += json.size() > 1 ? ",\n \"" : "\n \"";
    json += field.name;
    json += "\": [" + std::to_string(field.offset) + ", " + std::to_string(field.size) + "]";
  }
  return json + "\n}\n";
}

}  // namespace tessera

// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/include_options.h"

#include <algorithm>

#include "opencl/option_words.h"

namespace tessera::client {
namespace {

MacroDefinition definition(const std::string& text) {
  const std::size_t equals = std::min(text.find('='), text.size());
  std::string value = equals == text.size() ? "1" : text.substr(equals + 1);
  return macro_definition(text.substr(0, equals), std::move(value));
}

}  // namespace

IncludeOptions include_options(std::string_view options) {
  IncludeOptions found;
  const auto words = split_options(options);
  for (std::size_t i = 0; words && i < words->size(); ++i) {
    const std::string& word = (*words)[i].plain;
    const bool folder = word.starts_with("-I");
    if (!folder && !word.starts_with("-D")) continue;
    // The value is in the same word or the next one.
    if (word.size() == 2 && ++i == words->size()) break;
    const std::string value = word.size() == 2 ? (*words)[i].plain : word.substr(2);
    if (folder) {
      found.folders.push_back(value);
    } else {
      found.definitions.push_back(definition(value));
    }
  }
  return found;
}

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

// A build option as it was written, and without its quotes.
struct OptionWord {
  std::string_view written;
  std::string plain;
};

// Splits as a shell would: quotes hold blanks together, a backslash takes the next character.
// Nothing for a quote that is never closed.
inline std::optional<std::vector<OptionWord>> split_options(std::string_view text) {
  constexpr std::string_view kBlank = " \t\n\r\v\f";
  std::vector<OptionWord> words;
  std::size_t at = 0;
  while ((at = text.find_first_not_of(kBlank, at)) != text.npos) {
    const std::size_t begin = at;
    std::string plain;
    char quote = 0;
    for (; at < text.size(); ++at) {
      const char c = text[at];
      if (c == '\\' && quote != '\'' && at + 1 < text.size()) {
        plain += text[++at];
      } else if (quote != 0) {
        if (c == quote) {
          quote = 0;
        } else {
          plain += c;
        }
      } else if (c == '"' || c == '\'') {
        quote = c;
      } else if (kBlank.find(c) != kBlank.npos) {
        break;
      } else {
        plain += c;
      }
    }
    if (quote != 0) return std::nullopt;
    words.push_back({text.substr(begin, at - begin), std::move(plain)});
  }
  return words;
}

}  // namespace tessera

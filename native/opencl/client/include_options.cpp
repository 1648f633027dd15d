// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/include_options.h"

#include <unistd.h>

#include <algorithm>
#include <climits>

namespace tessera::client {
namespace {

constexpr std::string_view kBlank = " \t\n\r\v\f";
constexpr std::string_view kInclude = "-I";

// Where the word that begins at `at` ends; quotes hold blanks together.
std::size_t end_of_word(std::string_view text, std::size_t at) {
  char quote = 0;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '\\' && quote != '\'') {
      ++at;
    } else if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (kBlank.find(c) != kBlank.npos) {
      break;
    }
  }
  return std::min(at, text.size());
}

std::string absolute(std::string_view path, std::string_view folder) {
  const bool quoted = path.starts_with('"') || path.starts_with('\'');
  const std::string_view quote = path.substr(0, quoted ? 1 : 0);
  path.remove_prefix(quote.size());
  if (path.empty() || path.starts_with('/')) return std::string(quote).append(path);
  const bool needs_quotes = !quoted && folder.find_first_of(kBlank) != folder.npos;
  std::string result(needs_quotes ? "\"" : quote);
  result.append(folder).append("/").append(path);
  if (needs_quotes) result += '"';
  return result;
}

}  // namespace

std::string with_absolute_includes(std::string_view options, std::string_view folder) {
  if (folder.empty() || options.find(kInclude) == options.npos) return std::string(options);
  std::string result;
  bool path_follows = false;
  for (std::size_t at = 0; at < options.size();) {
    const std::size_t begin = std::min(options.find_first_not_of(kBlank, at), options.size());
    const std::size_t end = end_of_word(options, begin);
    const std::string_view word = options.substr(begin, end - begin);
    result.append(options.substr(at, begin - at));
    if (path_follows) {
      result += absolute(word, folder);
    } else if (word.starts_with(kInclude)) {
      result.append(kInclude).append(absolute(word.substr(kInclude.size()), folder));
    } else {
      result.append(word);
    }
    path_follows = word == kInclude && !path_follows;
    at = end;
  }
  return result;
}

std::string current_folder() {
  char path[PATH_MAX];
  return ::getcwd(path, sizeof path) == nullptr ? std::string() : path;
}

}  // namespace tessera::client

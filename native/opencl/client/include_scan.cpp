// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/include_scan.h"

#include <algorithm>

namespace tessera::client {
namespace {

constexpr std::string_view kHasInclude = "__has_include";

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r';
}

bool begins_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool is_of_word(char c) {
  return begins_word(c) || (c >= '0' && c <= '9');
}

// Bytes of the line continuation at `at`; 0 where there is none.
std::size_t continuation(std::string_view text, std::size_t at) {
  if (at >= text.size() || text[at] != '\\') return 0;
  std::size_t end = at + 1;
  while (end < text.size() && is_blank(text[end])) ++end;
  return end < text.size() && text[end] == '\n' ? end + 1 - at : 0;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) { skip_continuations(); }

  IncludeScan run() {
    while (!at_end()) {
      skip_blanks();
      if (take("#") || take("%:")) directive();
      skip_line();
      if (!at_end()) step();
    }
    return std::move(scan_);
  }

 private:
  bool at_end() const { return at_ >= text_.size(); }
  bool at_line_end() const { return at_end() || text_[at_] == '\n'; }
  char here() const { return at_end() ? '\0' : text_[at_]; }

  void skip_continuations() {
    while (const std::size_t bytes = continuation(text_, at_)) at_ += bytes;
  }
  void step() {
    ++at_;
    skip_continuations();
  }
  bool take(std::string_view word) {
    const std::size_t begin = at_;
    for (const char c : word) {
      if (here() != c) {
        at_ = begin;
        return false;
      }
      step();
    }
    return true;
  }

  bool skip_comment() {
    if (here() != '/') return false;
    if (take("//")) {
      while (!at_line_end()) step();
      return true;
    }
    if (!take("/*")) return false;
    while (!at_end() && !take("*/")) step();
    return true;
  }
  // Within the line, and past comments, which may be longer than the line.
  void skip_blanks() {
    while (!at_end() && (is_blank(here()) || here() == '/')) {
      if (is_blank(here())) {
        step();
      } else if (!skip_comment()) {
        return;
      }
    }
  }
  // A string or character; as far as the line where it is not closed, as in prose behind `#if 0`.
  void skip_literal() {
    const char quote = here();
    for (step(); !at_line_end() && here() != quote; step()) {
      if (here() == '\\') step();
      if (at_line_end()) return;
    }
    if (!at_line_end()) step();
  }
  void skip_line() {
    while (!at_line_end()) {
      if (here() == '"' || here() == '\'') {
        skip_literal();
      } else if (!skip_comment()) {
        step();
      }
    }
  }

  std::string word() {
    std::string result;
    if (!begins_word(here())) return result;
    for (; is_of_word(here()); step()) result += here();
    return result;
  }

  void directive() {
    skip_blanks();
    const std::string what = word();
    if (what == "include" || what == "import") {
      skip_blanks();
      mention();
    } else if (what == "if" || what == "elif") {
      condition();
    } else if (what == "define") {
      skip_blanks();
      definition();
    } else if (what == "pragma") {
      skip_blanks();
      scan_.once = word() == "once" || scan_.once;
    }
  }

  void mention() {
    Mention found;
    found.begin = at_;
    if (here() == '"' || here() == '<') {
      found.form = here() == '"' ? Mention::Form::quoted : Mention::Form::angled;
      const char close = here() == '"' ? '"' : '>';
      for (step(); !at_line_end() && here() != close; step()) found.name += here();
      if (at_line_end() || found.name.empty()) return;
      ++at_;
      found.end = at_;
      skip_continuations();
    } else {
      found.form = Mention::Form::macro;
      found.name = word();
      found.end = at_;
      skip_blanks();
      // A macro with parameters, or more than one word, is for a preprocessor.
      if (found.name.empty() || !at_line_end()) return;
    }
    scan_.mentions.push_back(std::move(found));
  }

  void condition() {
    while (!at_line_end()) {
      if (begins_word(here())) {
        if (word() != kHasInclude) continue;
        skip_blanks();
        if (!take("(")) continue;
        skip_blanks();
        if (here() == '"' || here() == '<') mention();
      } else if (here() == '"' || here() == '\'') {
        skip_literal();
      } else if (!skip_comment()) {
        step();
      }
    }
  }

  void definition() {
    std::string macro = word();
    if (macro.empty() || here() == '(') return;
    skip_blanks();
    std::string value;
    while (!at_line_end()) {
      const std::size_t begin = at_;
      if (here() == '"' || here() == '\'') {
        skip_literal();
        value += text_.substr(begin, at_ - begin);
      } else if (!skip_comment()) {
        value += here();
        step();
      }
    }
    while (!value.empty() && is_blank(value.back())) value.pop_back();
    MacroDefinition found = macro_definition(std::move(macro), std::move(value));
    found.line_end = at_;
    found.next_line = line() + 1;
    scan_.definitions.push_back(std::move(found));
  }

  // The number of the line that the scanner is in.
  std::size_t line() {
    const std::string_view since = text_.substr(counted_, at_ - counted_);
    line_ += static_cast<std::size_t>(std::ranges::count(since, '\n'));
    counted_ = at_;
    return line_;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t counted_ = 0;
  std::size_t line_ = 1;
  IncludeScan scan_;
};

}  // namespace

IncludeScan scan_includes(std::string_view text) {
  return Scanner(text).run();
}

MacroDefinition macro_definition(std::string macro, std::string value) {
  MacroDefinition found{std::move(macro), std::move(value), Mention::Form::macro};
  const std::string_view whole = found.value;
  if (whole.size() < 3) return found;
  const char close = whole.front() == '"' ? '"' : whole.front() == '<' ? '>' : '\0';
  if (close == '\0' || whole.find(close, 1) != whole.size() - 1) return found;
  found.form = close == '"' ? Mention::Form::quoted : Mention::Form::angled;
  found.name = whole.substr(1, whole.size() - 2);
  return found;
}

}  // namespace tessera::client

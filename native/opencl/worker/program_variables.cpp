// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/program_variables.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <utility>

#include "opencl/option_words.h"

namespace tessera::worker {
namespace {

constexpr std::string_view kStandard = "-cl-std=";

bool is_of_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// Words and single characters; without comments, literals and directives.
class Tokens {
 public:
  explicit Tokens(std::string_view text) : text_(text) {}

  // Empty at the end.
  std::string_view next() {
    for (;;) {
      const std::size_t begin = at_;
      if (at_ >= text_.size()) return {};
      const char c = text_[at_++];
      if (c == '\n') {
        line_begins_ = true;
      } else if (c == '\\' || std::isspace(static_cast<unsigned char>(c)) != 0) {
        continue;
      } else if (c == '#' && line_begins_) {
        skip_directive();
      } else if (c == '/' && at_ < text_.size() && (text_[at_] == '/' || text_[at_] == '*')) {
        skip_comment();
      } else {
        line_begins_ = false;
        if (c == '"' || c == '\'') {
          skip_literal(c);
        } else {
          while (is_of_word(c) && at_ < text_.size() && is_of_word(text_[at_])) ++at_;
        }
        return text_.substr(begin, at_ - begin);
      }
    }
  }

 private:
  void skip_directive() {
    while (at_ < text_.size() && text_[at_] != '\n') {
      if (text_.substr(at_, 2) == "/*") {
        ++at_;
        skip_comment();
      } else {
        at_ += text_[at_] == '\\' ? 2 : 1;
      }
    }
  }
  // Behind its first slash.
  void skip_comment() {
    const bool line = text_[at_] == '/';
    const std::size_t end = line ? text_.find('\n', at_) : text_.find("*/", at_ + 1);
    at_ = end == text_.npos ? text_.size() : end + (line ? 0 : 2);
  }
  void skip_literal(char quote) {
    while (at_ < text_.size() && text_[at_] != quote && text_[at_] != '\n') {
      at_ += text_[at_] == '\\' ? 2 : 1;
    }
    at_ = std::min(at_ + 1, text_.size());
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool line_begins_ = true;
};

bool is_constant(std::string_view token) {
  return token == "constant" || token == "__constant" || token == "sampler_t";
}

bool is_type(std::string_view token) {
  return token == "struct" || token == "union" || token == "enum";
}

// Reads declarations at program scope, and looks for static ones within functions.
class Reader {
 public:
  // Whether the token ends a declaration of a variable.
  bool take(std::string_view token) {
    bool found = false;
    if (token == "(" || token == "[") {
      // Those of __attribute__((...)) and of arrays say nothing; others make a function.
      if (at_scope() && !value_ && token == "(" && before_ != "__attribute__") function_ = true;
      ++brackets_;
    } else if (token == ")" || token == "]") {
      brackets_ -= std::min<std::size_t>(brackets_, 1);
    } else if (token == "{") {
      ++braces_;
      inner_ = {};
    } else if (token == "}") {
      end_block();
    } else if (brackets_ == 0) {
      found = token == ";" ? end_declaration() : word(token);
    }
    before_ = token;
    return found;
  }

 private:
  struct Inner {
    bool is_static = false;
    bool constant = false;
  };

  bool at_scope() const { return braces_ == 0 && brackets_ == 0; }

  bool word(std::string_view token) {
    if (braces_ != 0) {
      inner_.is_static = inner_.is_static || token == "static";
      inner_.constant = inner_.constant || is_constant(token) || token == "const";
      return false;
    }
    // What looked like a function's parameters were a macro's.
    if (before_ == ")" && function_ && is_of_word(token.front())) begin();
    if (value_) return false;
    value_ = token == "=";
    pointer_ = pointer_ || token == "*";
    constant_ = constant_ || token == "const";
    none_ = none_ || is_constant(token) || token == "typedef" || token == "extern";
    if (!is_of_word(token.front())) return false;
    if (names_ == 0) tagged_ = is_type(token);
    ++names_;
    return false;
  }

  void end_block() {
    braces_ -= std::min<std::size_t>(braces_, 1);
    inner_ = {};
    if (braces_ != 0 || value_) return;
    if (function_) return begin();
    // Behind the braces of a type come the names of variables.
    names_ = 1;
    tagged_ = false;
  }

  bool end_declaration() {
    if (braces_ != 0) {
      const Inner ended = std::exchange(inner_, {});
      return ended.is_static && !ended.constant;
    }
    const std::size_t type_names = tagged_ ? 2 : 1;
    const bool variable = names_ > type_names && !function_ && !none_ && (pointer_ || !constant_);
    begin();
    return variable;
  }

  // Of the next declaration.
  void begin() {
    names_ = 0;
    tagged_ = function_ = none_ = constant_ = pointer_ = value_ = false;
  }

  std::size_t braces_ = 0;
  std::size_t brackets_ = 0;
  std::string_view before_;
  Inner inner_;            // the declaration within a function
  std::size_t names_ = 0;  // words outside of brackets
  bool tagged_ = false;    // it begins with `struct`, whose next word is a type's name
  bool function_ = false;
  bool none_ = false;      // a type, a constant, or another program's
  bool constant_ = false;  // or a pointer to what is constant
  bool pointer_ = false;
  bool value_ = false;  // what follows is the initial value
};

}  // namespace

bool options_allow_variables(std::string_view options) {
  const auto words = split_options(options);
  return words && std::ranges::any_of(*words, [](const OptionWord& word) {
           return word.plain.starts_with(kStandard) &&
                  !word.plain.starts_with(std::string(kStandard) + "CL1.");
         });
}

bool declares_variables(std::string_view source) {
  Tokens tokens(source);
  Reader reader;
  for (std::string_view token = tokens.next(); !token.empty(); token = tokens.next()) {
    if (reader.take(token)) return true;
  }
  return false;
}

}  // namespace tessera::worker

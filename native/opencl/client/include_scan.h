// SPDX-License-Identifier: Apache-2.0
//
// Which files a source may include, found without preprocessing it.
//
// Conditions are not evaluated: a file behind `#if 0` counts as well, because what it takes to
// evaluate them is a whole preprocessor with the driver's own macros. Comments, literals and
// continued lines are seen, so that only directives count.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::client {

// A place where a directive (or __has_include) names a file.
struct Mention {
  enum class Form { quoted, angled, macro };
  std::size_t begin = 0;  // of the name with its delimiters
  std::size_t end = 0;
  Form form = Form::quoted;
  std::string name{};  // without delimiters; or the macro that stands for the name
};

// A macro without parameters, which may be the name in `#include MACRO`.
struct MacroDefinition {
  std::string macro;
  std::string value;          // as it was written
  Mention::Form form{};       // `macro`: the value is no name of a file
  std::string name{};         // of the file
  std::size_t line_end = 0;   // where the directive's last line ends
  std::size_t next_line = 0;  // the number of the line after it, from 1
};

struct IncludeScan {
  std::vector<Mention> mentions;             // in order, apart from each other
  std::vector<MacroDefinition> definitions;  // in order
  bool once = false;                         // it has `#pragma once`
};

IncludeScan scan_includes(std::string_view text);

// The file that a macro's value names, if it is "name" or <name> and no more; else an empty name
// and the form `macro`.
MacroDefinition macro_definition(std::string macro, std::string value);

}  // namespace tessera::client

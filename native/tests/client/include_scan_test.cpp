// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/include_scan.h"

#include "check.h"
#include "opencl/client/include_options.h"

namespace {

using namespace tessera::client;
using Form = Mention::Form;

// The names that a text mentions, each as it would be written.
std::string mentioned(std::string_view text) {
  std::string all;
  for (const Mention& mention : scan_includes(text).mentions) {
    if (!all.empty()) all += ' ';
    if (mention.form == Form::quoted) all += '"' + mention.name + '"';
    if (mention.form == Form::angled) all += '<' + mention.name + '>';
    if (mention.form == Form::macro) all += mention.name;
  }
  return all;
}

void directives_are_found() {
  CHECK(mentioned("#include \"a.h\"\n#include <b/c.h>\nint x;\n#include NAME") ==
        "\"a.h\" <b/c.h> NAME");
  CHECK(mentioned("  # \t include/* why */\"a.h\" // so\n%:include <b>\n#import \"c\"\r\n") ==
        "\"a.h\" <b> \"c\"");
  CHECK(mentioned("/* one\n two */ #include \"a.h\"") == "\"a.h\"");
  CHECK(mentioned("#inc\\\nlude \\\n \"a\\\n.h\"") == "\"a.h\"");
  CHECK(mentioned("#if 0\n#include \"a.h\"\n#endif") == "\"a.h\"");
  CHECK(mentioned("#if defined(X) && __has_include(<a.h>) || __has_include ( \"b.h\" )\n") ==
        "<a.h> \"b.h\"");
  CHECK(mentioned("#elif __has_include(\"c.h\")") == "\"c.h\"");
}

void what_only_looks_like_one_is_not() {
  for (const char* text :
       {"// #include \"a.h\"", "/* \n#include \"a.h\"\n*/",
        "char c = '\"';\nint x; #include \"a.h\"", "const char *s = \"\\\n#include \\\"a.h\\\"\";",
        "#includes \"a.h\"", "#include", "#include \"\"", "#include \"a.h", "#include <a.h",
        "#include JOIN(a, b)", "#include_next <a.h>", "#define X __has_include(\"a.h\")",
        "int __has_include(\"a.h\");", "#", ""}) {
    CHECK(mentioned(text).empty());
  }
  // Prose behind a condition does not swallow what follows.
  CHECK(mentioned("#if 0\nit isn't C\n#endif\n#include \"a.h\"") == "\"a.h\"");
}

void places_are_those_of_the_name() {
  const std::string_view text = "#include  \"a.h\" // why\nx";
  const auto mentions = scan_includes(text).mentions;
  CHECK(mentions.size() == 1);
  CHECK(text.substr(mentions[0].begin, mentions[0].end - mentions[0].begin) == "\"a.h\"");
}

void definitions_name_files_or_not() {
  const std::string_view text =
      "#define A \"a//b.h\" /* two\nlines */\n#define B <b.h>\n#define C(x) \"c.h\"\n#define D B\n"
      "#define E \"e\" \".h\"\n#define F\n#define G 'x'";
  const auto found = scan_includes(text).definitions;
  CHECK(found.size() == 6);
  CHECK(found[0].macro == "A" && found[0].form == Form::quoted && found[0].name == "a//b.h");
  CHECK(found[0].next_line == 3 && text[found[0].line_end] == '\n');
  CHECK(found[1].macro == "B" && found[1].form == Form::angled && found[1].name == "b.h");
  CHECK(found[1].next_line == 4);
  for (std::size_t i = 2; i < found.size(); ++i) CHECK(found[i].form == Form::macro);
  CHECK(found[5].macro == "G" && found[5].line_end == text.size());
}

void once_is_seen() {
  CHECK(scan_includes("# pragma once\n").once);
  CHECK(!scan_includes("#pragma unroll\n// #pragma once\n").once);
}

void options_name_folders_and_macros() {
  const auto found =
      include_options("-w -I a -Ib -I \"my files\" -I'c d' -DF=\\\"f.h\\\" -D G=<g> -D H");
  CHECK((found.folders == std::vector<std::string>{"a", "b", "my files", "c d"}));
  CHECK(found.definitions.size() == 3);
  CHECK(found.definitions[0].macro == "F" && found.definitions[0].name == "f.h");
  CHECK(found.definitions[1].macro == "G" && found.definitions[1].form == Form::angled);
  CHECK(found.definitions[2].form == Form::macro && found.definitions[2].value == "1");
  CHECK(include_options("-I").folders.empty() && include_options("-I \"a").folders.empty());
}

}  // namespace

int main() {
  directives_are_found();
  what_only_looks_like_one_is_not();
  places_are_those_of_the_name();
  definitions_name_files_or_not();
  once_is_seen();
  options_name_folders_and_macros();
  return 0;
}

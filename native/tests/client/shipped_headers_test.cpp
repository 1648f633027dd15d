// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/shipped_headers.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "check.h"
#include "opencl/shipped_texts.h"
#include "transport/channel.h"

namespace {

using namespace tessera;
using client::ShippedHeaders;
namespace fs = std::filesystem;

// An empty folder that is the current one.
class Folder {
 public:
  Folder() : before_(fs::current_path()) {
    CHECK(::mkdtemp(path_.data()) != nullptr);
    fs::current_path(path_);
  }
  ~Folder() {
    fs::current_path(before_);
    fs::remove_all(path_);
  }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  void write(const std::string& name, std::string_view text) const {
    fs::create_directories(fs::path(file(name)).parent_path());
    std::ofstream(file(name)) << text;
  }

 private:
  fs::path before_;
  std::string path_ = "/tmp/tessera-headers-XXXXXX";
};

ShippedHeaders ship(std::string_view source, std::string_view options = "") {
  return client::ship_headers(std::span(&source, 1), options);
}

// Each text, with [N] where the path of a file comes.
std::vector<std::string> texts(const ShippedHeaders& shipped) {
  std::vector<std::string> all;
  std::size_t part = 0;
  std::size_t at = 0;
  for (const std::uint32_t end : shipped.text_ends) {
    std::string& text = all.emplace_back();
    for (; part < end; ++part) {
      text += shipped.bytes.substr(at, shipped.part_sizes[part]);
      at += shipped.part_sizes[part];
      if (const auto file = shipped.part_files[part]) text += "[" + std::to_string(file) + "]";
    }
  }
  CHECK(part == shipped.part_sizes.size() && at == shipped.bytes.size());
  return all;
}

// What the source becomes; the names of the files, each as its text begins.
std::string line_of(std::string_view path, std::string_view text) {
  return "#line 1 \"" + std::string(path) + "\"\n" + std::string(text);
}

void check(const ShippedHeaders& shipped, const std::vector<std::string>& expected) {
  const auto all = texts(shipped);
  for (std::size_t i = 0; i < std::max(all.size(), expected.size()); ++i) {
    if (i < all.size() && i < expected.size() && all[i] == expected[i]) continue;
    std::fprintf(stderr, "text %zu is %s\n", i, i < all.size() ? all[i].c_str() : "not there");
    CHECK(false);
  }
}

void nothing_is_sent_where_nothing_is_included() {
  const Folder folder;
  folder.write("a.h", "");
  CHECK(ship("kernel void k() {}").empty());
  CHECK(ship("#include \"missing.h\"\n", "-I nowhere").empty());
  CHECK(ship("// #include \"a.h\"\n").empty());
}

void files_are_found_as_a_compiler_finds_them() {
  const Folder folder;
  folder.write("h.h", "current");
  folder.write("a/h.h", "a");
  folder.write("a/only.h", "only");
  folder.write("b/only.h", "b");
  folder.write("a/sub/deep.h", "#include \"../h.h\"\n#include \"h.h\"\n#include <h.h>\n");
  folder.write("out.h", "out");
  fs::create_symlink("../out.h", folder.file("a/link.h"));
  check(ship("#include \"h.h\"", "-I a"), {"#include [1]", line_of("./h.h", "current")});
  check(ship("#include <only.h>", "-I b -Ia"), {"#include [1]", line_of("b/only.h", "b")});
  check(ship("#include \"../only.h\"", "-I a/sub/"),
        {"#include [1]", line_of("a/sub/../only.h", "only")});
  check(ship("#include \"link.h\"", "-I a"), {"#include [1]", line_of("a/link.h", "out")});
  check(ship("#include \"" + folder.file("out.h") + "\""),
        {"#include [1]", line_of(folder.file("out.h"), "out")});
  // Quoted names are looked for beside the including file first.
  check(ship("#include \"a/sub/deep.h\""),
        {"#include [1]", line_of("./a/sub/deep.h", "#include [2]\n#include [3]\n#include [3]\n"),
         line_of("./a/sub/../h.h", "a"), line_of("./h.h", "current")});
}

void each_file_is_sent_once_and_circles_end() {
  const Folder folder;
  folder.write("a.h", "#include \"b.h\"\n");
  folder.write("b.h", "#include \"./a.h\"\n#include \"c/../a.h\"\n");
  fs::create_directory(folder.file("c"));
  check(ship("#include \"a.h\"\n#include <a.h>\n#if __has_include(\"a.h\")\n"),
        {"#include [1]\n#include [1]\n#if __has_include([1])\n", line_of("./a.h", "#include [2]\n"),
         line_of("./b.h", "#include [1]\n#include [1]\n")});
}

void a_file_with_two_names_is_one_where_it_says_so() {
  const Folder folder;
  folder.write("a/x.h", "#pragma once\nint x;");
  fs::create_directory(folder.file("b"));
  fs::create_symlink("../a/x.h", folder.file("b/x.h"));
  const std::string guarded = "#ifndef tessera_once_1\n#define tessera_once_1\n";
  check(
      ship("#include \"a/x.h\"\n#include \"b/x.h\""),
      {"#include [1]\n#include [2]", guarded + line_of("./a/x.h", "#pragma once\nint x;\n#endif\n"),
       guarded + line_of("./b/x.h", "#pragma once\nint x;\n#endif\n")});
}

void macros_that_name_files_are_followed() {
  const Folder folder;
  folder.write("a.h", "a");
  folder.write("b.h", "b");
  check(ship("#if X\n#define F \"a.h\"\n#else\n#define F <b.h>\n#endif\n#include F\nint F;"),
        {"#if X\n#define F \"a.h\"\n#undef tessera_header_0_F\n#define tessera_header_0_F [1]\n"
         "#line 3\n#else\n#define F <b.h>\n#undef tessera_header_0_F\n"
         "#define tessera_header_0_F [2]\n#line 5\n#endif\n#include tessera_header_0_F\nint F;",
         line_of("./a.h", "a"), line_of("./b.h", "b")});
  check(ship("#include F", "-DF=\\\"a.h\\\""),
        {"#undef tessera_header_0_F\n#define tessera_header_0_F [1]\n#line 1\n"
         "#include tessera_header_0_F",
         line_of("./a.h", "a")});
  // One that a preprocessor would have to put together stays as it is.
  CHECK(ship("#define F G\n#define G \"a.h\"\n#include F").empty());
  CHECK(ship("#include F").empty());
}

void programs_that_are_headers_go_before_files() {
  const Folder folder;
  folder.write("a.h", "file");
  folder.write("b.h", "b");
  const std::string_view sources[] = {"#include \"a.h\"\n#include \"b.h\"", "#include <b.h>"};
  const std::string_view names[] = {"a.h"};
  check(client::ship_headers(sources, "", names),
        {"#include \"a.h\"\n#include [1]", "#include [1]", line_of("./b.h", "b")});
}

void what_is_no_file_is_left_out() {
  const Folder folder;
  fs::create_directory(folder.file("folder"));
  CHECK(::mkfifo(folder.file("pipe").c_str(), 0600) == 0);
  CHECK(ship("#include \"folder\"\n#include \"pipe\"\n#include \"/dev/zero\"\n").empty());
  folder.write("quote\".h",
               "\xef\xbb\xbf"
               "x");
  check(ship("#include <quote\".h>"), {"#include [1]", "#line 1 \"./quote\\\".h\"\nx"});
}

void too_much_is_left_out() {
  const Folder folder;
  folder.write("small.h", "small");
  folder.write("a/large.h", "");
  folder.write("large.h", "");
  fs::resize_file(folder.file("large.h"), kMaxBulk);
  // No other file takes its place.
  check(ship("#include \"large.h\"\n#include \"small.h\"", "-I a"),
        {"#include \"large.h\"\n#include [1]", line_of("./small.h", "small")});
  std::string many;
  for (std::size_t i = 0; i < kMaxShippedFiles + 1; ++i) {
    folder.write("n" + std::to_string(i), "");
    many += "#include \"n" + std::to_string(i) + "\"\n";
  }
  CHECK(texts(ship(many)).size() == 1 + kMaxShippedFiles);
  std::string often;
  for (std::size_t i = 0; i < kMaxShippedParts; ++i) often += "#include \"small.h\"\n";
  CHECK(ship(often).empty());
}

}  // namespace

int main() {
  nothing_is_sent_where_nothing_is_included();
  files_are_found_as_a_compiler_finds_them();
  each_file_is_sent_once_and_circles_end();
  a_file_with_two_names_is_one_where_it_says_so();
  macros_that_name_files_are_followed();
  programs_that_are_headers_go_before_files();
  what_is_no_file_is_left_out();
  too_much_is_left_out();
  return 0;
}

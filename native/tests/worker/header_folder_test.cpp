// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/header_folder.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/sha256.h"
#include "check.h"
#include "opencl/shipped_texts.h"
#include "opencl/worker/object_table.h"

namespace tessera::test {
namespace {

namespace fs = std::filesystem;
using worker::HeaderFolder;
using worker::HeaderTexts;
using worker::ProtocolError;
using worker::Record;
using Numbers = std::vector<std::uint32_t>;

HeaderTexts texts_of(std::string_view bytes, const Numbers& sizes, const Numbers& files,
                     const Numbers& ends, std::size_t sources = 1) {
  return HeaderTexts(Record(1, {}, std::as_bytes(std::span(bytes))), sources, sizes, files, ends);
}

// A source, a file that includes the second, and the second.
HeaderTexts two_files(std::string_view last = "c") {
  return texts_of("sa" + std::string(last), {1, 0, 1, 0, static_cast<std::uint32_t>(last.size())},
                  {1, 0, 2, 0, 0}, {2, 4, 5});
}

bool refused(std::string_view bytes, const Numbers& sizes, const Numbers& files,
             const Numbers& ends, std::size_t sources = 1) {
  try {
    texts_of(bytes, sizes, files, ends, sources);
  } catch (const ProtocolError&) {
    return true;
  }
  return false;
}

class Base {
 public:
  Base() { CHECK(::mkdtemp(path.data()) != nullptr); }
  ~Base() { fs::remove_all(path); }
  std::size_t entries() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(path), fs::directory_iterator()));
  }
  std::string path = "/tmp/tessera-base-XXXXXX";
};

std::string contents(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

void paths_come_where_files_are_named() {
  const HeaderTexts texts = two_files();
  CHECK(texts && texts.files() == 2);
  CHECK(texts.source(0, "/f") == "s\"/f/tessera-header-1\"");
  CHECK(texts.file(1, "/f") == "a\"/f/tessera-header-2\"");
  CHECK(texts.file(2, "/f") == "c");
  CHECK(!texts_of("", {}, {}, {}) && texts_of("", {}, {}, {}).files() == 0);
}

void parts_that_do_not_fit_are_refused() {
  CHECK(refused("ab", {1}, {0}, {1}));  // bytes that are in no part
  CHECK(refused("ab", {3}, {0}, {1}));  // parts past the bytes
  CHECK(refused("", {0xffffffff, 1}, {0, 0}, {2}));
  CHECK(refused("a", {1}, {}, {1}));   // a part without a file
  CHECK(refused("a", {1}, {1}, {1}));  // a file that is not there
  CHECK(refused("a", {1}, {0xffffffff}, {1}));
  CHECK(refused("a", {1}, {0}, {}));             // parts of no text
  CHECK(refused("a", {1}, {0}, {2}));            // texts past the parts
  CHECK(refused("ab", {1, 1}, {0, 0}, {2, 1}));  // backwards
  CHECK(refused("a", {1}, {0}, {1}, 2));         // fewer texts than sources
  const Numbers many(kMaxShippedParts + 1);
  CHECK(refused("", many, many, {kMaxShippedParts + 1}));
  CHECK(refused("", {}, {}, Numbers(kMaxShippedFiles + 2)));
  CHECK(!refused("", {}, {}, Numbers(kMaxShippedFiles + 1)));
}

void a_folder_is_named_by_its_files_and_goes_with_its_last_user() {
  const Base base;
  std::string path;
  {
    const HeaderFolder folder(two_files(), base.path);
    path = folder.path();
    CHECK(contents(path + "/tessera-header-1") == "a\"" + path + "/tessera-header-2\"");
    CHECK(contents(path + "/tessera-header-2") == "c");
    const HeaderFolder other(two_files("d"), base.path);
    CHECK(other.path() != path);
    {
      const HeaderFolder same(two_files(), base.path);
      CHECK(same.path() == path);
    }
    CHECK(contents(path + "/tessera-header-2") == "c");
    CHECK(base.entries() == 2);
  }
  CHECK(base.entries() == 0);
  const HeaderFolder again(two_files(), base.path);
  CHECK(again.path() == path);
}

// The same text, cut at another place or another source's, is another set of files or the same.
void names_tell_sets_of_files_apart() {
  const auto digest = [](const Numbers& sizes, const Numbers& files, const Numbers& ends) {
    return texts_of("sab", sizes, files, ends).digest();
  };
  CHECK(digest({1, 1, 1}, {0, 0, 0}, {1, 2, 3}) != digest({1, 2, 0}, {0, 0, 0}, {1, 2, 3}));
  CHECK(digest({1, 1, 1}, {0, 0, 0}, {1, 2, 3}) != digest({1, 1, 1}, {0, 2, 0}, {1, 2, 3}));
  CHECK(digest({1, 1, 1}, {0, 0, 0}, {1, 3, 3}) != digest({1, 1, 1}, {0, 0, 0}, {1, 2, 3}));
  CHECK(digest({0, 1, 2}, {1, 0, 0}, {2, 3}) == digest({1, 0, 2}, {0, 1, 0}, {2, 3}));
}

void what_a_killed_worker_left_is_removed() {
  const Base base;
  const pid_t child = ::fork();
  if (child == 0) {
    const HeaderFolder folder(two_files("left"), base.path);
    ::raise(SIGKILL);
  }
  CHECK(::waitpid(child, nullptr, 0) == child);
  fs::create_directory(base.path + "/new-abcdef");
  CHECK(base.entries() == 2);
  const HeaderFolder folder(two_files(), base.path);
  CHECK(base.entries() == 1);
}

void many_at_once_find_whole_folders() {
  const Base base;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 200; ++k) {
        const HeaderFolder folder(two_files(k % 3 == 0 ? "c" : "d"), base.path);
        const std::string text = contents(folder.path() + "/tessera-header-2");
        CHECK(text == (k % 3 == 0 ? "c" : "d"));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(base.entries() == 0);
}

void the_sum_is_that_of_the_standard() {
  const auto sum = [](std::string_view text) {
    Sha256 sum;
    sum.add(std::as_bytes(std::span(text)));
    return sum.hex();
  };
  CHECK(sum("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sum("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sum("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sum(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  paths_come_where_files_are_named();
  parts_that_do_not_fit_are_refused();
  a_folder_is_named_by_its_files_and_goes_with_its_last_user();
  names_tell_sets_of_files_apart();
  what_a_killed_worker_left_is_removed();
  many_at_once_find_whole_folders();
  the_sum_is_that_of_the_standard();
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/compiler_confinement.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

#include "check.h"

namespace tessera::test {
namespace {

using worker::CompilerConfinement;

// A folder with two folders, a file in each.
struct Folders {
  Folders() {
    CHECK(::mkdtemp(root.data()) != nullptr);
    for (const auto& folder : {allowed(), other()}) {
      CHECK(::mkdir(folder.c_str(), 0700) == 0);
      CHECK(UniqueFd(::open((folder + "/file").c_str(), O_CREAT | O_WRONLY, 0600)));
    }
  }
  ~Folders() {
    for (const auto& folder : {allowed(), other()}) {
      ::unlink((folder + "/file").c_str());
      ::rmdir(folder.c_str());
    }
    ::rmdir(root.c_str());
  }
  std::string allowed() const { return root + "/allowed"; }
  std::string other() const { return root + "/other"; }
  std::string root = "/tmp/tessera-confinement-XXXXXX";
};

// 0, or the error.
int open_error(const std::string& path, int flags) {
  const UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC));
  return fd ? 0 : errno;
}

void a_confined_thread_sees_what_is_allowed_and_no_more() {
  const Folders folders;
  const CompilerConfinement reader({folders.allowed()}, {});
  const CompilerConfinement writer({}, {folders.allowed()});
  if (!reader.available()) return;
  reader.run([&] {
    CHECK(open_error(folders.allowed() + "/file", O_RDONLY) == 0);
    CHECK(open_error(folders.allowed() + "/file", O_WRONLY) == EACCES);
    CHECK(open_error(folders.other() + "/file", O_RDONLY) == EACCES);
    CHECK(open_error(folders.allowed() + "/../other/file", O_RDONLY) == EACCES);
    CHECK(open_error("/proc/self/environ", O_RDONLY) == EACCES);
  });
  writer.run([&] {
    CHECK(open_error(folders.allowed() + "/file", O_WRONLY) == 0);
    CHECK(open_error(folders.other() + "/file", O_WRONLY) == EACCES);
  });
  // The files of a folder that is named are read, and no more.
  CompilerConfinement({}, {}).run(
      [&] {
        CHECK(open_error(folders.allowed() + "/file", O_RDONLY) == 0);
        CHECK(open_error(folders.allowed() + "/file", O_WRONLY) == EACCES);
        CHECK(open_error(folders.allowed(), O_RDONLY | O_DIRECTORY) == EACCES);
        CHECK(open_error(folders.other() + "/file", O_RDONLY) == EACCES);
      },
      folders.allowed());
  // Only that thread, and only as long as it lives.
  CHECK(open_error(folders.other() + "/file", O_RDWR) == 0);
}

void what_the_work_throws_comes_out() {
  bool caught = false;
  try {
    CompilerConfinement({}, {}).run([] { throw std::runtime_error("x"); });
  } catch (const std::runtime_error&) {
    caught = true;
  }
  CHECK(caught);
}

void a_driver_finds_its_own_files() {
  CompilerConfinement::of_process().run([] {
    CHECK(open_error("/usr/bin/env", O_RDONLY) == 0);
    CHECK(open_error("/dev/null", O_RDWR) == 0);
  });
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  a_confined_thread_sees_what_is_allowed_and_no_more();
  what_the_work_throws_comes_out();
  a_driver_finds_its_own_files();
}

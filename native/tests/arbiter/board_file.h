// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "check.h"

namespace tessera::test {

// A path for a board, in a folder of its own that goes with it.
class BoardFile {
 public:
  BoardFile() {
    char name[] = "/tmp/tessera-board-XXXXXX";
    CHECK(::mkdtemp(name) != nullptr);
    folder_ = name;
  }
  ~BoardFile() {
    ::unlink(path().c_str());
    ::rmdir(folder_.c_str());
  }
  BoardFile(const BoardFile&) = delete;
  BoardFile& operator=(const BoardFile&) = delete;
  std::string path() const { return folder_ + "/board"; }

 private:
  std::string folder_;
};

}  // namespace tessera::test

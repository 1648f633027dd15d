// SPDX-License-Identifier: Apache-2.0
#include "tests/random/output.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

namespace tessera::random {

Output::Output() : file_(::memfd_create("output", MFD_CLOEXEC)) {
  if (file_ < 0) throw std::system_error(errno, std::generic_category(), "memfd_create");
  // Appending, so that what is printed after clear() begins at its start.
  if (::fcntl(file_, F_SETFL, O_APPEND) != 0 || ::dup2(file_, STDOUT_FILENO) < 0) {
    throw std::system_error(errno, std::generic_category(), "the standard output");
  }
}

Output::~Output() {
  ::close(file_);
}

std::size_t Output::size() const {
  struct stat found {};
  ::fstat(file_, &found);
  return static_cast<std::size_t>(found.st_size);
}

std::string Output::text() const {
  std::string all(size(), '\0');
  const ssize_t got = ::pread(file_, all.data(), all.size(), 0);
  all.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return all;
}

void Output::clear() {
  if (::ftruncate(file_, 0) != 0)
    throw std::system_error(errno, std::generic_category(), "ftruncate");
}

}  // namespace tessera::random

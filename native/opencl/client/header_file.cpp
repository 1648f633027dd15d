// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/header_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace tessera::client {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == path.npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// What a file is known by, and what it is. By statx(), whose name is older than those of stat() and
// fstat() in a driver that is built today (glibc_floor.cpp).
std::optional<struct statx> facts_of(int folder, const char* path, int flags) {
  struct statx facts {};
  constexpr unsigned kWanted = STATX_TYPE | STATX_SIZE | STATX_INO;
  if (::statx(folder, path, flags, kWanted, &facts) != 0) return std::nullopt;
  return facts;
}

FileIdentity identity_of(const struct statx& facts) {
  return {::makedev(facts.stx_dev_major, facts.stx_dev_minor), facts.stx_ino};
}

// False on an error.
bool read_all(int fd, std::string& text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = ::read(fd, text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  text.resize(done);
  return true;
}

}  // namespace

std::optional<HeaderFile> read_header(const std::string& path, std::size_t most, bool& too_long) {
  // Without waiting: the name may be a pipe's.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return std::nullopt;
  const auto facts = facts_of(fd.get(), "", AT_EMPTY_PATH);
  const auto folder = facts_of(AT_FDCWD, folder_of(path).c_str(), 0);
  if (!facts || !folder || !S_ISREG(facts->stx_mode)) return std::nullopt;
  const auto size = static_cast<std::size_t>(facts->stx_size);
  too_long = size > most;
  if (too_long) return std::nullopt;
  HeaderFile found{identity_of(*facts), identity_of(*folder), {}};
  found.text.resize(size);
  if (!read_all(fd.get(), found.text)) return std::nullopt;
  if (found.text.starts_with(kByteOrderMark)) found.text.erase(0, kByteOrderMark.size());
  return found;
}

}  // namespace tessera::client

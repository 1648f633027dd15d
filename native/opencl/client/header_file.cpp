// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/header_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
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
  struct stat facts {};
  struct stat folder {};
  if (!fd || ::fstat(fd.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) return std::nullopt;
  if (::stat(folder_of(path).c_str(), &folder) != 0) return std::nullopt;
  const auto size = static_cast<std::size_t>(facts.st_size);
  too_long = size > most;
  if (too_long) return std::nullopt;
  HeaderFile found{{facts.st_dev, facts.st_ino}, {folder.st_dev, folder.st_ino}, {}};
  found.text.resize(size);
  if (!read_all(fd.get(), found.text)) return std::nullopt;
  if (found.text.starts_with(kByteOrderMark)) found.text.erase(0, kByteOrderMark.size());
  return found;
}

}  // namespace tessera::client

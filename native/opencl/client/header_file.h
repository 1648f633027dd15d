// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

namespace tessera::client {

// A file as the file system knows it, whatever it is called.
using FileIdentity = std::pair<dev_t, ino_t>;

struct HeaderFile {
  FileIdentity file;
  FileIdentity folder;  // in which its path finds it
  std::string text;
};

// Opens and reads with the rights of this process. Nothing for what is not there, may not be read,
// is no ordinary file, or is longer than `most` bytes; then `too_long` is set.
std::optional<HeaderFile> read_header(const std::string& path, std::size_t most, bool& too_long);

}  // namespace tessera::client

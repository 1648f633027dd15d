// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/log.h"

#include <unistd.h>

#include <cstdlib>
#include <string>

namespace tessera::client {
namespace {

constexpr LogLevel kNone{-1};

LogLevel wanted_level() {
  const char* name = std::getenv("TESSERA_LOG");
  const std::string_view text = name != nullptr ? name : "";
  if (text == "none") return kNone;
  if (text == "error") return LogLevel::error;
  if (text == "info") return LogLevel::info;
  if (text == "debug") return LogLevel::debug;
  return LogLevel::warn;
}

}  // namespace

void log(LogLevel level, std::string_view text) noexcept {
  if (level > wanted_level()) return;
  try {
    std::string line = "tessera: ";
    line.append(text).push_back('\n');
    // Nobody to tell if even this fails.
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
  } catch (...) {  // out of memory: the line is lost, the program goes on
  }
}

}  // namespace tessera::client

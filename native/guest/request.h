// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace tessera::guest {

inline constexpr std::size_t kMostShares = 8;

struct TerminalSize {
  unsigned short rows = 0;
  unsigned short columns = 0;
};

// What the host wants to be run, as its words say (protocol/guest.md).
struct Request {
  std::vector<std::string> arguments;
  std::vector<std::string> variables;
  std::string directory = "/";
  std::string hostname = "tessera";
  std::string user;                      // USER[:GROUP], as the image says it
  std::vector<std::string> shares;       // where the disks behind the image's are mounted, in order
  std::optional<TerminalSize> terminal;  // none: three pipes

  // Throws BadFrame for a word that has no meaning.
  void add(const std::string& word);
};

}  // namespace tessera::guest

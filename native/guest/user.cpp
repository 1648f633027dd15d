// SPDX-License-Identifier: Apache-2.0
#include "guest/user.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "base/unique_fd.h"

namespace tessera::guest {
namespace {

constexpr std::size_t kMostBytes = 1 << 20;
constexpr std::size_t kMostGroups = 64;
constexpr std::uint64_t kLastId = 0xFFFFFFFE;

using Fields = std::vector<std::string_view>;

Fields split(std::string_view text, char mark) {
  Fields parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(mark, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// Those lines of a file that have so many fields at least.
std::vector<Fields> entries(std::string_view text, std::size_t fields) {
  std::vector<Fields> found;
  for (const std::string_view line : split(text, '\n')) {
    if (Fields entry = split(line, ':'); entry.size() >= fields) found.push_back(std::move(entry));
  }
  return found;
}

std::optional<std::uint32_t> number(std::string_view text) {
  constexpr std::size_t kMostDigits = 10;
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  if (text.empty() || text.size() > kMostDigits) return std::nullopt;
  if (std::from_chars(text.data(), end, value).ptr != end || value > kLastId) return std::nullopt;
  return static_cast<std::uint32_t>(value);
}

// As an image names it, not as a user is a member of it.
std::optional<std::uint32_t> named_group(std::string_view name, const std::vector<Fields>& groups) {
  const auto found = std::ranges::find_if(groups, [&](const Fields& g) { return g[0] == name; });
  return number(found == groups.end() ? name : (*found)[2]);
}

std::vector<gid_t> groups_of(std::string_view name, const std::vector<Fields>& groups) {
  std::vector<gid_t> found;
  std::size_t listed = 0;
  for (const Fields& entry : groups) {
    if (entry.size() < 4 || std::ranges::count(split(entry[3], ','), name) == 0) continue;
    if (listed++ == kMostGroups) break;
    if (const auto id = number(entry[2])) found.push_back(*id);
  }
  return found;
}

}  // namespace

std::optional<User> find_user(std::string_view text, std::string_view passwd,
                              std::string_view group) {
  const std::size_t middle = text.find(':');
  std::string_view name = text.substr(0, middle);
  if (name.empty()) name = "0";
  const std::string_view chosen = middle == text.npos ? "" : text.substr(middle + 1);
  const std::vector<Fields> users = entries(passwd, 6);
  const std::vector<Fields> groups = entries(group, 3);
  const auto known =
      std::ranges::find_if(users, [&](const Fields& u) { return u[0] == name || u[2] == name; });
  const bool found = known != users.end();
  const auto uid = number(found ? (*known)[2] : name);
  auto gid = found ? number((*known)[3]) : 0;
  if (!chosen.empty()) gid = named_group(chosen, groups);
  if (!uid || !gid) return std::nullopt;
  User user{*uid, *gid, std::string(found ? (*known)[5] : ""), {}};
  if (user.home.empty()) user.home = *uid == 0 ? "/root" : "/";
  if (found && chosen.empty()) user.groups = groups_of((*known)[0], groups);
  return user;
}

std::string read_names(const char* path) {
  // An image may have put a pipe there.
  const UniqueFd file(::open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat facts {};
  if (!file || ::fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) return {};
  std::string text(kMostBytes, '\0');
  std::size_t filled = 0;
  for (ssize_t got = 1; got > 0 && filled < text.size();) {
    got = ::read(file.get(), text.data() + filled, text.size() - filled);
    if (got > 0) filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  return text;
}

}  // namespace tessera::guest

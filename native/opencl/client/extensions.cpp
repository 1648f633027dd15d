// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/extensions.h"

#include <algorithm>
#include <cstring>

#include "opencl/extension_table.h"

namespace tessera::client {
namespace {

constexpr bool by_name(const extension::Extension& one, const extension::Extension& other) {
  return one.name < other.name;
}

// Null for an extension that is not announced anywhere.
const extension::Extension* find(std::string_view name) {
  constexpr auto& table = extension::kAnnounceable;
  static_assert(std::is_sorted(table.begin(), table.end(), by_name));
  const auto at = std::lower_bound(table.begin(), table.end(), extension::Extension{name}, by_name);
  return at != table.end() && at->name == name ? &*at : nullptr;
}

template <class Visit>
void each_word(std::string_view list, Visit&& visit) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(' '), list.size());
    if (end != 0) visit(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
}

}  // namespace

bool extension_passes(std::string_view name, const DeviceFacts& facts) {
  const extension::Extension* const at = find(name);
  if (at == nullptr) return false;
  if (at->before != 0) {
    const auto versions = facts.find(CL_DEVICE_EXTENSIONS_WITH_VERSION);
    if (versions == facts.end()) return false;
    const cl_version version = version_of(name, versions->second);
    if (version == 0 || version >= at->before) return false;
  }
  return std::all_of(at->asks.begin(), at->asks.end(),
                     [&](cl_device_info query) { return facts.contains(query); });
}

std::string passing_extensions(std::string_view list, const DeviceFacts& facts) {
  std::string passing;
  each_word(list, [&](std::string_view name) {
    if (!extension_passes(name, facts)) return;
    if (!passing.empty()) passing += ' ';
    passing += name;
  });
  return passing;
}

std::vector<cl_name_version> named_versions(std::span<const std::byte> array) {
  std::vector<cl_name_version> entries(array.size() / sizeof(cl_name_version));
  if (!entries.empty()) {
    std::memcpy(entries.data(), array.data(), entries.size() * sizeof(cl_name_version));
  }
  for (cl_name_version& entry : entries) entry.name[sizeof entry.name - 1] = '\0';
  return entries;
}

std::vector<cl_name_version> passing_versions(std::span<const std::byte> array,
                                              const DeviceFacts& facts) {
  std::vector<cl_name_version> passing = named_versions(array);
  std::erase_if(passing, [&](const auto& entry) { return !extension_passes(entry.name, facts); });
  for (cl_name_version& entry : passing) {
    const cl_version most = find(entry.name)->most;
    if (most != 0) entry.version = std::min(entry.version, most);
  }
  return passing;
}

cl_version version_of(std::string_view name, std::span<const std::byte> array) {
  for (const cl_name_version& entry : named_versions(array)) {
    if (entry.name == name) return entry.version;
  }
  return 0;
}

bool lists_extension(std::string_view list, std::string_view name) {
  bool found = false;
  each_word(list, [&](std::string_view word) { found = found || word == name; });
  return found;
}

}  // namespace tessera::client

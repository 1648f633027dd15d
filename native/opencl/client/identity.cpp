// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/identity.h"

#include <CL/cl_ext.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "opencl/client/log.h"

namespace tessera::client {
namespace {

constexpr const char* kName = "Tessera";
constexpr const char* kOwnText = " Tessera " TESSERA_VERSION;
constexpr std::string_view kOpenCl = "OpenCL ";
// The version of the API that this driver implements.
constexpr unsigned kMajor = 3;
constexpr unsigned kMinor = 0;

struct Version {
  unsigned major;
  unsigned minor;
  std::string text;  // what stands behind the numbers, with its space; or nothing

  std::string full() const {
    return std::string(kOpenCl) + std::to_string(major) + "." + std::to_string(minor) + text;
  }
};

// Takes a number of at most three digits off the front.
std::optional<unsigned> take_number(std::string_view& from) {
  constexpr std::size_t kDigits = 3;
  unsigned value = 0;
  const auto [end, error] =
      std::from_chars(from.data(), from.data() + std::min(from.size(), kDigits), value);
  if (error != std::errc()) return std::nullopt;
  from.remove_prefix(static_cast<std::size_t>(end - from.data()));
  return value;
}

std::optional<Version> parse(std::string_view version) {
  if (!version.starts_with(kOpenCl)) return std::nullopt;
  version.remove_prefix(kOpenCl.size());
  const auto major = take_number(version);
  if (!major || !version.starts_with('.')) return std::nullopt;
  version.remove_prefix(1);
  const auto minor = take_number(version);
  if (!minor || (!version.empty() && version.front() != ' ')) return std::nullopt;
  return Version{*major, *minor, std::string(version)};
}

Version own_version() {
  return {kMajor, kMinor, kOwnText};
}

Version shown(Version version) {
  if (version.major > kMajor || (version.major == kMajor && version.minor > kMinor)) {
    version.major = kMajor;
    version.minor = kMinor;
  }
  return version;
}

}  // namespace

Identity wanted_identity() {
  const char* const text = std::getenv("TESSERA_IDENTITY");
  const std::string_view wanted = text != nullptr ? text : "";
  if (wanted == "device") return Identity::device;
  if (!wanted.empty() && wanted != "tessera") {
    log(LogLevel::warn, "TESSERA_IDENTITY is '" + std::string(wanted) +
                            "', neither 'tessera' nor 'device'; the platform is named Tessera");
  }
  return Identity::tessera;
}

PlatformIdentity platform_identity(Identity identity, const PlatformTexts& behind) {
  PlatformIdentity own{kName, kName, own_version().full(), CL_MAKE_VERSION(kMajor, kMinor, 0)};
  if (identity == Identity::tessera) return own;
  if (!behind.name.empty()) own.name = behind.name;
  if (!behind.vendor.empty()) own.vendor = behind.vendor;
  if (const auto parsed = parse(behind.version)) {
    const Version version = shown(*parsed);
    own.version = version.full();
    own.numeric_version = CL_MAKE_VERSION(version.major, version.minor, 0);
  }
  return own;
}

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/compiler_confinement.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace tessera::worker {
namespace {

constexpr std::uint64_t kReadAndExecute =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE;
// All of the first version: each later one adds a bit, which older kernels do not know.
constexpr std::uint64_t kAllOfVersion1 = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
constexpr std::uint64_t kRefer = 1u << 13;     // version 2
constexpr std::uint64_t kTruncate = 1u << 14;  // version 3
constexpr std::uint64_t kOfFiles = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                   LANDLOCK_ACCESS_FS_EXECUTE | kTruncate;

std::uint64_t all_rights(long version) {
  std::uint64_t rights = kAllOfVersion1;
  if (version >= 2) rights |= kRefer;
  if (version >= 3) rights |= kTruncate;
  return rights;
}

void allow(int rules, const std::string& path, std::uint64_t rights) {
  const UniqueFd place(::open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat facts {};
  if (!place || ::fstat(place.get(), &facts) != 0) return;
  if (!S_ISDIR(facts.st_mode)) rights &= kOfFiles;
  landlock_path_beneath_attr rule{};
  rule.allowed_access = rights;
  rule.parent_fd = place.get();
  ::syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

std::string variable(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::set<std::filesystem::path> loaded_libraries() {
  std::set<std::filesystem::path> libraries;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const auto slash = line.find('/');
    if (slash == std::string::npos || line.find(".so", slash) == std::string::npos) continue;
    libraries.insert(line.substr(slash));
  }
  return libraries;
}

// Intel's runtime for processors asks on every thread that compiles where it lies itself. Its
// kernels run in this process, so that the process's layout is no secret from whoever compiles
// them; with any other driver it is one.
bool finds_itself_by_its_maps(const std::string& library) {
  return library.starts_with("libintelocl.so");
}

void add_each(const std::string& joined, std::vector<std::string>& places) {
  std::istringstream parts(joined);
  for (std::string part; std::getline(parts, part, ':');) {
    if (!part.empty()) places.push_back(part);
  }
}

std::vector<std::string> read_places() {
  std::vector<std::string> places{"/usr",
                                  "/bin",
                                  "/sbin",
                                  "/lib",
                                  "/lib32",
                                  "/lib64",
                                  "/opt/rocm",
                                  "/opt/intel",
                                  "/etc/OpenCL",
                                  "/etc/alternatives",
                                  "/etc/nvidia",
                                  "/etc/ld.so.conf",
                                  "/etc/ld.so.cache",
                                  "/etc/ld.so.conf.d",
                                  "/proc/cpuinfo",
                                  "/proc/meminfo",
                                  "/proc/driver",
                                  "/sys/devices",
                                  "/sys/module",
                                  "/dev/null",
                                  "/dev/zero",
                                  "/dev/random",
                                  "/dev/urandom"};
  // A driver has its compiler's files beside it.
  for (const auto& library : loaded_libraries()) {
    places.push_back(library.parent_path());
    if (finds_itself_by_its_maps(library.filename())) places.push_back("/proc/self/maps");
  }
  add_each(variable("LIBOCL_PATH"), places);
  add_each(variable("LD_LIBRARY_PATH"), places);
  return places;
}

// Caches of compiled kernels by the drivers' own customs, and the devices.
std::vector<std::string> write_places() {
  const std::string home = variable("HOME");
  const std::string chosen = variable("XDG_CACHE_HOME");
  const std::string cache = chosen.empty() ? home + "/.cache" : chosen;
  std::vector<std::string> places{home + "/.nv", home + "/.AMD", "/dev/dri", "/dev/kfd",
                                  "/dev/null"};
  for (const char* name : {"/pocl", "/neo_compiler_cache", "/mesa_shader_cache", "/rusticl"}) {
    places.push_back(cache + name);
  }
  for (const char* name : {"POCL_CACHE_DIR", "CUDA_CACHE_PATH", "NEO_CACHE_DIR"}) {
    if (const std::string folder = variable(name); !folder.empty()) places.push_back(folder);
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/dev", error)) {
    if (entry.path().filename().string().starts_with("nvidia")) places.push_back(entry.path());
  }
  return places;
}

}  // namespace

const CompilerConfinement& CompilerConfinement::of_process() {
  static const CompilerConfinement confinement(read_places(), write_places());
  return confinement;
}

CompilerConfinement::CompilerConfinement(std::vector<std::string> read,
                                         std::vector<std::string> write)
    : version_(::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION)),
      read_(std::move(read)),
      write_(std::move(write)) {}

UniqueFd CompilerConfinement::rules(const std::string& folder) const {
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = all_rights(version_);
  UniqueFd rules(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (!rules) throw std::runtime_error("the compiler cannot be confined");
  for (const auto& path : read_) allow(rules.get(), path, kReadAndExecute);
  for (const auto& path : write_) allow(rules.get(), path, attributes.handled_access_fs);
  if (!folder.empty()) allow(rules.get(), folder, LANDLOCK_ACCESS_FS_READ_FILE);
  return rules;
}

void CompilerConfinement::run(const std::function<void()>& work, const std::string& folder) const {
  if (!available()) return work();
  const UniqueFd rules = this->rules(folder);
  std::exception_ptr thrown;
  std::thread([&] {
    try {
      if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
          ::syscall(SYS_landlock_restrict_self, rules.get(), 0) != 0) {
        throw std::runtime_error("the compiler cannot be confined");
      }
      work();
    } catch (...) {
      thrown = std::current_exception();
    }
  }).join();
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
//
// QEMU's ivshmem is a PCI device without registers that would be needed here; its third region is
// the memory (docs/specs/ivshmem-spec.rst of QEMU). The kernel has no driver for it and needs none:
// sysfs lets a region be mapped.
#include "guest/shared_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace tessera::guest {
namespace {

constexpr const char* kSys = "/sys";
constexpr const char* kVendor = "0x1af4";
constexpr const char* kDevice = "0x1110";

[[noreturn]] void fail_at(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// Until the image is entered there is no sysfs.
class Sysfs {
 public:
  Sysfs() {
    if (::mkdir(kSys, 0755) != 0 && errno != EEXIST) fail_at(kSys);
    if (::mount("sysfs", kSys, "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
      fail_at(kSys);
  }
  ~Sysfs() { ::umount2(kSys, MNT_DETACH); }
  Sysfs(const Sysfs&) = delete;
  Sysfs& operator=(const Sysfs&) = delete;
};

std::string word_of(const std::filesystem::path& file) {
  std::string word;
  std::ifstream(file) >> word;
  return word;
}

UniqueFd open_region(const std::filesystem::path& device) {
  const UniqueFd enable(::open((device / "enable").c_str(), O_WRONLY | O_CLOEXEC));
  if (!enable || ::write(enable.get(), "1", 1) != 1) fail_at(device / "enable");
  UniqueFd region(::open((device / "resource2").c_str(), O_RDWR | O_CLOEXEC));
  if (!region) fail_at(device / "resource2");
  return region;
}

}  // namespace

Window find_shared_memory() {
  const Sysfs mounted;
  const auto devices = std::filesystem::path(kSys) / "bus/pci/devices";
  for (const auto& device : std::filesystem::directory_iterator(devices)) {
    if (word_of(device.path() / "vendor") != kVendor) continue;
    if (word_of(device.path() / "device") != kDevice) continue;
    return Window(open_region(device.path()));
  }
  return {};
}

}  // namespace tessera::guest

// SPDX-License-Identifier: Apache-2.0
#include "guest/root.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <system_error>

#include "base/unique_fd.h"

namespace tessera::guest {
namespace {

constexpr unsigned long kPlain = MS_NOSUID | MS_NODEV | MS_NOEXEC;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

void make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) fail("the folder " + path);
}

void mount_at(const std::string& path, const char* kind, unsigned long flags, const char* data) {
  make_folder(path);
  if (::mount(kind, path.c_str(), kind, flags, data) != 0) fail("mounting " + path);
}

void link_if_missing(const char* target, const char* path) {
  if (::symlink(target, path) != 0 && errno != EEXIST) fail(std::string("the link ") + path);
}

// devtmpfs brings the devices; the rest is what programs take for granted on any Linux.
void furnish() {
  mount_at("/proc", "proc", kPlain, nullptr);
  mount_at("/sys", "sysfs", kPlain, nullptr);
  mount_at("/dev", "devtmpfs", MS_NOSUID, "mode=0755");
  mount_at("/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666");
  mount_at("/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
  link_if_missing("/proc/self/fd", "/dev/fd");
  link_if_missing("/proc/self/fd/0", "/dev/stdin");
  link_if_missing("/proc/self/fd/1", "/dev/stdout");
  link_if_missing("/proc/self/fd/2", "/dev/stderr");
}

}  // namespace

void mount_devices() {
  mount_at("/dev", "devtmpfs", MS_NOSUID, "mode=0755");
}

void enter_image(const char* disk, const char* folder) {
  // Its path is out of reach once the image is the root.
  const UniqueFd ours(::open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!ours) fail(folder);
  make_folder("/image");
  if (::mount(disk, "/image", "squashfs", MS_RDONLY | MS_NODEV, nullptr) != 0) {
    fail("mounting the image");
  }
  mount_at("/written", "tmpfs", 0, "mode=0755,size=100%");
  make_folder("/written/upper");
  make_folder("/written/work");
  make_folder("/root");
  if (::mount("overlay", "/root", "overlay", 0,
              "lowerdir=/image,upperdir=/written/upper,workdir=/written/work") != 0) {
    fail("mounting the overlay");
  }
  // As switch_root does: a process that was only put into a chroot may make no user namespace.
  if (::chdir("/root") != 0 || ::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 ||
      ::chroot(".") != 0 || ::chdir("/") != 0) {
    fail("entering the image");
  }
  furnish();
  make_folder("/run");
  make_folder(kTesseraFolder);
  const std::string source = "/proc/self/fd/" + std::to_string(ours.get());
  if (::mount(source.c_str(), kTesseraFolder, nullptr, MS_BIND, nullptr) != 0) {
    fail(std::string("mounting ") + kTesseraFolder);
  }
}

void mount_shares(const std::vector<std::string>& places) {
  char disk[] = "/dev/vda";
  for (const std::string& place : places) {
    ++disk[sizeof disk - 2];
    for (std::size_t end = 1; end != std::string::npos;) {
      end = place.find('/', end + 1);
      make_folder(place.substr(0, end));
    }
    if (::mount(disk, place.c_str(), "squashfs", MS_RDONLY | MS_NODEV | MS_NOSUID, nullptr) != 0) {
      fail("mounting " + place);
    }
  }
}

void raise_loopback() {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  ::strcpy(request.ifr_name, "lo");
  if (!socket || ::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) fail("the loopback interface");
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) fail("raising the loopback interface");
}

}  // namespace tessera::guest

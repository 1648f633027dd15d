// SPDX-License-Identifier: Apache-2.0
//
// Uses two pieces of cards in a guest: a virtual function of QEMU's NVMe controller, whose version
// it reads out of its registers, and a port of the kernel's sample of a mediated device, a serial
// port that gives back what it is sent.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>

#include "base/unique_fd.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPage = 4096;
constexpr std::size_t kNvmeVersion = 0x08;
constexpr int kPatienceMs = 60'000;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

fs::path find(const std::string& vendor, const std::string& device) {
  for (const auto& entry : fs::directory_iterator("/sys/bus/pci/devices")) {
    std::string its_vendor, its_device;
    std::ifstream(entry.path() / "vendor") >> its_vendor;
    std::ifstream(entry.path() / "device") >> its_device;
    if (its_vendor == vendor && its_device == device) return entry.path();
  }
  throw std::runtime_error("there is no " + vendor + ":" + device);
}

void read_version() {
  const fs::path folder = find("0x1b36", "0x0010");
  const UniqueFd bar(::open((folder / "resource0").c_str(), O_RDWR | O_SYNC | O_CLOEXEC));
  if (!bar) fail("resource0");
  // Its driver may have let go of it, and switched it off.
  std::ofstream(folder / "enable") << "1\n";
  void* mapped = ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, bar.get(), 0);
  if (mapped == MAP_FAILED) fail("the registers");
  const auto* version = static_cast<volatile std::uint8_t*>(mapped) + kNvmeVersion;
  ::printf("nvme %08x\n", *reinterpret_cast<const volatile std::uint32_t*>(version));
}

void echo() {
  const fs::path folder = find("0x4348", "0x3253");
  const std::string name = fs::directory_iterator(folder / "tty")->path().filename();
  const UniqueFd port(::open(("/dev/" + name).c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!port) fail(name);
  termios settings{};
  if (::tcgetattr(port.get(), &settings) != 0) fail("the port's settings");
  ::cfmakeraw(&settings);
  settings.c_cflag |= CLOCAL;
  if (::tcsetattr(port.get(), TCSANOW, &settings) != 0) fail("the port's settings");
  const std::string sent = "a mediated device\n";
  if (::write(port.get(), sent.data(), sent.size()) != static_cast<ssize_t>(sent.size())) {
    fail("writing");
  }
  std::string seen;
  while (seen.size() < sent.size()) {
    pollfd entry{port.get(), POLLIN, 0};
    if (::poll(&entry, 1, kPatienceMs) != 1) throw std::runtime_error("the port says " + seen);
    char bytes[64];
    const ssize_t count = ::read(port.get(), bytes, sizeof bytes);
    if (count <= 0) fail("reading");
    seen.append(bytes, static_cast<std::size_t>(count));
  }
  ::printf("serial %s", seen.c_str());
}

}  // namespace
}  // namespace tessera

int main() {
  try {
    tessera::read_version();
    tessera::echo();
  } catch (const std::exception& error) {
    ::fprintf(stderr, "guest_pieces: %s\n", error.what());
    return 1;
  }
}

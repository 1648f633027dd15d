// SPDX-License-Identifier: Apache-2.0
//
// Uses two pieces of cards in a guest: a virtual function of QEMU's NVMe controller, whose version
// it reads out of its registers, and a port of the kernel's sample of a mediated device, a serial
// port that gives back what it is sent.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
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
constexpr std::size_t kNvmeStatus = 0x1c;
constexpr off_t kScratch = 7;

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

void read_status() {
  const fs::path folder = find("0x1b36", "0x0010");
  const UniqueFd bar(::open((folder / "resource0").c_str(), O_RDWR | O_SYNC | O_CLOEXEC));
  if (!bar) fail("resource0");
  // Its driver may have let go of it, and switched it off.
  std::ofstream(folder / "enable") << "1\n";
  void* mapped = ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, bar.get(), 0);
  if (mapped == MAP_FAILED) fail("the registers");
  const auto* status = static_cast<volatile std::uint8_t*>(mapped) + kNvmeStatus;
  ::printf("nvme %08x\n", *reinterpret_cast<const volatile std::uint32_t*>(status));
}

// The port's scratch register keeps what is written to it. Its registers are in the I/O space,
// which sysfs reads and writes.
void use_serial_port() {
  const fs::path folder = find("0x4348", "0x3253");
  const UniqueFd bar(::open((folder / "resource0").c_str(), O_RDWR | O_CLOEXEC));
  if (!bar) fail("the port's registers");
  for (const std::uint8_t wanted : {0x5a, 0xa5}) {
    std::uint8_t seen = 0;
    if (::pwrite(bar.get(), &wanted, 1, kScratch) != 1) fail("writing");
    if (::pread(bar.get(), &seen, 1, kScratch) != 1) fail("reading");
    ::printf("serial %02x\n", seen);
  }
}

}  // namespace
}  // namespace tessera

int main() {
  try {
    tessera::read_status();
    tessera::use_serial_port();
  } catch (const std::exception& error) {
    ::fprintf(stderr, "guest_pieces: %s\n", error.what());
    return 1;
  }
}

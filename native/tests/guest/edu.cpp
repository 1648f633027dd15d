// SPDX-License-Identifier: Apache-2.0
//
// Drives QEMU's educational PCI device (1234:11e8) in a guest: guest_edu MODULE... loads the kernel
// modules named, and then uses each device by its registers, its interrupt and its DMA. It prints a
// line for each and fails where an answer is wrong.
//
// The interrupt is a real one: the kernel's uio_pci_generic takes it from the interrupt controller,
// and a read of /dev/uioN returns when it came and not before. Nothing here looks at the status
// register to find out that a command has ended, but for the one case that uses no interrupt.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "base/unique_fd.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBarSize = 1 << 20;
constexpr std::size_t kPage = 4096;
constexpr int kPatienceMs = 60'000;

// QEMU's docs/specs/edu.txt.
enum Register : std::size_t {
  identification = 0x00,
  liveness = 0x04,
  factorial = 0x08,
  status = 0x20,
  interrupt_status = 0x24,
  interrupt_acknowledge = 0x64,
  dma_source = 0x80,
  dma_destination = 0x88,
  dma_count = 0x90,
  dma_command = 0x98,
};
constexpr std::uint32_t kComputing = 0x01, kInterruptAtEnd = 0x80;
constexpr std::uint32_t kFactorialDone = 0x001, kDmaDone = 0x100;
constexpr std::uint64_t kStart = 1, kFromDevice = 2, kInterrupt = 4;
constexpr std::uint64_t kDeviceBuffer = 0x40000;
// The device has a page, and QEMU 7.2 ends where a transfer reaches its end.
constexpr std::size_t kTransfer = kPage / 2;

// Of the PCI configuration space.
constexpr off_t kCommand = 4;
constexpr std::uint16_t kBusMaster = 1 << 2, kNoInterrupt = 1 << 10;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

UniqueFd open_file(const std::string& path, int flags) {
  UniqueFd file(::open(path.c_str(), flags | O_CLOEXEC));
  if (!file) fail(path);
  return file;
}

void load_module(const char* path) {
  const UniqueFd file = open_file(path, O_RDONLY);
  if (::syscall(SYS_finit_module, file.get(), "", 0) != 0 && errno != EEXIST) fail(path);
}

std::string text_of(const fs::path& path) {
  std::string text;
  std::getline(std::ifstream(path), text);
  return text;
}

// A page of this process that stays where it is, and its address as devices see it.
class DmaPage {
 public:
  DmaPage()
      : memory_(
            ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (memory_ == MAP_FAILED || ::mlock(memory_, kPage) != 0) fail("a page for DMA");
    ::memset(memory_, 0, kPage);
    const UniqueFd map = open_file("/proc/self/pagemap", O_RDONLY);
    std::uint64_t entry = 0;
    const auto at = reinterpret_cast<std::uintptr_t>(memory_) / kPage * sizeof entry;
    if (::pread(map.get(), &entry, sizeof entry, static_cast<off_t>(at)) != sizeof entry) {
      fail("pagemap");
    }
    address_ = (entry & ((1ULL << 55) - 1)) * kPage;
    if (address_ == 0) throw std::runtime_error("the kernel does not tell where memory is");
  }

  std::uint64_t address() const { return address_; }
  std::uint8_t* bytes() const { return static_cast<std::uint8_t*>(memory_); }

 private:
  void* memory_;
  std::uint64_t address_ = 0;
};

class Edu {
 public:
  explicit Edu(const fs::path& folder)
      : name_(folder.filename()),
        config_(open_file(folder / "config", O_RDWR)),
        uio_(open_file("/dev/" + fs::directory_iterator(folder / "uio")->path().filename().string(),
                       O_RDONLY)) {
    const UniqueFd bar = open_file(folder / "resource0", O_RDWR | O_SYNC);
    void* mapped = ::mmap(nullptr, kBarSize, PROT_READ | PROT_WRITE, MAP_SHARED, bar.get(), 0);
    if (mapped == MAP_FAILED) fail("the registers");
    registers_ = static_cast<volatile std::uint8_t*>(mapped);
    set_command(kBusMaster, 0);
  }

  void run() {
    use_registers();
    use_interrupt();
    use_dma();
    ::printf("%s registers interrupt dma\n", name_.c_str());
  }

 private:
  std::uint32_t read(Register at) const {
    return *reinterpret_cast<volatile std::uint32_t*>(registers_ + at);
  }
  void write(Register at, std::uint32_t value) {
    *reinterpret_cast<volatile std::uint32_t*>(registers_ + at) = value;
  }
  // The device takes these in one access of eight bytes.
  void write_wide(Register at, std::uint64_t value) {
    *reinterpret_cast<volatile std::uint64_t*>(registers_ + at) = value;
  }

  void expect(std::uint64_t seen, std::uint64_t wanted, const std::string& what) const {
    if (seen == wanted) return;
    throw std::runtime_error(name_ + ": " + what + " is " + std::to_string(seen) + ", not " +
                             std::to_string(wanted));
  }

  void set_command(std::uint16_t set, std::uint16_t clear) {
    std::uint16_t command = 0;
    if (::pread(config_.get(), &command, sizeof command, kCommand) != sizeof command)
      fail("config");
    command = static_cast<std::uint16_t>((command | set) & ~clear);
    if (::pwrite(config_.get(), &command, sizeof command, kCommand) != sizeof command) {
      fail("config");
    }
  }

  void use_registers() {
    expect(read(identification) & 0xffff, 0x00ed, "the identification");
    write(liveness, 0x12345678);
    expect(read(liveness), ~0x12345678U, "the complement");
    write(status, 0);
    write(factorial, 10);
    while ((read(status) & kComputing) != 0) ::usleep(1000);
    expect(read(factorial), 3628800, "10!");
  }

  void use_interrupt() {
    arm();
    write(status, kInterruptAtEnd);
    write(factorial, 12);
    await_interrupt(kFactorialDone);
    expect(read(factorial), 479001600, "12!");
    write(status, 0);
  }

  void use_dma() {
    const DmaPage out, in;
    for (std::size_t i = 0; i < kTransfer; ++i)
      out.bytes()[i] = static_cast<std::uint8_t>(i * 7 + 3);
    transfer(out.address(), kDeviceBuffer, 0);
    transfer(kDeviceBuffer, in.address(), kFromDevice);
    expect(static_cast<std::uint64_t>(::memcmp(out.bytes(), in.bytes(), kTransfer)), 0,
           "what came back");
  }

  void transfer(std::uint64_t from, std::uint64_t to, std::uint64_t direction) {
    arm();
    write_wide(dma_source, from);
    write_wide(dma_destination, to);
    write_wide(dma_count, kTransfer);
    write_wide(dma_command, kStart | direction | kInterrupt);
    await_interrupt(kDmaDone);
  }

  // uio_pci_generic switches the device's interrupt off each time that it took one.
  void arm() { set_command(0, kNoInterrupt); }

  void await_interrupt(std::uint32_t cause) {
    pollfd entry{uio_.get(), POLLIN, 0};
    if (::poll(&entry, 1, kPatienceMs) != 1) throw std::runtime_error(name_ + ": no interrupt");
    std::uint32_t count = 0;
    if (::read(uio_.get(), &count, sizeof count) != sizeof count) fail("/dev/uio");
    expect(count, ++interrupts_, "the number of interrupts");
    expect(read(interrupt_status), cause, "the cause of the interrupt");
    write(interrupt_acknowledge, cause);
    expect(read(interrupt_status), 0, "the cause after its acknowledgement");
  }

  const std::string name_;
  const UniqueFd config_;
  const UniqueFd uio_;
  volatile std::uint8_t* registers_ = nullptr;
  std::uint32_t interrupts_ = 0;
};

std::vector<fs::path> find_devices() {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator("/sys/bus/pci/devices")) {
    if (text_of(entry.path() / "vendor") == "0x1234" &&
        text_of(entry.path() / "device") == "0x11e8") {
      found.push_back(entry.path());
    }
  }
  return found;
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  using namespace tessera;
  try {
    for (int i = 1; i < argc; ++i) load_module(argv[i]);
    std::ofstream("/sys/bus/pci/drivers/uio_pci_generic/new_id") << "1234 11e8\n";
    const std::vector<std::filesystem::path> devices = find_devices();
    for (const auto& folder : devices) Edu(folder).run();
    ::printf("%zu devices\n", devices.size());
  } catch (const std::exception& error) {
    ::fprintf(stderr, "guest_edu: %s\n", error.what());
    return 1;
  }
}

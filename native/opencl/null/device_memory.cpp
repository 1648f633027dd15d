// SPDX-License-Identifier: Apache-2.0
#include "opencl/null/device_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

namespace tessera::null {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kPages = kDeviceMemory / kPage;

// The file: who holds each page (a process, or 0), then the pages.
struct Memory {
  std::array<pid_t, kPages> owners;
  alignas(kPage) std::array<std::byte, kDeviceMemory> bytes;
};

struct Mapped {
  int fd = -1;
  Memory* memory = nullptr;
  std::mutex mutex;
};

[[noreturn]] void no_memory(const char* path) {
  std::perror(path);
  std::abort();
}

Mapped& mapped() {
  static Mapped* const instance = [] {
    auto* const made = new Mapped;
    const char* const path = std::getenv("GPU_NULL_MEMORY");
    if (path == nullptr) return made;
    made->fd = ::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (made->fd < 0 || ::ftruncate(made->fd, sizeof(Memory)) != 0) no_memory(path);
    void* const at =
        ::mmap(nullptr, sizeof(Memory), PROT_READ | PROT_WRITE, MAP_SHARED, made->fd, 0);
    if (at == MAP_FAILED) no_memory(path);
    made->memory = static_cast<Memory*>(at);
    return made;
  }();
  return *instance;
}

// Between threads and between processes; the kernel gives the second up for a process that is
// killed.
class Lock {
 public:
  Lock() : lock_(mapped().mutex) { ::flock(mapped().fd, LOCK_EX); }
  Lock(const Lock&) = delete;
  ~Lock() { ::flock(mapped().fd, LOCK_UN); }

 private:
  std::lock_guard<std::mutex> lock_;
};

// What a process held is free once the process is gone.
bool is_free(pid_t owner, pid_t self) {
  return owner == 0 || (owner != self && ::kill(owner, 0) != 0 && errno == ESRCH);
}

}  // namespace

bool has_device_memory() {
  return mapped().memory != nullptr;
}

Bytes allocate_on_device(std::size_t size) {
  const std::size_t pages = (size + kPage - 1) / kPage;
  const Lock lock;
  auto& owners = mapped().memory->owners;
  const pid_t self = ::getpid();
  auto* first = owners.begin();
  while (pages <= static_cast<std::size_t>(owners.end() - first)) {
    auto* const taken = std::find_if_not(first, first + pages,
                                         [self](pid_t owner) { return is_free(owner, self); });
    if (taken == first + pages) {
      std::fill_n(first, pages, self);
      return {mapped().memory->bytes.data() + (first - owners.begin()) * kPage,
              [first, pages](std::byte*) {
                const Lock freeing;
                std::fill_n(first, pages, 0);
              }};
    }
    first = taken + 1;
  }
  return nullptr;
}

}  // namespace tessera::null

// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/svm_pages.h"

#include <sys/mman.h>
#include <unistd.h>

namespace tessera::client {
namespace {

std::uintptr_t page_size() {
  static const auto size = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

std::uintptr_t page_of(std::uintptr_t address) {
  return address & ~(page_size() - 1);
}

void* pointer(std::uintptr_t address) {
  return reinterpret_cast<void*>(address);
}

constexpr int kReadable = PROT_READ | PROT_WRITE;
constexpr std::uintptr_t kEndOfPrograms = std::uintptr_t{1} << 47;

bool is_beyond(std::uintptr_t base) {
  return base >= kEndOfPrograms;
}

// Kernels before 4.17 take the address for a hint and may map elsewhere.
bool map_there(std::uintptr_t at, std::size_t size, int access, int flags, int fd) {
  void* const mapped = ::mmap(pointer(at), size, access, flags | MAP_FIXED_NOREPLACE, fd, 0);
  if (mapped == pointer(at)) return true;
  if (mapped != MAP_FAILED) ::munmap(mapped, size);
  return false;
}

bool map_private(std::uintptr_t at, std::size_t size, int access) {
  return map_there(at, size, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
}

struct Range {
  std::uintptr_t first;  // page
  std::uintptr_t last;   // page, maybe the first
  std::uintptr_t inner() const { return first + page_size(); }
  std::size_t inner_size() const { return last > inner() ? last - inner() : 0; }
};

Range range_of(std::uintptr_t base, std::size_t size) {
  return {page_of(base), page_of(base + size - 1)};
}

}  // namespace

bool SvmPages::take_edge(std::uintptr_t page, int access) {
  const auto at = edges_.find(page);
  if (at != edges_.end()) {
    // One of its ranges may be read.
    if (access == kReadable && ::mprotect(pointer(page), page_size(), access) != 0) return false;
    ++at->second;
    return true;
  }
  if (!map_private(page, page_size(), access)) return false;
  edges_.emplace(page, 1);
  return true;
}

void SvmPages::drop_edge(std::uintptr_t page) noexcept {
  const auto at = edges_.find(page);
  if (at == edges_.end() || --at->second != 0) return;
  edges_.erase(at);
  ::munmap(pointer(page), page_size());
}

bool SvmPages::take(std::uintptr_t base, std::size_t size, bool readable) {
  if (is_beyond(base)) return !readable;
  const int access = readable ? kReadable : PROT_NONE;
  const Range range = range_of(base, size);
  if (!take_edge(range.first, access)) return false;
  if (range.last == range.first) return true;
  if (take_edge(range.last, access)) {
    if (range.inner_size() == 0 || map_private(range.inner(), range.inner_size(), access)) {
      return true;
    }
    drop_edge(range.last);
  }
  drop_edge(range.first);
  return false;
}

void SvmPages::give_back(std::uintptr_t base, std::size_t size) noexcept {
  if (is_beyond(base)) return;
  const Range range = range_of(base, size);
  drop_edge(range.first);
  if (range.last == range.first) return;
  drop_edge(range.last);
  if (range.inner_size() != 0) ::munmap(pointer(range.inner()), range.inner_size());
}

bool SvmPages::take_shared(std::uintptr_t base, std::size_t size, int fd) {
  return base == page_of(base) && map_there(base, size, kReadable, MAP_SHARED, fd);
}

void SvmPages::give_back_shared(std::uintptr_t base, std::size_t size) noexcept {
  ::munmap(pointer(base), size);
}

}  // namespace tessera::client

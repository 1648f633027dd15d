// SPDX-License-Identifier: Apache-2.0
#include "guest/window.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <system_error>
#include <utility>

namespace tessera::guest {
namespace {

[[noreturn]] void fail_to_map(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

std::optional<std::uint32_t> Lent::find_free() const {
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    if (!lent_[slot]) return slot;
  }
  return std::nullopt;
}

Window::Window(const UniqueFd& fd) {
  struct stat facts {};
  if (::fstat(fd.get(), &facts) != 0) fail_to_map("the shared memory");
  const auto size = static_cast<std::size_t>(facts.st_size);
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) fail_to_map("mapping the shared memory");
  memory_ = {static_cast<std::byte*>(memory), size};
}

Window::Window(Window&& other) noexcept : memory_(std::exchange(other.memory_, {})) {}

Window::~Window() {
  if (!memory_.empty()) ::munmap(memory_.data(), memory_.size());
}

Slots Window::of_guest(std::size_t place) const {
  if (memory_.size() / kPortWindow <= place) return {};
  const auto both = memory_.subspan(place * kPortWindow, kPortWindow);
  return {both.first(kPortWindow / 2), both.last(kPortWindow / 2)};
}

Slots Window::of_host(std::size_t place) const {
  const Slots theirs = of_guest(place);
  return {theirs.in, theirs.out};
}

}  // namespace tessera::guest

// SPDX-License-Identifier: Apache-2.0
//
// Memory that a guest shares with its host (ivshmem), cut into slots: bulk crosses a port in them.
//
// A byte that goes through a virtio-serial port is copied by the guest's kernel, by the hypervisor
// (a few KiB at a time towards the guest) and through a socket. In a slot it is there for both
// sides as soon as it was read; only the slot's number and the length cross the port. Each GPU port
// has slots of its own for each direction. A slot belongs to whoever reads from a source until it
// is `lent`, and again from when it was `returned`. What is in it means nothing to either lane, so
// a peer that goes on writing to a slot it has lent spoils its own bytes and nothing else.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/unique_fd.h"

namespace tessera::guest {

inline constexpr std::uint32_t kSlots = 4;             // of a port, in each direction
inline constexpr std::size_t kSlotBytes = 128 * 1024;  // a page's multiple
inline constexpr std::size_t kPortWindow = 2 * kSlots * kSlotBytes;

// The slots of one port as one of its ends sees them.
struct Slots {
  std::span<std::byte> out, in;  // kSlots slots each, or nothing

  bool there() const { return !out.empty(); }
  std::span<std::byte> outgoing(std::uint32_t slot) const { return of(out, slot); }
  std::span<const std::byte> incoming(std::uint32_t slot) const { return of(in, slot); }

 private:
  static std::span<std::byte> of(std::span<std::byte> all, std::uint32_t slot) {
    return all.subspan(slot * kSlotBytes, kSlotBytes);
  }
};

// Which of a lane's own slots the other side has.
class Lent {
 public:
  std::optional<std::uint32_t> find_free() const;
  bool has(std::uint32_t slot) const { return lent_[slot]; }
  void set(std::uint32_t slot, bool lent) { lent_[slot] = lent; }
  void clear() { lent_ = {}; }

 private:
  std::array<bool, kSlots> lent_{};
};

// A mapping of the shared memory. The host's end of it is a file of the process that made the
// machine, the guest's the second region of a PCI device.
class Window {
 public:
  Window() = default;  // none: every port does without
  // Maps all of `fd`. Throws std::system_error.
  explicit Window(const UniqueFd& fd);
  Window(Window&& other) noexcept;
  Window& operator=(Window&&) = delete;
  ~Window();

  // The slots of the GPU port with this place, from 0, seen from the guest or from the host; none
  // where the memory ends before.
  Slots of_guest(std::size_t place) const;
  Slots of_host(std::size_t place) const;

 private:
  std::span<std::byte> memory_;
};

}  // namespace tessera::guest

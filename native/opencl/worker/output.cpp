// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/output.h"

#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "generated/messages_session.h"

namespace tessera::worker {
namespace {

constexpr std::size_t kChunk = 32 * 1024;  // bytes of one `output` message

bool readable(int fd) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, 0) == 1 && (entry.revents & POLLIN) != 0;
}

}  // namespace

Output::Output(Channel& channel, UniqueFd pipe) : channel_(channel), pipe_(std::move(pipe)) {
  if (!pipe_) return;
  stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
  reader_ = std::thread([this] { read_on(); });
}

Output::~Output() {
  if (!reader_.joinable()) return;
  const std::uint64_t one = 1;
  if (::write(stop_.get(), &one, sizeof one) == sizeof one) reader_.join();
}

void Output::drain() {
  if (!pipe_ || !expected_.load(std::memory_order_relaxed)) return;
  ::fflush(stdout);
  forward_now();
}

void Output::forward_now() {
  // Held over the send: text keeps its order, and an answer waits for text that another thread has
  // taken.
  const std::lock_guard lock(mutex_);
  std::array<std::byte, kChunk> chunk;
  while (readable(pipe_.get())) {
    const ssize_t got = ::read(pipe_.get(), chunk.data(), chunk.size());
    if (got <= 0) return;
    Bulk bulk = channel_.reserve(static_cast<std::size_t>(got));
    std::memcpy(bulk.data(), chunk.data(), static_cast<std::size_t>(got));
    wire::Encoder out;
    encode(out, wire::Output());
    channel_.send(static_cast<std::uint16_t>(wire::Opcode::output), out.bytes(), std::move(bulk));
  }
  channel_.flush();
}

void Output::read_on() {
  try {
    std::array<pollfd, 2> entries{{{pipe_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    while (::poll(entries.data(), entries.size(), -1) > 0) {
      if (entries[1].revents != 0 || (entries[0].revents & POLLIN) == 0) return;
      forward_now();
    }
  } catch (const ChannelClosed&) {
    // The receiver finds out by itself and ends the session.
  }
}

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "bench/peer.h"
#include "bench/yardsticks.h"

namespace tessera::bench {
namespace {

constexpr std::size_t kMiB = 1024 * 1024;
constexpr std::size_t kSent = 64 * kMiB;
constexpr std::size_t kWrite = 128 * 1024;
constexpr int kStreams = 3;
constexpr int kTurns = 300;
constexpr int kWarmUpTurns = 30;
constexpr int kCopies = 8;

struct Ends {
  int here, there;
};

Ends connected_tcp() {
  const int listener = static_cast<int>(checked(socket(AF_INET, SOCK_STREAM, 0), "socket"));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof(address);
  checked(bind(listener, generic, size), "bind");
  checked(listen(listener, 1), "listen");
  checked(getsockname(listener, generic, &size), "getsockname");
  const int here = static_cast<int>(checked(socket(AF_INET, SOCK_STREAM, 0), "socket"));
  checked(connect(here, generic, size), "connect");
  const int there = static_cast<int>(checked(accept(listener, nullptr, nullptr), "accept"));
  close(listener);
  const int on = 1;
  for (const int fd : {here, there}) {
    checked(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), "setsockopt");
  }
  return {here, there};
}

Ends connected(bool tcp) {
  if (tcp) return connected_tcp();
  std::array<int, 2> ends{};
  checked(socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), "socketpair");
  return {ends[0], ends[1]};
}

void receive_all(int fd, std::byte* into, std::size_t bytes, std::size_t window) {
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t offset = window == 0 ? done : done % window;
    const std::size_t room = window == 0 ? bytes - done : std::min(window - offset, bytes - done);
    const long got = checked(read(fd, into + offset, room), "read");
    checked(got == 0 ? -1 : 0, "read");
    done += static_cast<std::size_t>(got);
  }
}

void send_all(int fd, const std::byte* from, std::size_t bytes) {
  while (bytes > 0) {
    const long sent = checked(write(fd, from, std::min(bytes, kWrite)), "write");
    bytes -= static_cast<std::size_t>(sent);
  }
}

}  // namespace

void measure_stream_round_trips(Slice& slice, bool tcp) {
  const Ends ends = connected(tcp);
  std::array<std::byte, 64> message{};
  {
    const Peer peer([&] {
      for (int i = 0; i < kWarmUpTurns + kTurns; ++i) {
        receive_all(ends.there, message.data(), message.size(), 0);
        send_all(ends.there, message.data(), message.size());
      }
    });
    auto& samples = slice.samples[tcp ? "tcp" : "unix_stream"];
    for (int i = 0; i < kWarmUpTurns + kTurns; ++i) {
      const std::uint64_t start = now_ns();
      send_all(ends.here, message.data(), message.size());
      receive_all(ends.here, message.data(), message.size(), 0);
      const auto spent = static_cast<double>(now_ns() - start);
      if (i >= kWarmUpTurns) samples.push_back(spent);
    }
  }
  close(ends.here);
  close(ends.there);
}

namespace {

// `window` bytes of memory on each side, over and over. The receiver answers with one byte when all
// has arrived; the time until then counts.
void measure_stream_bandwidth(Slice& slice, bool tcp, std::size_t window, const char* name) {
  const Ends ends = connected(tcp);
  std::vector<std::byte> memory(window, std::byte{1});
  {
    const Peer peer([&] {
      for (int i = 0; i < kStreams; ++i) {
        receive_all(ends.there, memory.data(), kSent, window);
        send_all(ends.there, memory.data(), 1);
      }
    });
    auto& samples = slice.samples[name];
    for (int i = 0; i < kStreams; ++i) {
      const std::uint64_t start = now_ns();
      for (std::size_t sent = 0; sent < kSent; sent += window) {
        send_all(ends.here, memory.data(), window);
      }
      receive_all(ends.here, memory.data(), 1, 0);
      samples.push_back(static_cast<double>(now_ns() - start));
    }
  }
  close(ends.here);
  close(ends.there);
}

}  // namespace

void measure_stream_bandwidth(Slice& slice, bool tcp) {
  measure_stream_bandwidth(slice, tcp, kWrite, tcp ? "tcp_64MiB" : "unix_stream_64MiB");
  measure_stream_bandwidth(slice, tcp, kSent,
                           tcp ? "tcp_buffers_64MiB" : "unix_stream_buffers_64MiB");
}

void measure_memcpy(Slice& slice) {
  constexpr std::size_t bytes = 16 * kMiB;
  std::vector<std::byte> source(bytes, std::byte{1}), target(bytes, std::byte{2});
  for (int i = 0; i < kCopies; ++i) {
    const std::uint64_t start = now_ns();
    std::memcpy(target.data(), source.data(), bytes);
    asm volatile("" : : "r"(target.data()) : "memory");
    slice.samples["memcpy_16MiB"].push_back(static_cast<double>(now_ns() - start));
  }
}

}  // namespace tessera::bench

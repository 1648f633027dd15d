// SPDX-License-Identifier: Apache-2.0
//
// The kernel learns of a port, and of the host's end of it, by messages that come after the driver
// is loaded. There is no call that waits for them, so this looks again every millisecond. How many
// ports there are the host says on the kernel's command line (tessera_ports=N).
#include "guest/ports.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>

#include "base/clock.h"

namespace tessera::guest {
namespace {

constexpr std::chrono::seconds kPatience{20};
constexpr int kLookMs = 1;

unsigned announced() {
  // What the kernel does not know itself on its command line, it hands to the first process.
  const char* said = ::getenv("tessera_ports");
  const long count = said == nullptr ? 0 : ::strtol(said, nullptr, 10);
  return static_cast<unsigned>(std::clamp(count, 0L, static_cast<long>(kMaxPort)));
}

void pause_until(const Deadline& deadline, const std::string& path) {
  if (deadline.passed()) throw std::runtime_error("no port " + path);
  ::poll(nullptr, 0, kLookMs);
}

bool has_host(int port) {
  pollfd entry{port, POLLOUT, 0};
  ::poll(&entry, 1, 0);
  return (entry.revents & POLLHUP) == 0;
}

}  // namespace

std::vector<UniqueFd> open_ports() {
  const Deadline deadline(kPatience);
  std::vector<UniqueFd> ports;
  for (unsigned number = 1; number <= announced(); ++number) {
    const std::string path = "/dev/vport0p" + std::to_string(number);
    UniqueFd port;
    while (!port) {
      port = UniqueFd(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
      if (!port) pause_until(deadline, path);
    }
    while (!has_host(port.get())) pause_until(deadline, path);
    ports.push_back(std::move(port));
  }
  if (ports.size() < kFirstGpuPort - 1) throw std::runtime_error("this machine has too few ports");
  return ports;
}

}  // namespace tessera::guest

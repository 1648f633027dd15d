// SPDX-License-Identifier: Apache-2.0
//
// The host's end of a virtual machine's GPU ports: joins each connection that a program in the
// guest opens to the gatekeeper of the lease.
//
// It reads what a guest wrote, so it is a process of its own that ends at the first byte that
// breaks the protocol; its end is the end of the machine. And it has the ports that it was started
// with and nothing else: connections to the lease are opened by the command that holds it
// (connections.h), and it may use what it has and no more (confinement.h). So a guest reaches its
// own lease whatever it says, and whatever it makes of this process.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <charconv>
#include <exception>
#include <list>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "guest/confinement.h"
#include "guest/connections.h"
#include "guest/lane.h"

namespace tessera::guest {
namespace {

constexpr const char* kUsage =
    "usage: tessera-vm-relay --connections FD [--window FD] --port FD [--port FD ...]\n"
    "Joins virtio-serial ports, given as connected sockets, to a lease.\n"
    "  --connections  a socket; who is at its other end opens connections to the lease\n"
    "  --window       a file of memory that the machine shares; bulk goes by it\n";

class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Options {
  UniqueFd connections;
  UniqueFd window;
  std::vector<int> ports;
};

int descriptor(std::string_view text) {
  int fd = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), fd);
  if (error != std::errc() || end != text.data() + text.size() || ::fcntl(fd, F_GETFD) < 0) {
    throw UsageError("'" + std::string(text) + "' is no open descriptor");
  }
  return fd;
}

Options parse(std::span<char*> words) {
  Options options;
  for (std::size_t i = 1; i < words.size(); i += 2) {
    const std::string_view name = words[i];
    if (i + 1 == words.size()) throw UsageError(std::string(name) + " wants a value");
    if (name == "--connections") {
      options.connections.reset(descriptor(words[i + 1]));
    } else if (name == "--window") {
      options.window.reset(descriptor(words[i + 1]));
    } else if (name == "--port") {
      options.ports.push_back(descriptor(words[i + 1]));
    } else {
      throw UsageError("unknown option " + std::string(name));
    }
  }
  if (options.ports.empty()) throw UsageError("no --port");
  if (!options.connections) throw UsageError("no --connections");
  return options;
}

void run(Options options) {
  ::signal(SIGPIPE, SIG_IGN);
  // It is started from a descriptor, and the kernel takes the name from there.
  ::prctl(PR_SET_NAME, "tessera-vm-relay");
  const Connections connections(std::move(options.connections));
  const Window window = options.window ? Window(options.window) : Window();
  std::list<Lane> lanes;
  for (const int port : options.ports) {
    ::fcntl(port, F_SETFL, ::fcntl(port, F_GETFL) | O_NONBLOCK);
    ::fcntl(port, F_SETFD, FD_CLOEXEC);
    lanes.emplace_back(
        port, [&connections] { return connections.open(); }, window.of_host(lanes.size()));
  }
  confine();
  std::vector<pollfd> entries;
  for (;;) {
    entries.clear();
    for (const Lane& lane : lanes) lane.watch(entries);
    if (::poll(entries.data(), entries.size(), -1) < 0) {
      if (errno == EINTR) continue;
      throw std::system_error(errno, std::generic_category(), "poll");
    }
    auto rest = std::span<const pollfd>(entries);
    for (Lane& lane : lanes) {
      const auto mine = rest.first(Lane::kEntries);
      rest = rest.subspan(Lane::kEntries);
      if ((mine[0].revents & (POLLHUP | POLLERR)) != 0) return;  // QEMU has ended
      if (mine[0].revents != 0 || mine[1].revents != 0 || mine[2].revents != 0) lane.serve(mine);
    }
  }
}

}  // namespace
}  // namespace tessera::guest

int main(int argc, char** argv) {
  using namespace tessera::guest;
  try {
    run(parse({argv, static_cast<std::size_t>(argc)}));
    return 0;
  } catch (const UsageError& error) {
    ::fprintf(stderr, "tessera-vm-relay: %s\n%s", error.what(), kUsage);
    return 2;
  } catch (const BadFrame& error) {
    ::fprintf(stderr, "tessera-vm-relay: the guest broke the protocol: %s\n", error.what());
    return 1;
  } catch (const std::exception& error) {
    ::fprintf(stderr, "tessera-vm-relay: %s\n", error.what());
    return 1;
  }
}

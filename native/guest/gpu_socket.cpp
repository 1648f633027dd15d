// SPDX-License-Identifier: Apache-2.0
#include "guest/gpu_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "transport/handshake.h"

namespace tessera::guest {
namespace {

constexpr int kBacklog = 64;

// As a gatekeeper does whose lease has no room for another session.
void refuse(const UniqueFd& client) {
  HelloReply reply;
  reply.status = HelloStatus::full;
  ::send(client.get(), &reply, sizeof reply, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

GpuSocket::GpuSocket(const std::string& path)
    : listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (!listener_ ||
      ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_.get(), kBacklog) != 0 ||
      // Whoever is in this machine belongs to its lease.
      ::chmod(path.c_str(), 0666) != 0) {
    throw std::system_error(errno, std::generic_category(), path);
  }
}

void GpuSocket::watch(std::vector<pollfd>& entries) const {
  entries.push_back({listener_.get(), POLLIN, 0});
  for (const Lane& lane : lanes_) lane.watch(entries);
}

void GpuSocket::serve(std::span<const pollfd> entries) {
  auto rest = entries.subspan(1);
  for (Lane& lane : lanes_) {
    lane.serve(rest.first(Lane::kEntries));
    rest = rest.subspan(Lane::kEntries);
  }
  if (entries[0].revents != 0) admit();
}

void GpuSocket::admit() {
  UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client) return;
  const auto lane = std::ranges::find_if(lanes_, &Lane::free);
  if (lane == lanes_.end()) return refuse(client);
  lane->open(std::move(client));
}

}  // namespace tessera::guest

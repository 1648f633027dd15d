// SPDX-License-Identifier: Apache-2.0
//
// Opens sessions with a lease and keeps them all: guest_connections PATH COUNT ROUNDS. Prints the
// status that each is answered with; then it closes all and begins anew.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <vector>

#include "base/unique_fd.h"
#include "transport/handshake.h"

namespace tessera {
namespace {

UniqueFd connect_to(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ::perror(path);
    ::exit(1);
  }
  return socket;
}

int status_of(const UniqueFd& socket) {
  Hello hello;
  hello.transport = TransportKind::unix_stream;
  ::send(socket.get(), &hello, sizeof hello, MSG_NOSIGNAL);
  HelloReply reply;
  if (::recv(socket.get(), &reply, sizeof reply, MSG_WAITALL) != sizeof reply) return -1;
  return static_cast<int>(reply.status);
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  for (int round = 0; round < ::atoi(argv[3]); ++round) {
    std::vector<tessera::UniqueFd> sessions;
    for (int i = 0; i < ::atoi(argv[2]); ++i) {
      sessions.push_back(tessera::connect_to(argv[1]));
      ::printf("%d\n", tessera::status_of(sessions.back()));
    }
    // So that the port is free again on both sides.
    sessions.clear();
    ::sleep(2);
  }
}

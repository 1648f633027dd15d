// SPDX-License-Identifier: Apache-2.0
//
// Descriptors under tags, over the socket of a shared-memory session.
#include "transport/descriptors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "check.h"

namespace tessera {
namespace {

struct Sockets {
  UniqueFd sender, receiver;
};

Sockets sockets() {
  int ends[2];
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

UniqueFd file_of(off_t size) {
  UniqueFd fd(::memfd_create("test", MFD_CLOEXEC));
  CHECK(fd && ::ftruncate(fd.get(), size) == 0);
  return fd;
}

off_t size_of(const UniqueFd& fd) {
  struct stat status {};
  CHECK(::fstat(fd.get(), &status) == 0);
  return status.st_size;
}

void each_tag_has_its_own() {
  const Sockets pair = sockets();
  DescriptorBox box;
  CHECK(!box.take(pair.receiver.get(), 1));
  for (std::uint64_t tag = 1; tag <= 3; ++tag) {
    CHECK(send_tagged_descriptor(pair.sender.get(), tag, file_of(100 + tag).get()));
  }
  // Asked for in another order than they were sent in.
  for (const std::uint64_t tag : {3, 1, 2}) {
    const UniqueFd fd = box.take(pair.receiver.get(), tag);
    CHECK(fd && size_of(fd) == static_cast<off_t>(100 + tag));
    CHECK((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(!box.take(pair.receiver.get(), tag));
  }
}

// A peer that takes nothing out must not make the sender wait.
void a_full_socket_refuses() {
  const Sockets pair = sockets();
  const UniqueFd file = file_of(1);
  int sent = 0;
  while (sent < 1'000'000 && send_tagged_descriptor(pair.sender.get(), 7, file.get())) ++sent;
  CHECK(sent > 0 && sent < 1'000'000);
}

// Bytes without a descriptor, and tags cut short, are no descriptors.
void nonsense_is_passed_over() {
  const Sockets pair = sockets();
  DescriptorBox box;
  const std::uint64_t tag = 5;
  CHECK(::send(pair.sender.get(), &tag, sizeof tag, 0) == sizeof tag);
  CHECK(send_tagged_descriptor(pair.sender.get(), 6, file_of(6).get()));
  CHECK(size_of(box.take(pair.receiver.get(), 6)) == 6);
  CHECK(!box.take(pair.receiver.get(), 5));
  CHECK(::send(pair.sender.get(), &tag, 3, 0) == 3);
  CHECK(!box.take(pair.receiver.get(), 5));
}

void a_peer_that_is_gone() {
  Sockets pair = sockets();
  DescriptorBox box;
  pair.receiver.reset();
  CHECK(!send_tagged_descriptor(pair.sender.get(), 1, pair.sender.get()));
  CHECK(!box.take(pair.sender.get(), 1));
}

}  // namespace
}  // namespace tessera

int main() {
  using namespace tessera;
  each_tag_has_its_own();
  a_full_socket_refuses();
  nonsense_is_passed_over();
  a_peer_that_is_gone();
  return 0;
}

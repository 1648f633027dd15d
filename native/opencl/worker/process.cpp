// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <system_error>

#include "transport/handshake.h"

namespace tessera::worker {

void harden_process() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_DUMPABLE, 0);
  ::signal(SIGPIPE, SIG_IGN);
  // A compiler that the driver starts is none of Tessera's clients, and inherits no library of
  // somebody's choice.
  std::vector<std::string> names{"LD_PRELOAD", "LD_AUDIT"};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (::strncmp(*entry, "TESSERA_", 8) == 0) {
      names.emplace_back(*entry, ::strcspn(*entry, "="));
    }
  }
  for (const auto& name : names) ::unsetenv(name.c_str());
}

std::vector<std::byte> read_token(int fd) {
  if (fd < 0) return {};
  const UniqueFd owned(fd);
  std::vector<std::byte> token(kTokenBytes);
  // The descriptor, and so its position, is shared with every worker of the lease.
  if (::pread(fd, token.data(), token.size(), 0) != static_cast<ssize_t>(token.size())) {
    throw std::runtime_error("the lease's token cannot be read");
  }
  return token;
}

UniqueFd capture_standard_output() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0 || ::dup2(ends[1], STDOUT_FILENO) < 0) {
    throw std::system_error(errno, std::generic_category(), "a pipe for the standard output");
  }
  ::close(ends[1]);
  ::setvbuf(stdout, nullptr, _IONBF, 0);
  return UniqueFd(ends[0]);
}

}  // namespace tessera::worker

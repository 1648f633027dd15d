// SPDX-License-Identifier: Apache-2.0
//
// Stands for tessera-worker where only the gatekeeper is tested: says how many descriptors it was
// given, one byte, then waits for the client to leave, or for orders: 'c' crashes, 'h' hangs and
// ignores SIGTERM.
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char** argv) {
  int fd = -1;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (::strcmp(argv[i], "--fd") == 0) fd = ::atoi(argv[i + 1]);
  }
  char open = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++open;
  ::closedir(folder);
  // Without ".", ".." and the folder itself.
  open = static_cast<char>(open - 3);
  if (::write(fd, &open, 1) != 1) return 1;
  char order = 0;
  while (::read(fd, &order, 1) == 1) {
    if (order == 'c') ::abort();
    if (order == 'h') {
      ::signal(SIGTERM, SIG_IGN);
      if (::write(fd, &order, 1) != 1) return 1;
      for (;;) ::pause();
    }
  }
  return 0;
}

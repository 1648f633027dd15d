// SPDX-License-Identifier: Apache-2.0
#include "guest/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "base/unique_fd.h"

namespace tessera::guest {

void load_modules(const char* folder) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  for (const std::string& path : paths) {
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file || (::syscall(SYS_finit_module, file.get(), "", 0) != 0 && errno != EEXIST)) {
      throw std::system_error(errno, std::generic_category(), "the kernel module " + path);
    }
  }
}

}  // namespace tessera::guest

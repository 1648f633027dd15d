// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/shared_pages.h"

#include <fcntl.h>
#include <sys/mman.h>

namespace tessera::worker {

std::optional<SharedPages> SharedPages::lay_over(void* at, std::size_t size) {
  UniqueFd fd(::memfd_create("tessera-svm", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0 ||
      ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return std::nullopt;
  }
  void* const mapped =
      ::mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd.get(), 0);
  if (mapped == MAP_FAILED) return std::nullopt;
  return SharedPages(at, size, std::move(fd));
}

bool SharedPages::put_private_pages_back() noexcept {
  // A client that keeps its mapping must not keep the memory too, which the lease no longer counts.
  ::madvise(at_, size_, MADV_REMOVE);
  return ::mmap(at_, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                0) != MAP_FAILED;
}

}  // namespace tessera::worker

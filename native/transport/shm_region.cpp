// SPDX-License-Identifier: Apache-2.0
#include "transport/shm_region.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/error_text.h"

namespace tessera {

namespace {
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

[[noreturn]] void fail(const char* what) {
  throw ConnectError(std::string("shared memory for the session: ") + what + ": " +
                     error_text(errno));
}
}  // namespace

UniqueFd ShmRegion::create() {
  UniqueFd fd(::memfd_create("tessera-session", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) fail("memfd_create");
  if (::ftruncate(fd.get(), sizeof(RegionLayout)) != 0) fail("ftruncate");
  if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) fail("F_ADD_SEALS");
  return fd;
}

ShmRegion::ShmRegion(int fd) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals ||
      ::lseek(fd, 0, SEEK_END) != static_cast<off_t>(sizeof(RegionLayout))) {
    throw ConnectError("the worker sent shared memory of a wrong size or without seals");
  }
  void* memory = ::mmap(nullptr, sizeof(RegionLayout), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) fail("mmap");
  layout_ = static_cast<RegionLayout*>(memory);
  ::madvise(memory, sizeof(RegionLayout), MADV_DONTFORK);
}

ShmRegion::~ShmRegion() {
  if (layout_ != nullptr) ::munmap(layout_, sizeof(RegionLayout));
}

}  // namespace tessera

// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/header_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string_view>
#include <system_error>

namespace tessera::worker {
namespace {

// Another one may come in between again and again, but not for ever.
constexpr int kAttempts = 100;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

UniqueFd open_folder(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// The lock of what still is at `path`; empty where others are in the way.
UniqueFd lock(const std::string& path, int how) {
  UniqueFd folder = open_folder(path);
  struct stat held {};
  struct stat there {};
  if (!folder || ::flock(folder.get(), how | LOCK_NB) != 0 || ::fstat(folder.get(), &held) != 0 ||
      ::lstat(path.c_str(), &there) != 0 || held.st_dev != there.st_dev ||
      held.st_ino != there.st_ino) {
    return {};
  }
  return folder;
}

// A folder that this user alone can look into, and that another one has not put there.
bool is_own(const std::string& path) {
  struct stat facts {};
  return ::lstat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode) &&
         facts.st_uid == ::geteuid() && (facts.st_mode & 077) == 0;
}

std::string base_folder() {
  const char* const runtime = ::getenv("XDG_RUNTIME_DIR");
  std::string wanted = "/dev/shm";
  if (runtime != nullptr && *runtime == '/' && ::access(runtime, W_OK) == 0) wanted = runtime;
  wanted += "/tessera-headers-" + std::to_string(::geteuid());
  if (::mkdir(wanted.c_str(), 0700) != 0 && errno != EEXIST) fail(wanted);
  if (!is_own(wanted)) {
    errno = EPERM;
    fail(wanted);
  }
  return wanted;
}

std::string new_folder(const std::string& base) {
  std::string path = base + "/new-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) fail(path);
  return path;
}

// False on an error, which is in errno.
bool write_file(const std::string& path, std::string_view text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return false;
  while (!text.empty()) {
    const ssize_t written = ::write(fd.get(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

void remove(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

// Whoever has its lock alone calls this. First out of its place: what is there is always complete.
// What cannot be moved is left to the next one.
void take_away(const std::string& path, const std::string& base) {
  std::string aside = base + "/old-XXXXXX";
  if (::mkdtemp(aside.data()) == nullptr) return;
  (void)::rename(path.c_str(), aside.c_str());
  remove(aside);
}

}  // namespace

HeaderFolder::HeaderFolder(const HeaderTexts& texts) : HeaderFolder(texts, base_folder()) {}

HeaderFolder::HeaderFolder(const HeaderTexts& texts, std::string base)
    : base_(std::move(base)), path_(base_ + "/" + texts.digest()) {
  remove_left_over();
  for (int i = 0; i < kAttempts; ++i) {
    if (share() || make(texts)) return;
    ::usleep(1000);
  }
  errno = EBUSY;
  fail(path_);
}

HeaderFolder::~HeaderFolder() {
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) return;
  take_away(path_, base_);
}

bool HeaderFolder::share() {
  lock_ = lock(path_, LOCK_SH);
  return static_cast<bool>(lock_);
}

bool HeaderFolder::make(const HeaderTexts& texts) {
  const std::string made = new_folder(base_);
  UniqueFd held = lock(made, LOCK_SH);
  bool done = static_cast<bool>(held);
  for (std::size_t i = 1; done && i <= texts.files(); ++i) {
    done = write_file(made + "/" + HeaderTexts::file_name(i), texts.file(i, path_));
    // Another one may have taken the folder for left over before it was locked.
    if (!done && errno != ENOENT) {
      const int error = errno;
      remove(made);
      errno = error;
      fail(made);
    }
  }
  if (done) done = ::rename(made.c_str(), path_.c_str()) == 0;
  if (done) {
    lock_ = std::move(held);
  } else {
    remove(made);
  }
  return done;
}

void HeaderFolder::remove_left_over() const {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(base_, error)) {
    if (entry.path() == path_) continue;
    if (const UniqueFd alone = lock(entry.path(), LOCK_EX)) take_away(entry.path(), base_);
  }
}

}  // namespace tessera::worker

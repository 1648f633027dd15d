// SPDX-License-Identifier: Apache-2.0
//
// State files that are damaged, cut short, or none: each is refused by name before the device is
// touched, and the session can still be resumed from the whole one.
#include <fcntl.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>

#include "opencl/worker/checksum.h"
#include "worker/suspending.h"

namespace tessera::test {
namespace {

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

void a_sessions_worth(WorkerPair& pair) {
  begin(pair);
  create_buffer(pair, kBuffer, 1000);
  write(pair, kBuffer, pattern(1000));
  create_user_event(pair, 30);
  const std::array<wire::Id, 1> waits{30};
  write(pair, kBuffer, pattern(100, 2), waits, 31);
  settle(pair);
}

void every_damage_is_found() {
  StateFolder folder;
  WorkerPair pair;
  a_sessions_worth(pair);
  suspend(pair, folder.path());
  struct stat facts {};
  CHECK(::stat(folder.path().c_str(), &facts) == 0 && (facts.st_mode & 0777) == 0600);
  const std::string whole = content(folder.path());
  for (std::size_t i = 0; i < whole.size(); i += 7) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0x20);
    put(folder.path(), changed);
    const std::string error = error_of([&] { resume(pair); });
    const bool version = i >= 8 && i < 12;
    CHECK(error == (version ? "StateFileOtherVersion" : "StateFileDamaged"));
  }
  for (std::size_t size = 0; size < whole.size(); size += 13) {
    put(folder.path(), whole.substr(0, size));
    CHECK(error_of([&] { resume(pair); }) == "StateFileDamaged");
  }
  put(folder.path(), whole + "x");
  CHECK(error_of([&] { resume(pair); }) == "StateFileDamaged");
  ::unlink(folder.path().c_str());
  CHECK(error_of([&] { resume(pair); }) == "StateFileDamaged");
  CHECK(pair.gpu().used == 0);
  put(folder.path(), whole);
  resume(pair);
  CHECK(pair.gpu().used == 1000);
  set_user_event(pair, 30);
  auto expected = pattern(1000);
  const auto begin_of = pattern(100, 2);
  std::copy(begin_of.begin(), begin_of.end(), expected.begin());
  CHECK(read(pair, kBuffer, 1000) == expected);
}

void what_cannot_be_written_leaves_the_session_active() {
  WorkerPair pair;
  a_sessions_worth(pair);
  CHECK(error_of([&] { suspend(pair, "/nowhere/at/all"); }) == "SuspendFailed");
  CHECK(error_of([&] { suspend(pair, "/dev/full/x"); }) == "SuspendFailed");
  CHECK(pair.gpu().used == 1000);
  set_user_event(pair, 30);
  CHECK(finished(pair) == CL_SUCCESS);
}

void checksums_are_the_same_by_table() {
  const auto nine = std::as_bytes(std::span("123456789", 9));
  CHECK(worker::crc32c(nine) == 0xe3069283);
  for (std::size_t size = 0; size < 100; ++size) {
    const auto bytes = pattern(size, 5);
    CHECK(worker::crc32c(bytes) == worker::crc32c_by_table(bytes));
    const auto half = std::span(bytes).first(size / 2);
    CHECK(worker::crc32c(std::span(bytes).subspan(size / 2), worker::crc32c(half)) ==
          worker::crc32c(bytes));
  }
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  checksums_are_the_same_by_table();
  every_damage_is_found();
  what_cannot_be_written_leaves_the_session_active();
  return 0;
}

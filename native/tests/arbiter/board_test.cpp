// SPDX-License-Identifier: Apache-2.0
#include "arbiter/board.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmath>
#include <stdexcept>

#include "arbiter/board_file.h"

namespace tessera {
namespace {

using test::BoardFile;

void is_private_and_taken_over() {
  const BoardFile file;
  BoardPage first = BoardPage::open(file.path(), "gpu0");
  struct stat facts {};
  CHECK(::stat(file.path().c_str(), &facts) == 0 && (facts.st_mode & 0777) == 0600);
  CHECK(first.register_tenant("one", 300, 250'000) == 0);
  first->tenants[0].device_ns.store(77);
  BoardPage second = BoardPage::open(file.path(), "gpu0");
  CHECK(second->tenants[0].present.load() == 1 && second->tenants[0].device_ns.load() == 77);
  CHECK_THROWS(BoardPage::open(file.path(), "gpu1"), std::runtime_error);
}

void a_board_of_another_boot_begins_anew() {
  const BoardFile file;
  {
    BoardPage page = BoardPage::open(file.path(), "gpu0");
    page.register_tenant("one", 100, 1);
    page->boot ^= 1;
  }
  BoardPage page = BoardPage::open(file.path(), "gpu0");
  CHECK(page->tenants[0].present.load() == 0 && page->boot == boot_hash());
}

void what_is_no_board_is_refused() {
  const BoardFile file;
  CHECK_THROWS(BoardPage::attach(file.path()), std::system_error);
  const int fd = ::open(file.path().c_str(), O_CREAT | O_WRONLY, 0600);
  CHECK(fd >= 0 && ::write(fd, "text", 4) == 4);
  CHECK_THROWS(BoardPage::attach(file.path()), std::runtime_error);
  CHECK_THROWS(BoardPage::open(file.path(), "gpu0"), std::runtime_error);
  CHECK(::ftruncate(fd, sizeof(Board)) == 0);
  CHECK_THROWS(BoardPage::attach(file.path()), std::runtime_error);
  ::close(fd);
}

void places_are_given_back() {
  const BoardFile file;
  BoardPage page = BoardPage::open(file.path(), "gpu0");
  for (std::size_t i = 0; i < kMaxTenants; ++i) CHECK(page.register_tenant("x", 1, 1) == i);
  CHECK_THROWS(page.register_tenant("one more", 1, 1), std::runtime_error);
  const std::size_t seat = page.take_seat(5);
  CHECK(page->seats[seat].worker_pid.load() == ::getpid());
  page->tenants[5].device_ns.store(9);
  page.unregister_tenant(5);
  CHECK(page->seats[seat].worker_pid.load() == 0);
  CHECK(page.register_tenant("new", 7, 8) == 5);
  CHECK(page->tenants[5].device_ns.load() == 0 && page->tenants[5].weight.load() == 7);
}

void seats_of_a_dead_worker_are_free() {
  const BoardFile file;
  BoardPage page = BoardPage::open(file.path(), "gpu0");
  page.register_tenant("one", 1, 1);
  const pid_t child = ::fork();
  if (child == 0) {
    page->seats[page.take_seat(0)].busy.store(1);
    ::pause();
  }
  while (page->seats[0].busy.load() == 0) ::usleep(1000);
  ::kill(child, SIGKILL);
  CHECK(::waitpid(child, nullptr, 0) == child);
  const std::uint32_t rung = page->doorbell.load();
  page.free_seats_of(child);
  CHECK(page->seats[0].worker_pid.load() == 0 && page->doorbell.load() != rung);
}

void a_worker_that_dies_with_the_mutex_harms_nobody() {
  const BoardFile file;
  BoardPage page = BoardPage::open(file.path(), "gpu0");
  const pid_t child = ::fork();
  if (child == 0) {
    ::pthread_mutex_lock(&page->mutex);
    ::_exit(0);
  }
  CHECK(::waitpid(child, nullptr, 0) == child);
  CHECK(page.register_tenant("one", 1, 1) == 0);
  CHECK(page.register_tenant("two", 1, 1) == 1);
}

void buckets_are_quarter_octaves() {
  CHECK(wait_bucket(0) == 0 && wait_bucket(999) == 0 && wait_bucket(1000) == 1);
  CHECK(wait_bucket(~std::uint64_t{0}) == kWaitBuckets - 1);
  for (double us = 8; us < 1e9; us *= 1.1) {
    const auto bucket = wait_bucket(static_cast<std::uint64_t>(us * 1000));
    const double begin = std::exp2((static_cast<double>(bucket) - 1) / 4);
    // Whole microseconds are compared, so the smallest buckets are a little off.
    CHECK(begin <= us * 1.01 && us <= begin * std::exp2(0.25) * 1.13);
  }
}

}  // namespace
}  // namespace tessera

int main() {
  tessera::is_private_and_taken_over();
  tessera::a_board_of_another_boot_begins_anew();
  tessera::what_is_no_board_is_refused();
  tessera::places_are_given_back();
  tessera::seats_of_a_dead_worker_are_free();
  tessera::a_worker_that_dies_with_the_mutex_harms_nobody();
  tessera::buckets_are_quarter_octaves();
}

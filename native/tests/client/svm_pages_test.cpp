// SPDX-License-Identifier: Apache-2.0
//
// Pages at addresses that the worker's driver chose: ranges may share a page, and may find their
// place taken.
#include "opencl/client/svm_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "base/unique_fd.h"
#include "check.h"

namespace tessera::client {
namespace {

const std::size_t kPage = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));

bool is_mapped(std::uintptr_t page) {
  unsigned char resident = 0;
  return ::mincore(reinterpret_cast<void*>(page), kPage, &resident) == 0;
}

// Addresses where nothing lies, for the length of a test.
std::uintptr_t free_place(std::size_t pages) {
  void* const at = ::mmap(nullptr, pages * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(at != MAP_FAILED);
  CHECK(::munmap(at, pages * kPage) == 0);
  return reinterpret_cast<std::uintptr_t>(at);
}

void a_page_of_two_ranges_stays_until_both_are_gone() {
  SvmPages pages;
  const std::uintptr_t at = free_place(4);
  CHECK(pages.take(at + 100, 200));
  CHECK(pages.take(at + 400, 2 * kPage));
  CHECK(is_mapped(at) && is_mapped(at + kPage) && is_mapped(at + 2 * kPage));
  CHECK(!is_mapped(at + 3 * kPage));
  std::memset(reinterpret_cast<void*>(at + 400), 1, 2 * kPage);
  pages.give_back(at + 100, 200);
  CHECK(is_mapped(at));
  pages.give_back(at + 400, 2 * kPage);
  CHECK(!is_mapped(at) && !is_mapped(at + kPage) && !is_mapped(at + 2 * kPage));
}

void a_taken_place_is_refused_and_left_as_it_was() {
  SvmPages pages;
  const std::uintptr_t at = free_place(5);
  void* const wall = reinterpret_cast<void*>(at + 2 * kPage);
  CHECK(::mmap(wall, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
        wall);
  CHECK(!pages.take(at, 4 * kPage));
  CHECK(!pages.take(at + kPage, kPage + 1));
  CHECK(!pages.take(at + 2 * kPage + 5, 1));
  CHECK(!is_mapped(at) && !is_mapped(at + kPage) && !is_mapped(at + 3 * kPage));
  CHECK(pages.take(at, 2 * kPage));
  pages.give_back(at, 2 * kPage);
  CHECK(::munmap(wall, kPage) == 0);
}

void shared_pages_are_seen_on_both_sides() {
  SvmPages pages;
  const UniqueFd fd(::memfd_create("test", MFD_CLOEXEC));
  CHECK(::ftruncate(fd.get(), static_cast<off_t>(2 * kPage)) == 0);
  const std::uintptr_t at = free_place(2);
  CHECK(!pages.take_shared(at + 1, kPage, fd.get()));
  CHECK(pages.take_shared(at, kPage + 1, fd.get()));
  std::memcpy(reinterpret_cast<void*>(at + kPage), "x", 1);
  char seen = 0;
  CHECK(::pread(fd.get(), &seen, 1, static_cast<off_t>(kPage)) == 1 && seen == 'x');
  CHECK(!pages.take_shared(at, kPage, fd.get()));
  pages.give_back_shared(at, kPage + 1);
  CHECK(!is_mapped(at) && !is_mapped(at + kPage));
}

// Without a fault of this process: a system call is refused what it cannot read.
bool is_readable(std::uintptr_t at) {
  int ends[2];
  CHECK(::pipe(ends) == 0);
  const UniqueFd out(ends[0]), in(ends[1]);
  return ::write(in.get(), reinterpret_cast<void*>(at), 1) == 1;
}

void a_place_alone_cannot_be_read() {
  SvmPages pages;
  const std::uintptr_t at = free_place(3);
  CHECK(pages.take(at, 2 * kPage + 100, false));
  CHECK(is_mapped(at) && !is_readable(at) && !is_readable(at + 2 * kPage));
  // A neighbour's page is readable, as far as the two share it.
  CHECK(pages.take(at + 2 * kPage + 200, 8));
  CHECK(!is_readable(at + kPage) && is_readable(at + 2 * kPage));
  pages.give_back(at, 2 * kPage + 100);
  CHECK(!is_mapped(at) && is_readable(at + 2 * kPage));
  pages.give_back(at + 2 * kPage + 200, 8);
  CHECK(!is_mapped(at + 2 * kPage));
}

void addresses_that_no_program_has_need_no_place() {
  SvmPages pages;
  for (const std::uintptr_t at : {std::uintptr_t{1} << 47, std::uintptr_t{0xffff'8000'0000'0000}}) {
    CHECK(pages.take(at, 4 * kPage, false));
    pages.give_back(at, 4 * kPage);
    CHECK(!pages.take(at, 4 * kPage, true));
  }
}

}  // namespace
}  // namespace tessera::client

int main() {
  using namespace tessera::client;
  a_page_of_two_ranges_stays_until_both_are_gone();
  a_taken_place_is_refused_and_left_as_it_was();
  shared_pages_are_seen_on_both_sides();
  a_place_alone_cannot_be_read();
  addresses_that_no_program_has_need_no_place();
  return 0;
}

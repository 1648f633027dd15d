// SPDX-License-Identifier: Apache-2.0
#include "arbiter/board.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "base/clock.h"
#include "base/futex.h"
#include "base/robust_mutex.h"
#include "base/unique_fd.h"

namespace tessera {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

Board* map(int fd) {
  void* at = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) fail("mapping the GPU's board");
  return static_cast<Board*>(at);
}

// Nothing that the mutex guards can be left half made: a tenant is `present` when it is complete.
RobustLock lock(Board& board) {
  return {board.mutex, [] {}};
}

template <std::size_t N>
void copy_text(std::array<char, N>& to, std::string_view from) {
  to.fill('\0');
  ::memcpy(to.data(), from.data(), std::min(from.size(), N - 1));
}

template <std::size_t N>
std::string_view text_of(const std::array<char, N>& from) {
  return {from.data(), ::strnlen(from.data(), N)};
}

void clear(Tenant& tenant) {
  tenant.grant.store(0);
  tenant.until_ns.store(0);
  for (auto* counter :
       {&tenant.device_ns, &tenant.commands, &tenant.grants, &tenant.waits, &tenant.waited_ns}) {
    counter->store(0);
  }
  tenant.overruns.store(0);
  for (auto& count : tenant.wait_counts) count.store(0);
}

void check_board(const Board& board) {
  if (board.magic != kBoardMagic || board.version != kBoardVersion) {
    throw std::runtime_error("not the board of a GPU of this version of Tessera");
  }
}

}  // namespace

std::size_t wait_bucket(std::uint64_t wait_ns) {
  const std::uint64_t us = wait_ns / 1000;
  if (us == 0) return 0;
  // Quarter octaves by comparing squares: 2^(1/4), 2^(2/4), 2^(3/4) as fractions of 2^16.
  constexpr std::uint64_t kSteps[] = {77936, 92682, 110218};
  const int octave = std::bit_width(us) - 1;
  const std::uint64_t mantissa = octave <= 16 ? us << (16 - octave) : us >> (octave - 16);
  const auto quarter = std::ranges::count_if(kSteps, [&](auto step) { return mantissa >= step; });
  const auto bucket = 1 + 4 * static_cast<std::size_t>(octave) + static_cast<std::size_t>(quarter);
  return std::min(bucket, kWaitBuckets - 1);
}

std::uint64_t boot_hash() {
  const UniqueFd fd(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  char text[64] = {};
  const ssize_t got = fd ? ::read(fd.get(), text, sizeof text) : 0;
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (ssize_t i = 0; i < got; ++i) {
    hash = (hash ^ static_cast<unsigned char>(text[i])) * 0x100000001b3;
  }
  return hash;
}

BoardPage BoardPage::open(std::string_view path, std::string_view gpu) {
  const std::string name(path);
  UniqueFd fd(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) fail("opening the GPU's board");
  struct stat facts {};
  if (::fstat(fd.get(), &facts) != 0) fail("the GPU's board");
  const bool fresh = facts.st_size == 0;
  if (!fresh && static_cast<std::size_t>(facts.st_size) != sizeof(Board)) {
    throw std::runtime_error("the board has another size: another version of Tessera");
  }
  // Space is taken now: on a full disk a later write to a hole would be a SIGBUS.
  if (fresh) require_zero(::posix_fallocate(fd.get(), 0, sizeof(Board)), "room for the board");
  Board* board = map(fd.get());
  BoardPage page(fd.release(), board);
  if (!fresh && board->magic == kBoardMagic && board->boot == boot_hash()) {
    check_board(*board);
    if (text_of(board->gpu) != gpu) throw std::runtime_error("the board of another GPU");
    return page;
  }
  board->magic = 0;
  ::memset(static_cast<void*>(board), 0, sizeof(Board));
  make_robust_mutex(board->mutex);
  board->version = kBoardVersion;
  board->boot = boot_hash();
  copy_text(board->gpu, gpu);
  board->started_ns.store(static_cast<std::uint64_t>(monotonic_ns()));
  // Last: who finds the magic finds a complete page.
  std::atomic_thread_fence(std::memory_order_release);
  board->magic = kBoardMagic;
  return page;
}

BoardPage BoardPage::attach(std::string_view path) {
  const int fd = ::open(std::string(path).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) fail("opening the GPU's board");
  return attach(fd);
}

BoardPage BoardPage::attach(int fd) {
  UniqueFd owned(fd);
  struct stat facts {};
  if (::fstat(fd, &facts) != 0) fail("the GPU's board");
  if (static_cast<std::size_t>(facts.st_size) != sizeof(Board)) {
    throw std::runtime_error("the board has another size: another version of Tessera");
  }
  BoardPage page(owned.release(), map(fd));
  check_board(*page);
  return page;
}

BoardPage::BoardPage(BoardPage&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), board_(std::exchange(other.board_, nullptr)) {}

BoardPage& BoardPage::operator=(BoardPage&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(board_, other.board_);
  return *this;
}

BoardPage::~BoardPage() {
  if (board_ != nullptr) ::munmap(board_, sizeof(Board));
  if (fd_ >= 0) ::close(fd_);
}

std::size_t BoardPage::register_tenant(std::string_view lease, std::uint32_t weight,
                                       std::uint32_t share_ppm) {
  const RobustLock held = lock(*board_);
  auto& tenants = board_->tenants;
  const auto at = std::ranges::find_if(tenants, [](const auto& t) { return t.present == 0; });
  if (at == tenants.end()) throw std::runtime_error("the GPU has no place for another lease");
  clear(*at);
  copy_text(at->lease_id, lease);
  at->weight.store(weight);
  at->share_ppm.store(share_ppm);
  at->gatekeeper_pid = ::getpid();
  at->since_ns.store(static_cast<std::uint64_t>(monotonic_ns()));
  at->present.store(1);
  ring();
  return static_cast<std::size_t>(at - tenants.begin());
}

void BoardPage::unregister_tenant(std::size_t tenant) {
  {
    const RobustLock held = lock(*board_);
    board_->tenants[tenant].present.store(0);
    board_->tenants[tenant].grant.store(0);
    for (auto& seat : board_->seats) {
      if (seat.worker_pid.load() != 0 && seat.tenant.load() == tenant) seat.worker_pid.store(0);
    }
  }
  ring();
}

std::size_t BoardPage::take_seat(std::size_t tenant) {
  const RobustLock held = lock(*board_);
  auto& seats = board_->seats;
  const auto at = std::ranges::find_if(seats, [](const auto& s) { return s.worker_pid == 0; });
  if (at == seats.end()) return kMaxSeats;
  at->wants.store(0);
  at->busy.store(0);
  at->tenant.store(static_cast<std::uint32_t>(tenant));
  at->worker_pid.store(::getpid());
  return static_cast<std::size_t>(at - seats.begin());
}

void BoardPage::free_seats_of(std::int32_t worker_pid) {
  {
    const RobustLock held = lock(*board_);
    for (auto& seat : board_->seats) {
      if (seat.worker_pid.load() == worker_pid) seat.worker_pid.store(0);
    }
  }
  ring();
}

void BoardPage::ring() const {
  board_->doorbell.fetch_add(1);
  futex_wake_all(board_->doorbell);
}

}  // namespace tessera

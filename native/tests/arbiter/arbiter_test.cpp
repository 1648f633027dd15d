// SPDX-License-Identifier: Apache-2.0
//
// The arbiter over a board whose workers are played by the test, with a clock of the test's own.
#include "arbiter/arbiter.h"

#include <signal.h>
#include <sys/wait.h>

#include <array>

#include "arbiter/board_file.h"
#include "arbiter/watcher.h"

namespace tessera::arbiter {
namespace {

using test::BoardFile;

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kOverrun = 1000 * kMs;
constexpr std::uint64_t kOverlap = kMs / 10;
constexpr Timing kTiming{.overrun_ns = kOverrun, .overlap_ns = kOverlap};

// A GPU with a number of leases of one session each.
struct Gpu {
  explicit Gpu(std::size_t leases, PolicyKind policy = PolicyKind::equal)
      : page(BoardPage::open(file.path(), "gpu0")) {
    page->policy.store(static_cast<std::uint32_t>(policy));
    for (std::size_t i = 0; i < leases; ++i) {
      CHECK(page.register_tenant("lease", 100, kWholeDevice / static_cast<std::uint32_t>(leases)) ==
            i);
      CHECK(page.take_seat(i) == i);
    }
  }
  std::uint64_t turn(Arbiter& arbiter, std::uint64_t after_ns = 0) {
    return arbiter.turn(now += after_ns);
  }
  void want(std::size_t lease) { page->seats[lease].wants.store(1); }
  void run(std::size_t lease) {
    page->seats[lease].busy.store(1);
    page->seats[lease].wants.store(0);
  }
  void rest(std::size_t lease) {
    page->seats[lease].busy.store(0);
    page->seats[lease].wants.store(0);
  }
  bool has(std::size_t lease) const { return page->tenants[lease].grant.load() != 0; }
  void use(std::size_t lease, std::uint64_t ns) { page->tenants[lease].device_ns.fetch_add(ns); }

  BoardFile file;
  BoardPage page;
  std::uint64_t now = 1000 * kMs;
};

void a_lone_lease_keeps_the_gpu_without_a_clock() {
  Gpu gpu(2);
  Arbiter arbiter(gpu.page, kTiming);
  gpu.want(0);
  gpu.turn(arbiter);
  CHECK(gpu.has(0) && gpu.page->contended.load() == 0);
  CHECK(gpu.page->tenants[0].until_ns.load() == kNoEnd);
  gpu.run(0);
  gpu.turn(arbiter, 500 * kMs);
  gpu.rest(0);
  gpu.turn(arbiter, 500 * kMs);
  CHECK(gpu.has(0) && gpu.page->tenants[0].grants.load() == 1);
}

void a_second_lease_gets_it_when_the_first_has_nothing_under_way() {
  Gpu gpu(2);
  Arbiter arbiter(gpu.page, kTiming);
  gpu.want(0);
  gpu.turn(arbiter);
  gpu.run(0);
  gpu.want(1);
  gpu.turn(arbiter, 10 * kMs);
  CHECK(!gpu.has(0) && !gpu.has(1));
  gpu.want(0);
  gpu.turn(arbiter, kMs);
  CHECK(!gpu.has(1));  // still busy
  gpu.page->seats[0].busy.store(0);
  gpu.turn(arbiter, kMs);
  CHECK(gpu.has(1) && !gpu.has(0) && gpu.page->contended.load() == 1);
  gpu.run(1);
  CHECK(gpu.turn(arbiter, kMs) == gpu.now + kMs);  // the rest of two milliseconds
  CHECK(gpu.has(1));
  gpu.turn(arbiter, kMs);
  CHECK(!gpu.has(1));
  gpu.rest(1);
  gpu.turn(arbiter);
  CHECK(gpu.has(0));
}

void an_idle_holder_gives_way_at_once() {
  Gpu gpu(2);
  Arbiter arbiter(gpu.page, kTiming);
  gpu.want(0);
  gpu.turn(arbiter);
  gpu.rest(0);
  gpu.want(1);
  gpu.turn(arbiter);
  CHECK(gpu.has(1) && !gpu.has(0));
}

void who_used_less_goes_next() {
  Gpu gpu(3);
  Arbiter arbiter(gpu.page, kTiming);
  for (const std::size_t lease : {0, 1, 2}) gpu.want(lease);
  gpu.turn(arbiter);
  CHECK(gpu.has(0));
  gpu.run(0);
  gpu.use(0, 2 * kMs);
  gpu.turn(arbiter, 2 * kMs);
  gpu.page->seats[0].busy.store(0);
  gpu.want(0);
  gpu.turn(arbiter);
  CHECK(gpu.has(1));
  gpu.run(1);
  gpu.use(1, kMs / 2);
  gpu.rest(1);
  gpu.turn(arbiter, kMs / 2);
  CHECK(gpu.has(2));
  gpu.want(1);
  gpu.run(2);
  gpu.use(2, kMs);
  gpu.turn(arbiter, 2 * kMs);
  gpu.page->seats[2].busy.store(0);
  gpu.want(2);
  gpu.turn(arbiter);
  CHECK(gpu.has(1));
}

void sessions_of_a_lease_share_its_time() {
  Gpu gpu(2);
  for (std::size_t seat = 2; seat < 40; ++seat) {
    CHECK(gpu.page.take_seat(0) == seat);
    gpu.page->seats[seat].wants.store(1);
  }
  Arbiter arbiter(gpu.page, kTiming);
  gpu.want(1);
  std::array<std::uint64_t, 2> used{};
  for (int i = 0; i < 1000; ++i) {
    gpu.turn(arbiter);
    const std::size_t holder = gpu.has(0) ? 0 : 1;
    CHECK(gpu.has(holder));
    gpu.use(holder, 2 * kMs);
    used[holder] += 2 * kMs;
    gpu.turn(arbiter, 2 * kMs);
  }
  CHECK(used[0] == used[1]);
}

void a_dead_lease_loses_its_grant_at_once() {
  Gpu gpu(2);
  Arbiter arbiter(gpu.page, kTiming);
  gpu.want(0);
  gpu.turn(arbiter);
  gpu.run(0);
  gpu.want(1);
  gpu.page.unregister_tenant(0);
  gpu.turn(arbiter);
  CHECK(gpu.has(1));
}

void a_dead_worker_is_not_waited_for() {
  Gpu gpu(2);
  Arbiter arbiter(gpu.page, kTiming);
  gpu.want(0);
  gpu.turn(arbiter);
  gpu.run(0);
  gpu.want(1);
  gpu.turn(arbiter, 10 * kMs);
  CHECK(!gpu.has(1));
  gpu.page->seats[0].worker_pid.store(0);  // as its gatekeeper does
  gpu.turn(arbiter);
  CHECK(gpu.has(1));
}

void an_endless_command_keeps_nobody_waiting_for_ever() {
  Gpu gpu(2);
  Arbiter arbiter(gpu.page, kTiming);
  gpu.want(0);
  gpu.turn(arbiter);
  gpu.run(0);
  gpu.want(1);
  gpu.turn(arbiter, 10 * kMs);
  CHECK(!gpu.has(1));
  CHECK(gpu.turn(arbiter, 10 * kMs) == gpu.now - 10 * kMs + kOverrun);
  gpu.turn(arbiter, kOverrun);
  CHECK(gpu.has(1) && gpu.page->tenants[0].overruns.load() == 1);
  // Meanwhile it is no claim.
  gpu.run(1);
  gpu.turn(arbiter, kMs);
  CHECK(gpu.has(1) && gpu.page->contended.load() == 0);
  // It is charged when it ends, and then is far behind the other.
  gpu.run(1);
  gpu.use(0, kOverrun);
  gpu.rest(0);
  gpu.want(0);
  gpu.page->seats[1].busy.store(0);
  gpu.want(1);
  gpu.turn(arbiter, 2 * kMs);
  gpu.turn(arbiter);
  CHECK(gpu.has(1) && !gpu.has(0));
}

void the_next_is_called_a_moment_early() {
  Gpu gpu(2);
  Arbiter arbiter(gpu.page, kTiming);
  gpu.want(0);
  gpu.turn(arbiter);
  gpu.run(0);
  gpu.want(1);
  gpu.page->seats[0].ends_ns.store(gpu.now + 12 * kMs);
  CHECK(gpu.turn(arbiter, 10 * kMs) == gpu.now + 2 * kMs - kOverlap);
  CHECK(!gpu.has(1));
  gpu.turn(arbiter, 2 * kMs - kOverlap);
  CHECK(gpu.has(1) && !gpu.has(0) && gpu.page->tenants[0].overruns.load() == 0);
  // While the first runs on, the second is not alone, however long that takes.
  gpu.run(1);
  CHECK(gpu.turn(arbiter, kMs) == gpu.now + kMs && gpu.page->contended.load() == 1);
  CHECK(gpu.has(1));
  gpu.rest(0);
  gpu.turn(arbiter);
  CHECK(gpu.has(1) && gpu.page->contended.load() == 0);
}

void who_is_owed_more_goes_on_without_a_pause() {
  Gpu gpu(2);
  Arbiter arbiter(gpu.page, kTiming);
  gpu.want(0);
  gpu.turn(arbiter);
  gpu.run(0);
  gpu.use(1, 10 * kMs);
  gpu.want(1);
  gpu.page->seats[0].ends_ns.store(gpu.now + 2 * kMs);
  gpu.turn(arbiter, 2 * kMs);
  CHECK(gpu.has(0) && !gpu.has(1));
}

void fixed_holds_back_a_lone_lease() {
  Gpu gpu(2, PolicyKind::fixed);
  Arbiter arbiter(gpu.page, kTiming);
  gpu.want(0);
  gpu.turn(arbiter);
  CHECK(gpu.has(0) && gpu.page->contended.load() == 1);
  gpu.run(0);
  gpu.use(0, 2 * kMs);
  gpu.turn(arbiter, 2 * kMs);
  gpu.page->seats[0].busy.store(0);
  gpu.want(0);
  // One millisecond of its half has come in meanwhile, so two more pass.
  const std::uint64_t again = gpu.turn(arbiter);
  CHECK(!gpu.has(0) && again > gpu.now + kMs && again <= gpu.now + 3 * kMs);
  gpu.turn(arbiter, again - gpu.now);
  CHECK(gpu.has(0));
  CHECK(gpu.page->idle_ns.load() != 0);
}

void a_successor_begins_with_nobody() {
  Gpu gpu(2);
  {
    Arbiter arbiter(gpu.page, kTiming);
    gpu.want(0);
    gpu.turn(arbiter);
    gpu.run(0);
  }
  gpu.want(1);
  Arbiter arbiter(gpu.page, kTiming);
  CHECK(!gpu.has(0));
  gpu.turn(arbiter);
  gpu.turn(arbiter, kMs);
  CHECK(gpu.has(0) || gpu.has(1));
}

void time_is_written_down() {
  Gpu gpu(2);
  Arbiter arbiter(gpu.page, kTiming);
  gpu.want(0);
  gpu.turn(arbiter);
  gpu.run(0);
  gpu.use(0, 3 * kMs);
  gpu.want(1);
  gpu.turn(arbiter, 4 * kMs);
  gpu.rest(0);
  gpu.turn(arbiter, kMs);
  CHECK(gpu.page->trace_count.load() == 1);
  const TraceEntry& entry = gpu.page->trace[0];
  CHECK(entry.tenant == 0 && entry.device_ns == 3 * kMs);
  CHECK(entry.end_ns - entry.begin_ns == 5 * kMs);
}

void time_that_is_charged_late_is_in_the_next_stretch() {
  Gpu gpu(2);
  Arbiter arbiter(gpu.page, kTiming);
  for (int round = 0; round < 2; ++round) {
    for (std::size_t lease = 0; lease < 2; ++lease) {
      gpu.want(lease);
      gpu.turn(arbiter);
      gpu.run(lease);
      gpu.want(1 - lease);
      gpu.turn(arbiter, 4 * kMs);
      gpu.rest(lease);
      gpu.turn(arbiter, kMs);
      gpu.use(lease, 3 * kMs);
    }
  }
  CHECK(gpu.page->trace_count.load() == 4);
  std::array<std::uint64_t, 4> charged{};
  for (std::size_t i = 0; i < charged.size(); ++i) charged[i] = gpu.page->trace[i].device_ns;
  CHECK((charged == std::array<std::uint64_t, 4>{0, 0, 3 * kMs, 3 * kMs}));
  // A successor does not write again what is written.
  Arbiter next(gpu.page, kTiming);
  gpu.turn(next);
  gpu.use(0, 2 * kMs);
  gpu.rest(0);
  gpu.want(1);
  gpu.turn(next, 4 * kMs);
  gpu.turn(next, kMs);
  CHECK(gpu.page->trace[4].tenant == 0 && gpu.page->trace[4].device_ns == 2 * kMs);
}

void a_gatekeepers_death_is_noticed() {
  const BoardFile file;
  BoardPage page = BoardPage::open(file.path(), "gpu0");
  const pid_t child = ::fork();
  if (child == 0) {
    page.register_tenant("one", 1, 1);
    ::pause();
  }
  while (page->tenants[0].present.load() == 0) ::usleep(1000);
  Watcher watcher(page);
  watcher.follow();
  ::kill(child, SIGKILL);
  CHECK(::waitpid(child, nullptr, 0) == child);
  for (int i = 0; page->tenants[0].present.load() != 0; ++i) {
    CHECK(i < 5000);
    ::usleep(1000);
  }
}

}  // namespace
}  // namespace tessera::arbiter

int main() {
  using namespace tessera::arbiter;
  a_lone_lease_keeps_the_gpu_without_a_clock();
  a_second_lease_gets_it_when_the_first_has_nothing_under_way();
  an_idle_holder_gives_way_at_once();
  who_used_less_goes_next();
  sessions_of_a_lease_share_its_time();
  a_dead_lease_loses_its_grant_at_once();
  a_dead_worker_is_not_waited_for();
  an_endless_command_keeps_nobody_waiting_for_ever();
  the_next_is_called_a_moment_early();
  who_is_owed_more_goes_on_without_a_pause();
  fixed_holds_back_a_lone_lease();
  a_successor_begins_with_nobody();
  time_is_written_down();
  time_that_is_charged_late_is_in_the_next_stretch();
  a_gatekeepers_death_is_noticed();
}

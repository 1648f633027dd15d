// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/gate.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include "arbiter/policy.h"
#include "base/clock.h"
#include "base/futex.h"
#include "base/scheduling.h"
#include "opencl/worker/driver_threads.h"
#include "opencl/worker/event_status.h"

namespace tessera::worker {
namespace {

// How many commands enter until those that have ended are looked for, while nobody else wants the
// GPU.
constexpr std::size_t kBatch = 64;
// How often who waits for a grant looks whether the arbiter still lives, and how long it may be
// away before its tenants go on without one: the daemon starts another within milliseconds.
constexpr std::int64_t kMinderLooks = 1'000'000'000;
constexpr std::int64_t kLookEvery = 100'000'000;
constexpr std::uint64_t kMayBeAway = 2'000'000'000;

std::uint64_t clock_ns() {
  return static_cast<std::uint64_t>(monotonic_ns());
}

Seat& take_seat(BoardPage& page, std::size_t tenant) {
  if (tenant >= kMaxTenants) throw std::runtime_error("a place that no board has");
  const std::size_t seat = page.take_seat(tenant);
  if (seat == kMaxSeats) throw std::runtime_error("the GPU has no place for another session");
  return page->seats[seat];
}

}  // namespace

Gate::Gate(BoardPage page, std::size_t tenant)
    : page_(std::move(page)), tenant_(page_->tenants[tenant]), seat_(take_seat(page_, tenant)) {
  minder_ = std::thread([this] { mind(); });
}

Gate::~Gate() {
  over_.store(true);
  wake_minder();
  minder_.join();
  let_driver_loose();
  mark(nullptr);
  seat_.worker_pid.store(0);
  ring();
}

bool Gate::is_metered() const {
  return page_->contended.load(std::memory_order_acquire) != 0;
}

std::uint64_t Gate::time_left(std::uint64_t now) const {
  if (tenant_.grant.load() == 0) return 0;
  if (!is_metered()) return kNoEnd;
  const std::uint64_t until = tenant_.until_ns.load();
  return until > now ? until - now : 0;
}

// `busy` is said before the grant is looked at: see arbiter.h.
bool Gate::may_go(std::uint64_t estimate_ns) {
  if (seat_.busy.load(std::memory_order_relaxed) == 0) seat_.busy.store(1);
  if (tenant_.grant.load() == 0) return false;
  if (!is_metered()) return true;
  const std::uint64_t left = time_left(clock_ns());
  if (left == 0) return false;
  const std::lock_guard lock(mutex_);
  if (flights_.empty()) return true;
  return estimate_ns != 0 && flights_.estimated_ns() <= left;
}

bool Gate::try_enter(std::uint64_t estimate_ns) {
  {
    const std::lock_guard lock(mutex_);
    entering_ = true;
  }
  return may_go(estimate_ns);
}

void Gate::enter(std::uint64_t estimate_ns) {
  seat_.attended.store(1);
  while (!try_enter(estimate_ns)) {
    // What can end, ends first: then either there is room, or the time is over and nothing of this
    // session is under way any more.
    const bool over = time_left(clock_ns()) == 0;
    if (!wait_for(over ? Part::all : Part::half) && time_left(clock_ns()) == 0) wait_for_grant();
  }
}

void Gate::entered(std::span<const Flight> flights) {
  {
    const std::lock_guard lock(mutex_);
    entering_ = false;
    for (const Flight& flight : flights) {
      const bool first = flights_.empty();
      flights_.add(flight);
      foresee_end(flight, first);
    }
    unseen_ += flights.size();
    if (unseen_ >= kBatch) reap();
  }
  stop_attending();
}

// The grant may have been taken back meanwhile, when the minder was not woken or found nothing to
// wait for.
void Gate::stop_attending() {
  if (seat_.attended.load(std::memory_order_relaxed) != 0) seat_.attended.store(0);
  if (tenant_.grant.load() == 0) wake_minder();
}

// The lock is held. What entered while nobody else wanted the GPU has no foreseen end, and nothing
// that comes behind it has one.
void Gate::foresee_end(const Flight& flight, bool first) {
  const std::uint64_t before = first ? 0 : seat_.ends_ns.load(std::memory_order_relaxed);
  if (is_metered() && before != kNoEnd && flight.estimate_ns != 0) {
    seat_.ends_ns.store(std::max(before, clock_ns()) + flight.estimate_ns);
  } else if (before != kNoEnd) {
    seat_.ends_ns.store(kNoEnd);
  }
}

void Gate::left() {
  {
    const std::lock_guard lock(mutex_);
    entering_ = false;
    give_up_if_idle();
  }
  stop_attending();
}

void Gate::settle() {
  const std::lock_guard lock(mutex_);
  reap();
  mark(nullptr);
  give_up_if_idle();
}

bool Gate::worked_through() {
  const std::lock_guard lock(mutex_);
  const bool worked = marked_ != nullptr && !has_ended(marked_);
  mark(flights_.newest());
  return worked && !is_metered();
}

// The lock is held.
void Gate::mark(cl_event event) {
  if (event != nullptr) clRetainEvent(event);
  if (marked_ != nullptr) clReleaseEvent(marked_);
  marked_ = event;
}

// The lock is held. Charges what is found ended; of the others, the oldest.
std::vector<cl_event> Gate::reap() {
  unseen_ = 0;
  return flights_.look([this](const Flight& flight, cl_int status) { charge(flight, status); });
}

void Gate::charge(const Flight& flight, cl_int status) {
  if (status != CL_COMPLETE) return;
  cl_ulong start = 0;
  cl_ulong end = 0;
  if (clGetEventProfilingInfo(flight.event, CL_PROFILING_COMMAND_START, sizeof start, &start,
                              nullptr) != CL_SUCCESS ||
      clGetEventProfilingInfo(flight.event, CL_PROFILING_COMMAND_END, sizeof end, &end, nullptr) !=
          CL_SUCCESS ||
      end < start) {
    return;
  }
  if (flight.cost != nullptr) flight.cost->learn(flight.units, end - start);
  const std::uint64_t from = std::max<std::uint64_t>(start, charged_until_ns_);
  const std::uint64_t used = end > from ? end - from : 0;
  charged_until_ns_ = std::max<std::uint64_t>(charged_until_ns_, end);
  tenant_.device_ns.fetch_add(used, std::memory_order_relaxed);
  tenant_.commands.fetch_add(1, std::memory_order_relaxed);
  page_->device_ns.fetch_add(used, std::memory_order_relaxed);
}

// The lock is held.
void Gate::give_up_if_idle() {
  if (entering_ || seat_.busy.load(std::memory_order_relaxed) == 0) return;
  if (!flights_.empty()) return;
  seat_.busy.store(0);
  if (is_metered() || tenant_.grant.load() == 0) ring();
}

// Of the oldest that have not ended, the last of that part, at least one; one more reference, or
// null.
cl_event Gate::last_of(Part part) {
  const std::lock_guard lock(mutex_);
  const std::vector<cl_event> running = reap();
  if (running.empty()) return nullptr;
  const std::size_t last = running.size() - 1;
  cl_event event = running[part == Part::half ? last / 2 : last];
  clRetainEvent(event);
  return event;
}

bool Gate::wait_for(Part part) {
  cl_event event = last_of(part);
  if (event == nullptr) return false;
  clWaitForEvents(1, &event);
  clReleaseEvent(event);
  const std::lock_guard lock(mutex_);
  reap();
  // One has just ended, so the next has just begun.
  if (seat_.ends_ns.load(std::memory_order_relaxed) != kNoEnd) {
    seat_.ends_ns.store(clock_ns() + flights_.estimated_ns());
  }
  return true;
}

void Gate::wait_for_grant() {
  const std::uint64_t begin = clock_ns();
  seat_.wants.store(1);
  seat_.busy.store(0);
  ring();
  for (std::uint64_t now = begin;; now = clock_ns()) {
    const std::uint32_t grant = tenant_.grant.load();
    if (time_left(now) != 0 || over_.load()) break;
    if (arbiter_is_gone(now)) {
      tenant_.until_ns.store(kNoEnd);
      tenant_.grant.store(1);
      break;
    }
    futex_wait(tenant_.grant, grant, kLookEvery);
  }
  seat_.busy.store(1);
  seat_.wants.store(0);
  if (is_metered()) keep_driver_apart();
  const std::uint64_t waited = clock_ns() - begin;
  tenant_.waits.fetch_add(1, std::memory_order_relaxed);
  tenant_.waited_ns.fetch_add(waited, std::memory_order_relaxed);
  tenant_.wait_counts[wait_bucket(waited)].fetch_add(1, std::memory_order_relaxed);
}

bool Gate::arbiter_is_gone(std::uint64_t now) {
  const std::int32_t pid = page_->arbiter_pid.load();
  if (pid != 0 && (::kill(pid, 0) == 0 || errno != ESRCH)) {
    arbiter_missed_ns_ = 0;
    return false;
  }
  if (arbiter_missed_ns_ == 0) arbiter_missed_ns_ = now;
  if (now - arbiter_missed_ns_ < kMayBeAway) return false;
  ::fprintf(stderr, "tessera-worker %d: the GPU's arbiter is gone; going on without it\n",
            static_cast<int>(::getpid()));
  return true;
}

void Gate::keep_driver_apart() {
  if (!apart_.exchange(true)) DriverThreads::of_this_process().keep_apart();
}

void Gate::let_driver_loose() {
  if (apart_.exchange(false)) DriverThreads::of_this_process().let_loose();
}

void Gate::wake_minder() {
  seat_.poke.fetch_add(1);
  futex_wake_all(seat_.poke);
}

void Gate::mind() {
  ::prctl(PR_SET_NAME, "tessera-minder");
  take_short_slices();
  while (!over_.load()) {
    const std::uint32_t poked = seat_.poke.load();
    while (tenant_.grant.load() == 0 && wait_for(Part::all)) {
    }
    settle();
    if (!is_metered()) let_driver_loose();
    if (!over_.load()) futex_wait(seat_.poke, poked, kMinderLooks);
  }
}

}  // namespace tessera::worker

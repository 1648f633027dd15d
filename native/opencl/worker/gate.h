// SPDX-License-Identifier: Apache-2.0
//
// What stands between a session and the GPU that it shares: commands go to the driver only while
// the lease holds a grant, and what they used of the device is charged to the lease.
//
// A command cannot be recalled once the driver has it. So while others want the GPU a session keeps
// only as much under way as fits into what is left of its time, by what commands of that kind cost
// before; the first command of a kind goes alone. While nobody else wants the GPU, nothing is held
// back, no clock is read and nobody is woken: a command costs one load more, and its event is
// looked at when a batch of them has come together.
//
// The charge is the time between the driver's START and END of each command, counted once where
// commands overlap. Counting launches or wall time was refused: the first says nothing about the
// device, the second charges a tenant for waiting.
//
// Each wake costs time on the cores that an embedded device computes on. So a session that must
// wait for room waits until half of what is under way has ended, and one more command than fits may
// be under way: it follows the last that fits without a gap, and without it, it would go a moment
// later all the same.
//
// A thread of its own (the minder) exists because a client may fall silent with commands under way:
// when the grant is taken back, somebody must notice their end and give the GPU up. Otherwise it
// sleeps.
//
// Commands that only the client can set running (blocked_commands.h) do not come here before it
// does: they do not use the device, and may be many, and for ever. Setting the user event that they
// wait for enters the gate as a command does, and all of them are under way from then on.
//
// Whatever is under way can end, but it may be much, and without an order. So a look at it is
// bounded: all that have ended among the oldest, and a part of the others, another part at each
// look. Refused: looking at the oldest alone. What ends behind them counts as running, and so the
// GPU as busy, until they end.
#pragma once

#include <CL/cl.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "arbiter/board.h"
#include "opencl/worker/flight.h"
#include "opencl/worker/flights.h"

namespace tessera::worker {

class Gate {
 public:
  // `page` is the GPU's board, `tenant` the lease's place on it. Throws std::runtime_error where no
  // seat is left.
  Gate(BoardPage page, std::size_t tenant);
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // Waits until a command of about `estimate_ns` (0: unknown) may go to the driver. One thread at a
  // time, which then calls entered() or left().
  void enter(std::uint64_t estimate_ns);
  // Like enter(), but says false instead of waiting; then enter() is to follow.
  bool try_enter(std::uint64_t estimate_ns);
  // The command is under way; takes one reference of `flight.event` of its own.
  void entered(const Flight& flight) { entered(std::span(&flight, 1)); }
  // The same for several at once, at least one.
  void entered(std::span<const Flight> flights);
  // Nothing (more) came of it: the driver did not take the command.
  void left();

  // Other leases want the GPU.
  bool is_wanted() const { return is_metered(); }
  // Commands may have ended: charges them, and gives the GPU up if nothing is under way. Any
  // thread.
  void settle();
  // Whether the command that was the last one under way at the call before runs still, or waits for
  // others to end. No, where others want the GPU: then it may wait for its turn. One thread at a
  // time.
  bool worked_through();

 private:
  // Of what is under way.
  enum class Part { half, all };

  std::uint64_t time_left(std::uint64_t now) const;
  bool may_go(std::uint64_t estimate_ns);
  bool is_metered() const;
  void wait_for_grant();
  bool arbiter_is_gone(std::uint64_t now);
  // False when nothing of this session is under way.
  bool wait_for(Part part);
  cl_event last_of(Part part);
  std::vector<cl_event> reap();
  void charge(const Flight& flight, cl_int status);
  void foresee_end(const Flight& flight, bool first);
  void stop_attending();
  void mark(cl_event event);
  void give_up_if_idle();
  void ring() const { page_.ring(); }
  void wake_minder();
  void mind();
  // See driver_threads.h.
  void keep_driver_apart();
  void let_driver_loose();

  BoardPage page_;
  Tenant& tenant_;
  Seat& seat_;

  std::mutex mutex_;
  Flights flights_;
  std::size_t unseen_ = 0;     // that have entered since the last look
  cl_event marked_ = nullptr;  // one reference
  bool entering_ = false;
  std::uint64_t charged_until_ns_ = 0;  // on the device's clock
  std::uint64_t arbiter_missed_ns_ = 0;

  std::atomic<bool> apart_{false};
  std::atomic<bool> over_{false};
  std::thread minder_;
};

}  // namespace tessera::worker

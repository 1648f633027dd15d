// SPDX-License-Identifier: Apache-2.0
//
// Applies the policy to the board of one GPU.
//
// A lease may send commands to the GPU while its `grant` is set. The arbiter takes a grant back by
// clearing it, and gives the next one when no session of another lease has commands under way: so
// one lease at a time computes, and what is measured is what it used. Two races are settled the
// same way on both sides (Dekker): a worker says `busy` and then looks at the grant; the arbiter
// clears the grant and then looks at `busy`; one of the two sees the other. `attended`, which
// spares a wake, is settled in the same way.
//
// A lease that is alone keeps its grant until somebody else wants the GPU (but for `fixed`, where
// nobody gets more than his share): its workers read one word for each command, and the arbiter
// sleeps.
//
// A change of hands takes two wakes, so the next lease is called a moment (`overlap`) before the
// commands of the last one should have ended, and arrives when they do. Until they have ended, the
// last one counts as wanting more: it had more when its time was over, or else will say so in a
// moment. Were it taken for idle, and the next for alone, that one would send all that it has,
// without an end.
//
// A command cannot be stopped. If one runs on for longer than `overrun` after its grant was taken
// back, the others no longer wait for it: the device shares itself between them as it can, and the
// time is charged all the same when the command ends. What still runs is no claim to the GPU then:
// it is charged so late that its lease would seem to be owed most, again and again. Ending the
// session was refused: a long kernel is no crime on a GPU that may be alone again in a second.
#pragma once

#include <array>
#include <cstdint>

#include "arbiter/board.h"
#include "arbiter/policy.h"

namespace tessera::arbiter {

struct Timing {
  std::uint64_t overrun_ns = 1'000'000'000;
  std::uint64_t overlap_ns = 100'000;
  // The GPU is an embedded device: default_slice_ns().
  bool on_host_cores = false;
};

class Arbiter {
 public:
  Arbiter(BoardPage& board, const Timing& timing);

  // Looks at the board once and acts; when to look again if nobody rings (CLOCK_MONOTONIC, ns).
  std::uint64_t turn(std::uint64_t now_ns);

 private:
  struct Seen {
    bool wants = false;
    bool busy = false;
    std::uint64_t ends_ns = 0;  // of the busy ones, the latest
  };

  void look();

  bool others_active(std::size_t tenant) const;

  std::uint64_t keep_or_take_back(std::uint64_t now_ns);
  std::uint64_t wait_for_leaving(std::uint64_t now_ns);
  std::uint64_t grant_next(std::uint64_t now_ns);
  void set_end(std::uint64_t until_ns, bool contended);
  void take_back(std::uint64_t now_ns);
  void poke(std::size_t tenant);
  void write_trace(std::uint64_t now_ns);

  BoardPage& board_;
  const Timing timing_;
  PolicyState state_;
  std::array<Seen, kMaxTenants> seen_{};
  std::size_t holder_ = kNobody;
  std::uint64_t granted_ns_ = 0;
  // The lease whose commands are waited for, and since when.
  std::size_t leaving_ = kNobody;
  std::uint64_t leaving_since_ns_ = 0;
  TraceEntry trace_{};
  // What of each lease's device time is in the trace. A command may be charged when its lease has
  // lost the GPU already; it is then in the lease's next stretch, so that nothing is left out.
  std::array<std::uint64_t, kMaxTenants> traced_ns_{};
  // Leases whose commands are no longer waited for.
  std::array<bool, kMaxTenants> overran_{};
  std::uint64_t idle_since_ns_ = 0;
};

}  // namespace tessera::arbiter

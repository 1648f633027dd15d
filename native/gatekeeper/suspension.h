// SPDX-License-Identifier: Apache-2.0
//
// Suspend and resume of a lease: all of its workers, or none.
//
// The daemon's request goes to every worker of the lease (opencl/worker/control.h), and is answered
// when all of them have answered. If one cannot be suspended, those that could are resumed; if one
// cannot be resumed, those that could are suspended again, each from a state that is whole all the
// time. While the lease is not active new clients wait in the listeners' backlogs. A worker that
// ends loses its own session and takes its state file with it.
//
// A suspended lease is no tenant of its GPUs: its share of their time is the others'.
//
// The gatekeeper has one thread, so nothing here waits: what workers say is taken when it is there.
#pragma once

#include <poll.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gatekeeper/control.h"
#include "gatekeeper/options.h"
#include "gatekeeper/tenancy.h"
#include "gatekeeper/workers.h"

namespace tessera::gatekeeper {

class Suspension {
 public:
  // All of them must outlive this. `options.gpus` are changed by a resume on other GPUs.
  Suspension(Options& options, std::optional<Tenancy>& tenancy, Workers& workers)
      : options_(options), tenancy_(tenancy), workers_(workers) {}

  //   suspend-check                     -> ok BYTES DEVICE OBJECTS: what it would take, at least
  //   suspend memory | suspend disk DIR -> the same
  //   resume [P:D:BYTES[@BOARD] ...]    -> ok; BOARD is a path without spaces, the share of the
  //   GPU's
  //                                        time stays
  //   state                             -> ok active | suspended | busy
  // Errors: what a worker says (opencl/worker/state.h), AlreadySuspended, NotSuspended, Busy.
  std::vector<Command> commands();

  bool active() const { return state_ == State::active; }
  // Its state file is of no use any more.
  void worker_ended(std::size_t slot);
  void watch(std::vector<pollfd>& entries) const;
  void serve(std::span<const pollfd> entries);

 private:
  enum class State { active, suspending, undoing_suspend, suspended, resuming, undoing_resume };
  enum class Kind { check, suspend, resume };
  struct Asked {
    std::size_t slot;
    bool answered = false;
    bool ok = false;
  };

  void tell_state(Words words, Answer& answer) const;
  void check(Words words, Answer& answer);
  void suspend(Words words, Answer& answer);
  void resume(Words words, Answer& answer);
  void ask_all(Kind kind, Answer answer);
  void ask(Asked& asked, Kind kind);
  void take(Asked& asked, const std::string& line);
  void conclude_if_all();
  void conclude();
  void undo(Kind kind, State state);
  void give_answer();
  std::string state_file(std::size_t slot) const;

  Options& options_;
  std::optional<Tenancy>& tenancy_;
  Workers& workers_;
  State state_ = State::active;
  Kind kind_ = Kind::check;
  std::string folder_;  // of the state files; empty: memory
  std::vector<Gpu> gpus_before_;
  std::vector<Asked> asked_;
  std::optional<Answer> answer_;
  std::string error_;                    // NAME TEXT of the first worker that said no
  std::array<std::uint64_t, 3> sums_{};  // of what they said otherwise
};

}  // namespace tessera::gatekeeper

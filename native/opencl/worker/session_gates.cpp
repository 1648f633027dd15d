// SPDX-License-Identifier: Apache-2.0
//
// Commands that a user event sets running enter the gates of their devices.
#include <algorithm>
#include <chrono>
#include <map>
#include <thread>

#include "opencl/worker/session.h"

namespace tessera::worker {
namespace {

// How often several GPUs are waited for without holding one; each try may take all others' turns.
constexpr int kTries = 16;

// How long a driver may go on with an event whose end it shows already: it tells those who wait
// for it.
constexpr std::chrono::milliseconds kTelling{1};

}  // namespace

// Waits for none while it holds another: a turn on one GPU is not to pass in a wait for a turn on
// the next. Turns might miss each other for ever, so at last it does hold them.
void Session::enter_all(const std::vector<Gate*>& gates) {
  const auto enter = [&](Gate& gate) {
    if (!gate.try_enter(0)) unlocked([&] { gate.enter(0); });
  };
  auto awaited = gates.begin();
  for (int tries = 0; tries < kTries && gates.size() > 1; ++tries) {
    enter(**awaited);
    std::vector<Gate*> entered{*awaited};
    const auto missing = std::ranges::find_if(gates, [&](Gate* gate) {
      if (gate == *awaited) return false;
      if (!gate->try_enter(0)) return true;
      entered.push_back(gate);
      return false;
    });
    if (missing == gates.end()) return;
    for (Gate* gate : entered) gate->left();
    awaited = missing;
  }
  for (Gate* gate : gates) enter(*gate);
}

// A command may wait for a user event that is about to fail, and for another command that runs.
// Where both end at the same time, PoCL fails it, gives back what it used, and runs it. So what
// runs ends first. A driver tells those who wait for a command only when its end can be seen
// already, and no call says that it has: hence the time on top, which only such a failure costs.
//
// Refused: letting no command wait for both in the driver, but enqueueing it when only one is left.
// Each command behind a user event would pay for it, and the program can fail as well without us.
void Session::let_end_what_is_awaited_beside(const EventEntry& event) {
  const auto awaited = blocked_.awaited_beside(event);
  if (awaited.empty()) return;
  unlocked([&] {
    for (const auto& each : awaited) {
      const cl_event handle = each.get();
      clWaitForEvents(1, &handle);
    }
    std::this_thread::sleep_for(kTelling);
  });
}

// Commands that waited for the event run from here on, so their devices must be granted. If it
// fails, so must those of all others that are blocked: a driver may end one that waits for
// something else as well, and what comes behind it runs.
cl_int Session::set_user_event(EventEntry& event, cl_int status) {
  const bool fails = status < CL_COMPLETE;
  if (fails) let_end_what_is_awaited_beside(event);
  std::map<Gate*, std::vector<Flight>> gated;
  const auto unblock = [&](const Blocked& command) {
    if (const auto completion = command.completion.lock()) completions_.unblock(*completion);
  };
  const auto sort_in = [&](const BlockedCommands::Commands& freed) {
    for (const auto& command : freed) {
      objects_.recount(command->counted, 0);
      unblock(*command);
      Gate* const before = gate_of(*command);
      if (before == nullptr) continue;
      for (Flight flight : command->flights) {
        flight.estimate_ns = flight.cost->estimate(flight.units);
        gated[before].push_back(std::move(flight));
      }
    }
  };
  BlockedCommands::Commands others;
  const auto freed = blocked_.set(event, others);
  sort_in(freed);
  if (fails) {
    // Whichever of them ends with it is found by who tells of its end.
    for (const auto& [number, command] : blocked_.all()) unblock(*command);
    for (const std::uint32_t number : blocked_.gpus()) {
      if (Gate* const before = gate(number)) gated.try_emplace(before);
    }
  }
  std::vector<Gate*> gates;
  for (const auto& [before, flights] : gated) gates.push_back(before);
  enter_all(gates);
  const cl_int set = clSetUserEventStatus(event.handle, status);
  BlockedCommands::Commands ended;
  if (fails) ended = blocked_.free_ended(std::move(others));
  sort_in(ended);
  // `freed` and `ended` keep the events.
  for (const auto& [before, flights] : gated) {
    flights.empty() ? before->left() : before->entered(flights);
  }
  return set;
}

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
//
// How a measuring process is driven: the parent keeps the bare and the leased side alive at once
// and lets them take turns, so that a slow minute of the machine falls on both. Start-up and
// warm-up happen before `ready` and are in no sample; between two turns a process sleeps in read(2)
// and costs nothing.
//
//   child   {"event": "ready", ...}
//   parent  run N
//   child   {"event": "slice", "samples": {NAME: [nanoseconds, ...]}, ...}
//   parent  (end of file)
//   child   {"event": "end"}, and exits 0
//
// One process per slice was refused: each would pay for connection, compilation and first touches
// of memory again, and those would have to be measured out.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::bench {

using Samples = std::map<std::string, std::vector<double>>;  // nanoseconds

// What the session counters of a lease moved by during one measurement; empty on a bare device.
struct Counted {
  std::uint64_t calls = 0, messages = 0, round_trips = 0, wakes = 0, sleeps = 0;
};

struct Slice {
  Samples samples;
  std::map<std::string, Counted> counted;
};

inline std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

// What `ready` says of the process itself: its pid, and the lease it was started in (null on a bare
// device), as members of a JSON object.
std::string process_facts();
std::string quoted(std::string_view text);
std::string to_json(const Samples& samples);
std::string to_json(const Slice& slice);

// A positive decimal number and nothing else.
std::optional<unsigned> number(std::string_view text);

// Prints `ready`, then answers each `run N` with the line that `turn(N)` returns, until standard
// input ends. Returns the exit status: 2 for a line that is no command.
int serve_turns(const std::string& ready, const std::function<std::string(unsigned)>& turn);

// The same with a slice of N rounds as the answer. With `rounds` > 0 nothing is read: that many
// slices of one round are printed.
int serve(const std::string& ready, unsigned rounds, const std::function<void(Slice&)>& round);

// Reads `--rounds N` or `--lockstep`; prints the usage and exits with 2 on anything else.
unsigned rounds_from(int argc, char** argv);

}  // namespace tessera::bench

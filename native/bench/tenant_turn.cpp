// SPDX-License-Identifier: Apache-2.0
#include "bench/tenant_turn.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <sstream>
#include <thread>

namespace tessera::bench {
namespace {

void sleep_until(std::uint64_t moment_ns) {
  const std::uint64_t now = now_ns();
  if (now < moment_ns) std::this_thread::sleep_for(std::chrono::nanoseconds(moment_ns - now));
}

void count(TenantSlice& slice, const Ran& ran) {
  ++slice.kernels;
  slice.device_ns += ran.device_ns();
  slice.longest_ns = std::max(slice.longest_ns, ran.device_ns());
}

void tick(TenantSlice& slice) {
  const std::uint64_t now = now_ns();
  if (slice.ticks.empty() || now - slice.ticks.back().at_ns >= kTickNs) {
    slice.ticks.push_back({now, slice.kernels, slice.device_ns});
  }
}

}  // namespace

std::string to_json(const TenantSlice& slice) {
  std::ostringstream out;
  out << "{\"event\": \"slice\", \"began_ns\": " << slice.began_ns
      << ", \"ended_ns\": " << slice.ended_ns << ", \"kernels\": " << slice.kernels
      << ", \"device_ns\": " << slice.device_ns << ", \"longest_ns\": " << slice.longest_ns
      << ", \"ticks\": [";
  const char* separator = "";
  for (const Tick& one : slice.ticks) {
    out << separator << '[' << one.at_ns << ", " << one.kernels << ", " << one.device_ns << ']';
    separator = ", ";
  }
  out << "], \"samples\": " << to_json(slice.samples) << '}';
  return out.str();
}

TenantSlice Tenant::turn(std::uint64_t length_ns) {
  TenantSlice slice;
  slice.began_ns = now_ns();
  tick(slice);
  const std::uint64_t until = slice.began_ns + length_ns;
  switch (options_.mode) {
    case Mode::saturating:
      saturate(slice, until);
      break;
    case Mode::interactive:
      interact(slice, until);
      break;
    case Mode::phased:
      alternate(slice, until);
      break;
  }
  slice.ended_ns = now_ns();
  slice.ticks.push_back({slice.ended_ns, slice.kernels, slice.device_ns});
  return slice;
}

// Refills when half of what was in flight is done: to wait for each kernel would cost one wake per
// kernel, on the embedded device from the cores that compute.
void Tenant::saturate(TenantSlice& slice, std::uint64_t until_ns) {
  std::deque<cl_event> flying;
  const auto land = [&](std::size_t left) {
    if (flying.size() <= left) return;
    Spinner::wait(flying[flying.size() - left - 1]);  // in order: all before it are done too
    for (; flying.size() > left; flying.pop_front()) count(slice, Spinner::take(flying.front()));
    tick(slice);
  };
  while (now_ns() < until_ns) {
    while (flying.size() < options_.in_flight) flying.push_back(spinner_.launch());
    land(options_.in_flight / 2);
  }
  land(0);
}

// Thinks between half and one and a half of the mean, so that it does not fall into step with
// anybody's time slices.
void Tenant::interact(TenantSlice& slice, std::uint64_t until_ns) {
  std::uniform_real_distribution<double> part(0.5, 1.5);
  while (now_ns() < until_ns) {
    const std::uint64_t start = now_ns();
    const cl_event event = spinner_.launch();
    Spinner::wait(event);
    const std::uint64_t latency = now_ns() - start;
    const Ran ran = Spinner::take(event);
    count(slice, ran);
    tick(slice);
    slice.samples["latency"].push_back(static_cast<double>(latency));
    slice.samples["wait"].push_back(static_cast<double>(latency) -
                                    static_cast<double>(ran.device_ns()));
    const double think = static_cast<double>(options_.think_ns) * part(random_);
    sleep_until(std::min(until_ns, now_ns() + static_cast<std::uint64_t>(think)));
  }
}

void Tenant::alternate(TenantSlice& slice, std::uint64_t until_ns) {
  for (std::uint64_t phase = slice.began_ns; phase < until_ns;) {
    phase += options_.idle_ns;
    sleep_until(std::min(phase, until_ns));
    tick(slice);
    phase += options_.work_ns;
    saturate(slice, std::min(phase, until_ns));
  }
}

}  // namespace tessera::bench

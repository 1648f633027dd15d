// SPDX-License-Identifier: Apache-2.0
//
// What a tenant does in one turn, and what it tells of it.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "bench/lockstep.h"
#include "bench/spinner.h"

namespace tessera::bench {

enum class Mode { saturating, interactive, phased };

struct TenantOptions {
  Mode mode = Mode::saturating;
  std::uint64_t kernel_ns = 300'000;
  std::uint32_t loops = 0;              // of a kernel, instead of finding as many as take kernel_ns
  unsigned in_flight = 8;               // kernels that are queued at once; saturating and phased
  std::uint64_t think_ns = 20'000'000;  // mean pause of an interactive tenant
  std::uint64_t idle_ns = 0, work_ns = 0;  // phased: first idle, then at work, and again
  unsigned seed = 1;
};

// How far a tenant had come at a moment of CLOCK_MONOTONIC.
struct Tick {
  std::uint64_t at_ns, kernels, device_ns;
};

// A member of the JSON slice for each field; times in nanoseconds, of CLOCK_MONOTONIC where they
// are moments. Samples, of interactive tenants: `latency` from the launch to its end as the program
// sees it, `wait` the same less the kernel's own time on the device.
struct TenantSlice {
  std::uint64_t began_ns = 0, ended_ns = 0;
  std::uint64_t kernels = 0, device_ns = 0, longest_ns = 0;
  std::vector<Tick> ticks;  // every kTickNs
  Samples samples;
};

inline constexpr std::uint64_t kTickNs = 50'000'000;

std::string to_json(const TenantSlice& slice);

class Tenant {
 public:
  Tenant(const Spinner& spinner, const TenantOptions& options)
      : spinner_(spinner), options_(options), random_(options.seed) {}

  TenantSlice turn(std::uint64_t length_ns);

 private:
  void saturate(TenantSlice& slice, std::uint64_t until_ns);
  void interact(TenantSlice& slice, std::uint64_t until_ns);
  void alternate(TenantSlice& slice, std::uint64_t until_ns);

  const Spinner& spinner_;
  const TenantOptions options_;
  std::mt19937_64 random_;
};

}  // namespace tessera::bench

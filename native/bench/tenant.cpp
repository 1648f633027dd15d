// SPDX-License-Identifier: Apache-2.0
//
// tessera-bench-tenant: a program that wants the device, all the time, now and then, or in phases.
// Several of them at once show what a policy does. A turn is a number of milliseconds.
#include <cstdlib>
#include <iostream>
#include <map>
#include <optional>
#include <string_view>

#include "bench/device.h"
#include "bench/lockstep.h"
#include "bench/spinner.h"
#include "bench/tenant_turn.h"

namespace tessera::bench {
namespace {

constexpr std::uint64_t kUs = 1'000, kMs = 1'000'000;

constexpr const char* kUsage =
    " saturating|interactive|phased [OPTION N]... (--lockstep | --ms N)\n"
    "  --kernel-us N   device time of one kernel (300), for which the loops are found at the "
    "start\n"
    "  --loops N       loops of a kernel, instead\n"
    "  --in-flight N   kernels queued at once (8); saturating, phased\n"
    "  --think-us N    mean pause after a kernel (20000); interactive\n"
    "  --idle-ms N     and\n"
    "  --work-ms N     length of the phases, the idle one first; phased\n"
    "  --seed N        of the pauses' lengths (1)\n";

struct Arguments {
  TenantOptions options;
  unsigned turn_ms = 0;  // 0: in lockstep
};

bool set_mode(std::string_view word, TenantOptions& options) {
  const std::map<std::string_view, Mode> modes{{"saturating", Mode::saturating},
                                               {"interactive", Mode::interactive},
                                               {"phased", Mode::phased}};
  const auto found = modes.find(word);
  if (found == modes.end()) return false;
  options.mode = found->second;
  return true;
}

bool set_option(std::string_view name, unsigned value, Arguments& arguments) {
  TenantOptions& options = arguments.options;
  if (name == "--kernel-us") return options.kernel_ns = value * kUs, true;
  if (name == "--loops") return options.loops = value, true;
  if (name == "--in-flight") return options.in_flight = value, true;
  if (name == "--think-us") return options.think_ns = value * kUs, true;
  if (name == "--idle-ms") return options.idle_ns = value * kMs, true;
  if (name == "--work-ms") return options.work_ns = value * kMs, true;
  if (name == "--seed") return options.seed = value, true;
  if (name == "--ms") return arguments.turn_ms = value, true;
  return false;
}

std::optional<Arguments> parse(int argc, char** argv) {
  Arguments arguments;
  if (argc < 2 || !set_mode(argv[1], arguments.options)) return std::nullopt;
  bool lockstep = false;
  for (int i = 2; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--lockstep") {
      lockstep = true;
      continue;
    }
    const auto value = i + 1 < argc ? number(argv[i + 1]) : std::optional<unsigned>{};
    if (!value || !set_option(argv[i], *value, arguments)) return std::nullopt;
    ++i;
  }
  const TenantOptions& options = arguments.options;
  const bool phases = options.idle_ns > 0 && options.work_ns > 0;
  if ((options.mode == Mode::phased) != phases) return std::nullopt;
  if (lockstep == (arguments.turn_ms > 0)) return std::nullopt;
  return arguments;
}

std::string ready_line(const Device& device, const Spinner& spinner) {
  std::string line = device.ready_line();
  line.pop_back();
  return line + ", \"loops\": " + std::to_string(spinner.loops()) +
         ", \"kernel_ns\": " + std::to_string(spinner.device_ns()) + "}";
}

}  // namespace
}  // namespace tessera::bench

int main(int argc, char** argv) {
  using namespace tessera::bench;
  const auto arguments = parse(argc, argv);
  if (!arguments) {
    std::cerr << "usage: " << argv[0] << kUsage;
    return 2;
  }
  const Device device;
  const Spinner spinner(device, arguments->options.kernel_ns, arguments->options.loops);
  Tenant tenant(spinner, arguments->options);
  const std::string ready = ready_line(device, spinner);
  const auto turn = [&](unsigned ms) { return to_json(tenant.turn(ms * kMs)); };
  if (arguments->turn_ms == 0) return serve_turns(ready, turn);
  std::cout << ready << std::endl;  // who started it may wait for that
  std::cout << turn(arguments->turn_ms) << '\n';
  return 0;
}

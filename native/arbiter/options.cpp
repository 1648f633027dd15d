// SPDX-License-Identifier: Apache-2.0
#include "arbiter/options.h"

#include <charconv>
#include <string_view>
#include <utility>

namespace tessera::arbiter {

const char kUsage[] =
    "usage: tessera-arbiter --board PATH --gpu ID [--policy best-effort|equal|fixed|weighted]\n"
    "                       [--slice-us N] [--overrun-ms N] [--overlap-us N] [--on-host-cores]\n"
    "                       [--ready-fd N]\n"
    "       tessera-arbiter --print-board-layout\n";

namespace {

template <class Number>
Number number(std::string_view text, std::string_view name) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw UsageError(std::string(name) + ": " + std::string(text) + " is not a number");
  }
  return value;
}

PolicyKind policy(std::string_view text) {
  constexpr std::pair<std::string_view, PolicyKind> kNames[] = {
      {"best-effort", PolicyKind::best_effort},
      {"equal", PolicyKind::equal},
      {"fixed", PolicyKind::fixed},
      {"weighted", PolicyKind::weighted}};
  for (const auto& [name, kind] : kNames) {
    if (name == text) return kind;
  }
  throw UsageError("--policy " + std::string(text) + " is unknown");
}

std::uint32_t slice(std::string_view text) {
  const auto us = number<std::uint32_t>(text, "--slice-us");
  if (us != 0 && (us < kMinSliceUs || us > kMaxSliceUs)) {
    throw UsageError("--slice-us is 0 or " + std::to_string(kMinSliceUs) + " to " +
                     std::to_string(kMaxSliceUs));
  }
  return us;
}

}  // namespace

std::optional<Options> parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name(argv[i]);
    if (name == "--print-board-layout") return std::nullopt;
    if (name == "--on-host-cores") {
      options.timing.on_host_cores = true;
      continue;
    }
    if (i + 1 == argc) throw UsageError(std::string(name) + " is unknown or has no value");
    const std::string_view value(argv[++i]);
    if (name == "--board") {
      options.board = value;
    } else if (name == "--gpu") {
      options.gpu = value;
    } else if (name == "--policy") {
      options.policy = policy(value);
    } else if (name == "--slice-us") {
      options.slice_us = slice(value);
    } else if (name == "--overrun-ms") {
      options.timing.overrun_ns =
          number<std::uint32_t>(value, "--overrun-ms") * std::uint64_t{1'000'000};
    } else if (name == "--overlap-us") {
      options.timing.overlap_ns =
          number<std::uint32_t>(value, "--overlap-us") * std::uint64_t{1'000};
    } else if (name == "--ready-fd") {
      options.ready_fd = number<int>(value, "--ready-fd");
    } else {
      throw UsageError(std::string(name) + " is unknown");
    }
  }
  if (options.board.empty() || options.gpu.empty())
    throw UsageError("--board and --gpu are needed");
  return options;
}

}  // namespace tessera::arbiter

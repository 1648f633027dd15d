// SPDX-License-Identifier: Apache-2.0
#include "gatekeeper/options.h"

#include <charconv>
#include <string_view>

#include "lease/quota.h"

namespace tessera::gatekeeper {

const char kUsage[] =
    "usage: tessera-gatekeeper --lease ID --listen PATH [--listen-tcp HOST:PORT --token-file "
    "PATH]\n"
    "                          --quota PATH --control PATH --gpu P:D:BYTES\n"
    "                          [--board PATH [--share PPM]] [--gpu ...] [--weight N]\n"
    "                          --worker PATH [--after-fd N] [--ready-fd N]\n"
    "       tessera-gatekeeper --print-quota-layout\n";

namespace {

template <class Number>
bool parse_number(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

Gpu parse_gpu(const std::string& text) {
  const std::string_view view(text);
  const std::size_t first = view.find(':');
  const std::size_t second = first == view.npos ? first : view.find(':', first + 1);
  std::uint32_t platform = 0;
  std::uint32_t device = 0;
  Gpu gpu;
  gpu.argument = text;
  if (second == view.npos || !parse_number(view.substr(0, first), platform) ||
      !parse_number(view.substr(first + 1, second - first - 1), device) ||
      !parse_number(view.substr(second + 1), gpu.bytes)) {
    throw UsageError("--gpu " + text + " is not PLATFORM:DEVICE:BYTES");
  }
  return gpu;
}

namespace {

void require(const std::string& value, const char* name) {
  if (value.empty()) throw UsageError(std::string(name) + " is missing");
}

// --board and --share belong to the --gpu before them.
Gpu& latest_gpu(Options& options, std::string_view name) {
  if (options.gpus.empty()) throw UsageError(std::string(name) + " comes behind a --gpu");
  return options.gpus.back();
}

std::uint32_t number_within(std::string_view text, std::uint32_t most, std::string_view name) {
  std::uint32_t value = 0;
  if (!parse_number(text, value) || value < 1 || value > most) {
    throw UsageError(std::string(name) + " is a number of 1 to " + std::to_string(most));
  }
  return value;
}

int descriptor(std::string_view text, std::string_view name) {
  int value = -1;
  if (!parse_number(text, value) || value < 0) {
    throw UsageError(std::string(name) + " is not a descriptor");
  }
  return value;
}

void check(const Options& options) {
  require(options.lease, "--lease");
  require(options.listen, "--listen");
  require(options.quota, "--quota");
  require(options.control, "--control");
  require(options.worker, "--worker");
  if (options.gpus.empty() || options.gpus.size() > kMaxGpus) {
    throw UsageError("1 to " + std::to_string(kMaxGpus) + " --gpu are needed");
  }
  if (!options.listen_tcp.empty()) require(options.token_file, "--token-file");
}

}  // namespace

std::optional<Options> parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name(argv[i]);
    if (name == "--print-quota-layout") return std::nullopt;
    if (i + 1 == argc) throw UsageError(std::string(name) + " is unknown or has no value");
    const std::string value(argv[++i]);
    if (name == "--lease") {
      options.lease = value;
    } else if (name == "--listen") {
      options.listen = value;
    } else if (name == "--listen-tcp") {
      options.listen_tcp = value;
    } else if (name == "--token-file") {
      options.token_file = value;
    } else if (name == "--quota") {
      options.quota = value;
    } else if (name == "--control") {
      options.control = value;
    } else if (name == "--worker") {
      options.worker = value;
    } else if (name == "--gpu") {
      options.gpus.push_back(parse_gpu(value));
    } else if (name == "--board") {
      latest_gpu(options, name).board = value;
    } else if (name == "--share") {
      latest_gpu(options, name).share_ppm = number_within(value, kWholeDevice, name);
    } else if (name == "--weight") {
      options.weight = number_within(value, kMaxWeight, name);
    } else if (name == "--after-fd") {
      options.after_fd = descriptor(value, name);
    } else if (name == "--ready-fd") {
      options.ready_fd = descriptor(value, name);
    } else {
      throw UsageError(std::string(name) + " is unknown");
    }
  }
  check(options);
  return options;
}

}  // namespace tessera::gatekeeper

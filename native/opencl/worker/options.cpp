// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/options.h"

#include <array>
#include <charconv>
#include <string>
#include <string_view>

#include "arbiter/board.h"
#include "lease/quota.h"

namespace tessera::worker {

const char kUsage[] =
    "usage: tessera-worker --fd N --slot K --quota-fd N --gpu P:D:BYTES [--gpu ...]\n"
    "                      [--board K:FD:TENANT ...] [--control-fd N] [--token-fd N]\n"
    "       (started by tessera-gatekeeper)\n";

namespace {

template <class Number>
Number number(std::string_view text, const char* name) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw UsageError(std::string(name) + ": " + std::string(text) + " is not a number");
  }
  return value;
}

// The three parts of A:B:C.
std::array<std::string_view, 3> triple(std::string_view text, const char* what) {
  const std::size_t first = text.find(':');
  const std::size_t second = first == text.npos ? first : text.find(':', first + 1);
  if (second == text.npos) throw UsageError(what);
  return {text.substr(0, first), text.substr(first + 1, second - first - 1),
          text.substr(second + 1)};
}

}  // namespace

GpuOption parse_gpu(std::string_view text) {
  const auto [platform, device, bytes] = triple(text, "--gpu is PLATFORM:DEVICE:BYTES");
  number<std::uint64_t>(bytes, "--gpu");
  return {number<std::uint32_t>(platform, "--gpu"), number<std::uint32_t>(device, "--gpu")};
}

namespace {

BoardOption board(std::string_view text) {
  const auto [gpu, fd, tenant] = triple(text, "--board is GPU:FD:TENANT");
  return {number<std::size_t>(gpu, "--board"), number<int>(fd, "--board"),
          number<std::size_t>(tenant, "--board")};
}

}  // namespace

Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name(argv[i]);
    const std::string_view value(argv[i + 1]);
    if (name == "--fd") {
      options.fd = number<int>(value, "--fd");
    } else if (name == "--slot") {
      options.slot = number<std::size_t>(value, "--slot");
    } else if (name == "--quota-fd") {
      options.quota_fd = number<int>(value, "--quota-fd");
    } else if (name == "--control-fd") {
      options.control_fd = number<int>(value, "--control-fd");
    } else if (name == "--token-fd") {
      options.token_fd = number<int>(value, "--token-fd");
    } else if (name == "--gpu") {
      options.gpus.push_back(parse_gpu(value));
    } else if (name == "--board") {
      options.boards.push_back(board(value));
    } else {
      throw UsageError(std::string(name) + " is unknown");
    }
  }
  if (argc % 2 == 0) throw UsageError(std::string(argv[argc - 1]) + " has no value");
  if (options.fd < 0 || options.quota_fd < 0) throw UsageError("--fd and --quota-fd are needed");
  if (options.gpus.empty() || options.gpus.size() > kMaxGpus) {
    throw UsageError("1 to " + std::to_string(kMaxGpus) + " --gpu are needed");
  }
  for (const auto& board : options.boards) {
    if (board.gpu >= options.gpus.size() || board.tenant >= kMaxTenants) {
      throw UsageError("--board names a GPU or a place that is not there");
    }
  }
  return options;
}

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/program_options.h"

#include <algorithm>
#include <array>
#include <vector>

#include "opencl/option_words.h"

namespace tessera::worker {
namespace {

constexpr std::string_view kArgInfo = "-cl-kernel-arg-info";

// Defined by OpenCL or its extensions, or only about warnings, optimisation and debugging.
bool is_harmless(std::string_view option) {
  constexpr std::array<std::string_view, 11> exact = {"-w",
                                                      "-g",
                                                      "-O",
                                                      "-O0",
                                                      "-O1",
                                                      "-O2",
                                                      "-O3",
                                                      "-ffast-math",
                                                      "-nv-line-info",
                                                      "-create-library",
                                                      "-enable-link-options"};
  constexpr std::array<std::string_view, 3> prefixes = {"-cl-", "-spir-std=", "-W"};
  if (std::ranges::find(exact, option) != exact.end()) return true;
  // -Wa, -Wl, and -Wp, hand options on to other programs.
  if (option.find(',') != option.npos) return false;
  return std::ranges::any_of(prefixes, [&](auto prefix) { return option.starts_with(prefix); });
}

class Filter {
 public:
  explicit Filter(std::vector<OptionWord> words) : words_(std::move(words)) {}

  bool run() {
    while (at_ < words_.size()) {
      if (!take()) return false;
    }
    return true;
  }
  std::string result() { return std::move(result_); }
  // The option at which run() ended, as the program wrote it.
  std::string_view refused() const { return at_ < words_.size() ? words_[at_].written : ""; }

 private:
  bool take() {
    const std::string_view plain = words_[at_].plain;
    if (plain.empty()) return skip(1);
    if (plain == "-D" || plain == "-U") return pass(2);
    if (plain.starts_with("-D") || plain.starts_with("-U")) return pass(1);
    if (plain == "-I") return skip(2);
    if (plain.starts_with("-I")) return skip(1);
    if (plain == "-x") {
      // The language of the input; files of other languages are none of a client's business.
      const bool known = at_ + 1 < words_.size() &&
                         (words_[at_ + 1].plain == "spir" || words_[at_ + 1].plain == "cl" ||
                          words_[at_ + 1].plain == "clc++");
      return known && pass(2);
    }
    return is_harmless(plain) && pass(1);
  }

  bool skip(std::size_t words) {
    if (at_ + words > words_.size()) return false;
    at_ += words;
    return true;
  }

  // As it was written: the driver undoes the quotes itself.
  bool pass(std::size_t words) {
    if (at_ + words > words_.size()) return false;
    for (; words != 0; --words, ++at_) {
      if (!result_.empty()) result_ += ' ';
      result_ += words_[at_].written;
    }
    return true;
  }

  std::vector<OptionWord> words_;
  std::size_t at_ = 0;
  std::string result_;
};

}  // namespace

std::optional<std::string> options_for_driver(std::string_view options) {
  auto words = split_options(options.substr(0, options.find('\0')));
  if (!words) return std::nullopt;
  Filter filter(std::move(*words));
  if (!filter.run()) return std::nullopt;
  return filter.result();
}

std::string why_refused(std::string_view options) {
  auto words = split_options(options.substr(0, options.find('\0')));
  if (!words) return "Invalid build options: a quote is not closed\n";
  Filter filter(std::move(*words));
  if (filter.run()) return {};
  return "Invalid build option: " + std::string(filter.refused()) + "\n";
}

std::string with_kernel_arg_info(std::string options) {
  const auto words = split_options(options);
  const auto asks = [](const OptionWord& word) { return word.plain == kArgInfo; };
  if (words && std::ranges::any_of(*words, asks)) return options;
  if (!options.empty()) options += ' ';
  return options.append(kArgInfo);
}

}  // namespace tessera::worker

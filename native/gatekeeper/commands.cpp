// SPDX-License-Identifier: Apache-2.0
#include "gatekeeper/commands.h"

#include <charconv>
#include <cstdint>
#include <string>

namespace tessera::gatekeeper {
namespace {

std::uint64_t number(std::string_view word) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) throw WrongForm();
  return value;
}

void resize(Quota& quota, Words words, Answer& answer) {
  if (words.empty() || words.size() % 2 != 0) throw WrongForm();
  std::vector<NewLimit> limits;
  for (std::size_t i = 0; i < words.size(); i += 2) {
    limits.push_back({number(words[i]), number(words[i + 1])});
    if (limits.back().gpu >= quota.page().gpu_count) {
      return answer.error("no-such-gpu", "the lease has no GPU " + std::string(words[i]));
    }
  }
  if (const auto below = quota.resize(limits)) {
    return answer.error("below-use", "GPU " + std::to_string(below->gpu) + " has " +
                                         std::to_string(below->used) + " bytes in use");
  }
  answer.ok();
}

}  // namespace

std::vector<Command> lease_commands(Quota& quota) {
  return {{"resize", "resize GPU BYTES [GPU BYTES ...]",
           [&quota](Words words, Answer& answer) { resize(quota, words, answer); }}};
}

}  // namespace tessera::gatekeeper

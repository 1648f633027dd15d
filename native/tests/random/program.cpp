// SPDX-License-Identifier: Apache-2.0
#include "tests/random/program.h"

#include <array>
#include <cstring>
#include <sstream>
#include <stdexcept>

namespace tessera::random {
namespace {

constexpr std::array<const char*, static_cast<std::size_t>(Kind::count)> kKindNames = {
    "rectangles",       "sub_buffers", "maps",        "images",
    "buffer_images",    "svm",         "svm_buffers", "host_pointers",
    "staging",          "user_events", "failures",    "callbacks",
    "releases",         "destructors", "prints",      "profiling",
    "rebuilds",         "threads",     "blocking",    "lazy",
    "blocked_failures", "strict"};

unsigned kind_of(const std::string& name) {
  for (unsigned i = 0; i < kKindNames.size(); ++i) {
    if (name == kKindNames[i]) return i;
  }
  throw std::invalid_argument("no kind '" + name + "'; the kinds are " + Kinds::names());
}

}  // namespace

Kinds Kinds::usual() {
  Kinds kinds;
  kinds.bits_ = (std::uint64_t{1} << static_cast<unsigned>(Kind::blocked_failures)) - 1;
  return kinds;
}

std::string Kinds::names() {
  std::string all;
  for (const char* name : kKindNames) all += (all.empty() ? "" : ",") + std::string(name);
  return all;
}

Kinds Kinds::parse(const std::string& text) {
  Kinds kinds = usual();
  bool listed = false;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    if (word == "usual") {
      kinds = usual();
    } else if (word == "all") {
      kinds.bits_ = (std::uint64_t{1} << kKindNames.size()) - 1;
    } else if (word.starts_with("-")) {
      kinds.bits_ &= ~(std::uint64_t{1} << kind_of(word.substr(1)));
    } else {
      if (!listed) kinds.bits_ = 0;
      listed = true;
      kinds.bits_ |= std::uint64_t{1} << kind_of(word);
    }
  }
  return kinds;
}

int Plan::root(int object) const {
  while (objects[object].parent >= 0) object = objects[object].parent;
  return object;
}

std::size_t Plan::root_offset(int object) const {
  std::size_t offset = 0;
  for (; object >= 0; object = objects[object].parent) offset += objects[object].offset;
  return offset;
}

bool is_command(Op op) {
  return op >= Op::write && op <= Op::migrate;
}

bool makes_event(const Step& step) {
  return step.op == Op::user_event || (is_command(step.op) && step.has_event);
}

void fill_pattern(std::uint64_t value, std::uint8_t* at, std::size_t bytes) {
  std::uint64_t state = value * 0x9E3779B97F4A7C15u + 1;
  for (std::size_t i = 0; i < bytes; i += 8) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const std::uint64_t word = state ^ (state >> 29);
    std::memcpy(at + i, &word, bytes - i < 8 ? bytes - i : 8);
  }
}

}  // namespace tessera::random

// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "tests/conformance/runner.h"
#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

// One record is one line: a letter, the case's place, a detail without line breaks.
void record(int fd, char letter, std::size_t index, std::string detail = "") {
  for (char& c : detail) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  const std::string line =
      std::string(1, letter) + " " + std::to_string(index) + " " + detail + "\n";
  std::size_t at = 0;
  while (at < line.size()) {
    const ssize_t n = ::write(fd, line.data() + at, line.size() - at);
    if (n <= 0) ::_exit(3);
    at += static_cast<std::size_t>(n);
  }
}

void run_one(const Case& one, std::size_t index, int fd, bool deviations) {
  record(fd, 'B', index);
  try {
    World& w = world();
    const char* deviation = bare_deviation(one.name());
    if (deviation != nullptr && !w.tessera && !deviations) {
      record(fd, 'S', index, std::string("bare_deviation: ") + deviation);
      return;
    }
    one.run(w);
    record(fd, 'P', index);
  } catch (const Skip& skip) {
    record(fd, 'S', index, skip.what());
  } catch (const std::exception& error) {
    record(fd, 'F', index, error.what());
  }
}

}  // namespace

int run_child(const std::vector<const Case*>& order, std::size_t first, int report_fd,
              bool deviations) {
  // What the bare device gets wrong may ruin the memory of its process, also for its exit.
  const auto is_harmful = [&](const Case& one) {
    return deviations && bare_deviation(one.name()) != nullptr;
  };
  for (std::size_t i = first; i < order.size(); ++i) {
    const bool alone = order[i]->isolated || is_harmful(*order[i]);
    if (alone && i != first) break;
    run_one(*order[i], i, report_fd, deviations);
    if (is_harmful(*order[i])) {
      record(report_fd, 'E', 0);
      ::_exit(0);
    }
    if (alone) break;
  }
  std::fflush(nullptr);
  record(report_fd, 'E', 0);
  return 0;
}

}  // namespace tessera::conformance

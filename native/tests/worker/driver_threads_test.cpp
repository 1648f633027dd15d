// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/driver_threads.h"

#include <algorithm>
#include <set>
#include <string>

#include "check.h"
#include "worker/sleeping_threads.h"

namespace tessera::test {
namespace {

void one_core_for_each() {
  const int cores = usable_cores();
  const Threads threads(cores);
  const auto before = threads.cores();
  worker::DriverThreads driver;
  driver.adopt(threads.ids);
  CHECK(threads.cores() == before);
  driver.keep_apart();
  driver.keep_apart();
  driver.let_loose();
  const auto used = threads.cores();
  CHECK(static_cast<int>(std::set(used.begin(), used.end()).size()) == cores);
  for (const auto& set : used) CHECK(std::ranges::count(set, '1') == 1);
  driver.let_loose();
  CHECK(threads.cores() == before);
}

void other_numbers_are_left_alone() {
  const Threads threads(usable_cores() + 1);
  const auto before = threads.cores();
  worker::DriverThreads driver;
  driver.adopt(threads.ids);
  driver.keep_apart();
  CHECK(threads.cores() == before);
  driver.let_loose();
  CHECK(threads.cores() == before);
}

}  // namespace
}  // namespace tessera::test

int main() {
  tessera::test::one_core_for_each();
  tessera::test::other_numbers_are_left_alone();
}

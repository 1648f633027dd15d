// SPDX-License-Identifier: Apache-2.0
//
// A wait spins where spinning works, and hardly ever where it does not.
#include "transport/adaptive_spin.h"

#include "check.h"

namespace tessera::test {
namespace {

// Of `waits` waits, how many spun; all of them with the same outcome.
int spun(AdaptiveSpin& spin, int waits, bool found) {
  int count = 0;
  for (int i = 0; i < waits; ++i) {
    if (!spin.is_due()) continue;
    ++count;
    spin.record(found);
  }
  return count;
}

bool has_several_cores() {
  return AdaptiveSpin().is_due();
}

void test_what_works_goes_on() {
  AdaptiveSpin spin;
  CHECK(spun(spin, 1000, true) == 1000);
}

void test_what_does_not_is_tried_ever_less() {
  AdaptiveSpin spin;
  CHECK(spun(spin, 10, false) <= 3);
  CHECK(spun(spin, 10'000, false) < 60);
}

void test_a_pause_costs_one() {
  AdaptiveSpin spin;
  CHECK(spun(spin, 1, false) == 1);
  CHECK(spun(spin, 100, true) == 99);
  CHECK(spun(spin, 1, false) == 1);
  CHECK(spun(spin, 100, true) == 99);
}

void test_it_comes_back() {
  AdaptiveSpin spin;
  spun(spin, 10'000, false);
  CHECK(spun(spin, 1000, true) > 700);
}

}  // namespace
}  // namespace tessera::test

int main() {
  if (!tessera::test::has_several_cores()) return 0;
  tessera::test::test_what_works_goes_on();
  tessera::test::test_what_does_not_is_tried_ever_less();
  tessera::test::test_a_pause_costs_one();
  tessera::test::test_it_comes_back();
}

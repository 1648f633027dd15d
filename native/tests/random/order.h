// SPDX-License-Identifier: Apache-2.0
//
// What happens before what, as the standard says it, for one program.
//
// Each step has three points: its call begins, its call has returned, and (a command, a user event)
// it is done. An edge leads from a point to one that cannot come earlier. What follows from the
// edges is all that a program may rely on, so everything else is a race, which the generator
// avoids, and everything that follows is a promise, which the runner holds the device to.
//
// Steps are in an order that is possible, but points are not in the order of their steps: a command
// behind a user event is done after a later step has set that event. So the points are sorted.
//
// A model that runs interleavings was refused: they are too many, and it would not say *why* a
// result is determined. Here one set of points, those before a point, is the whole answer.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/random/program.h"

namespace tessera::random {

using Point = int;
inline Point begin_of(int step) {
  return 3 * step;
}
inline Point end_of(int step) {
  return 3 * step + 1;
}
inline Point done_of(int step) {
  return 3 * step + 2;
}

class Order {
 public:
  explicit Order(const Plan& plan);

  // No point is before itself: the program can run to its end.
  bool is_possible() const { return possible_; }
  bool before(Point a, Point b) const { return past_.has(b, a); }
  // By the threads and what they wait for of each other alone, without OpenCL.
  bool host_before(int a, int b) const { return host_.has(b, a); }
  // A command that a failed event ends before it begins.
  bool is_failing(int step) const { return failing_[step]; }
  // Which step sets a user event: itself, or a callback; -1: none.
  int setter(int user_event) const { return setter_[user_event]; }
  bool waits_for_user_event(int step) const;
  // For one that may not be set yet when the call of `at` begins.
  bool waits_for_open_user_event(int step, int at) const;
  // All points, each behind those that are before it.
  const std::vector<Point>& sequence() const { return sequence_; }

 private:
  class Rows {
   public:
    void resize(int count);
    bool has(int row, int bit) const {
      return (words_[row * width_ + bit / 64] >> (bit % 64) & 1) != 0;
    }
    void add(int row, int bit) { words_[row * width_ + bit / 64] |= std::uint64_t{1} << bit % 64; }
    // `row` gets `other` and all that `other` has.
    void follow(int row, int other);

   private:
    int width_ = 0;
    std::vector<std::uint64_t> words_;
  };

  void edge(Point from, Point to) { sources_[to].push_back(from); }
  void order_host(const Plan& plan);
  void find_failing(const Plan& plan);
  void edges_of_host(const Plan& plan);
  void edges_of_command(const Plan& plan, int step);
  void edges_of_waits(const Plan& plan, int step);
  void edges_of_queue(const Plan& plan, int step);
  void sort();

  int count_;
  bool possible_ = false;
  std::vector<bool> failing_;
  std::vector<int> setter_;
  std::vector<int> previous_;  // of the same thread
  std::vector<std::vector<Point>> sources_;
  std::vector<int> user_events_;
  std::vector<Point> sequence_;
  Rows past_, host_;
};

}  // namespace tessera::random

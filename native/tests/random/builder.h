// SPDX-License-Identifier: Apache-2.0
//
// A program under construction: takes a step only where the result stays determined.
#pragma once

#include <vector>

#include "tests/random/choice.h"
#include "tests/random/order.h"
#include "tests/random/program.h"

namespace tessera::random {

class Builder {
 public:
  Builder(Plan& plan, const Kinds& kinds, Choice& choice)
      : plan_(plan), kinds_(kinds), choice_(choice) {}

  // Adds `step`, with what orders it where that is needed; its index, or -1 where it cannot be.
  int add(Step step);

  // Who will set a user event that nobody sets yet.
  void promise(int user_event, int thread) { promised_.push_back({user_event, thread}); }
  std::vector<int> unset() const;
  int setter_thread(int user_event) const;

 private:
  struct Promise {
    int user_event, thread;
  };

  bool is_right(int first) const;
  bool keeps_promises(const Order& order) const;
  void know_handles(int step);
  bool try_as_it_is(const Step& step);
  bool try_way(Step step, const std::vector<int>& races);
  bool order_by_events(Step& step, const std::vector<int>& commands);
  void order_by_host(Step& step, const std::vector<int>& commands);
  bool order_by_marker(Step& step, const std::vector<int>& commands);
  void append(Step step);

  Plan& plan_;
  const Kinds& kinds_;
  Choice& choice_;
  std::vector<Promise> promised_;
};

}  // namespace tessera::random

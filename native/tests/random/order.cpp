// SPDX-License-Identifier: Apache-2.0
#include "tests/random/order.h"

#include <algorithm>

namespace tessera::random {

void Order::Rows::resize(int count) {
  width_ = (count + 63) / 64;
  words_.assign(static_cast<std::size_t>(width_) * count, 0);
}

void Order::Rows::follow(int row, int other) {
  for (int i = 0; i < width_; ++i) words_[row * width_ + i] |= words_[other * width_ + i];
  add(row, other);
}

Order::Order(const Plan& plan)
    : count_(static_cast<int>(plan.steps.size())), setter_(count_, -1), sources_(3 * count_) {
  order_host(plan);
  find_failing(plan);
  edges_of_host(plan);
  for (int i = 0; i < count_; ++i) {
    edges_of_command(plan, i);
    edges_of_waits(plan, i);
  }
  sort();
}

void Order::order_host(const Plan& plan) {
  host_.resize(count_);
  previous_.assign(count_, -1);
  std::vector<int> last(plan.threads, -1);
  for (int i = 0; i < count_; ++i) {
    const Step& step = plan.steps[i];
    previous_[i] = last[step.thread];
    last[step.thread] = i;
    if (previous_[i] >= 0) host_.follow(i, previous_[i]);
    for (int other : step.after) host_.follow(i, other);
  }
}

void Order::find_failing(const Plan& plan) {
  failing_.assign(count_, false);
  for (int i = 0; i < count_; ++i) {
    const Step& step = plan.steps[i];
    if (step.op == Op::user_event) failing_[i] = step.state < 0;
    if (!is_command(step.op)) continue;
    failing_[i] = std::any_of(step.waits.begin(), step.waits.end(),
                              [&](int other) { return failing_[other]; });
  }
}

void Order::edges_of_host(const Plan& plan) {
  for (int i = 0; i < count_; ++i) {
    const Step& step = plan.steps[i];
    edge(begin_of(i), end_of(i));
    if (previous_[i] >= 0) edge(end_of(previous_[i]), begin_of(i));
    for (int other : step.after) edge(end_of(other), begin_of(i));
    if (step.op == Op::user_event) user_events_.push_back(i);
    if (step.op == Op::set_user_event) {
      edge(begin_of(i), done_of(step.target));
      edge(done_of(step.target), end_of(i));
      setter_[step.target] = i;
    }
    if (step.op == Op::callback && step.sets >= 0) {
      edge(begin_of(i), done_of(step.sets));
      edge(done_of(step.target), done_of(step.sets));
      setter_[step.sets] = i;
    }
  }
}

void Order::edges_of_command(const Plan& plan, int i) {
  const Step& step = plan.steps[i];
  edge(begin_of(i), done_of(i));
  if (!is_command(step.op)) return;
  if (step.blocking) edge(done_of(i), end_of(i));
  if (!failing_[i]) {
    for (int other : step.waits) edge(done_of(other), done_of(i));
    edges_of_queue(plan, i);
    return;
  }
  // The first failed event ends it; which one that is is known where there is one.
  int failed = -1, count = 0;
  for (int other : step.waits) {
    if (failing_[other]) failed = other, ++count;
  }
  if (count == 1) edge(done_of(failed), done_of(i));
}

void Order::edges_of_queue(const Plan& plan, int i) {
  const Step& step = plan.steps[i];
  const bool unordered = plan.queues[step.queue].unordered;
  const bool is_point = step.op == Op::marker || step.op == Op::barrier;
  for (int p = 0; p < i; ++p) {
    const Step& earlier = plan.steps[p];
    if (!is_command(earlier.op) || earlier.queue != step.queue || !host_before(p, i)) continue;
    if (!unordered || earlier.op == Op::barrier || (is_point && step.waits.empty())) {
      edge(done_of(p), done_of(i));
    }
  }
}

void Order::edges_of_waits(const Plan& plan, int i) {
  const Step& step = plan.steps[i];
  if (step.op == Op::wait) {
    for (int other : step.waits) edge(done_of(other), end_of(i));
  } else if (step.op == Op::poll) {
    edge(done_of(step.target), end_of(i));
  } else if (step.op == Op::wait_callback) {
    edge(done_of(plan.steps[step.target].target), end_of(i));
  } else if (step.op == Op::finish) {
    for (int p = 0; p < i; ++p) {
      const Step& earlier = plan.steps[p];
      if (is_command(earlier.op) && earlier.queue == step.queue && host_before(p, i)) {
        edge(done_of(p), end_of(i));
      }
    }
  } else if (step.op == Op::wait_destroyed) {
    const int object = plan.steps[step.target].to;
    for (int p = 0; p < i; ++p) {
      const Step& user = plan.steps[p];
      if (is_command(user.op) && (user.from == object || user.to == object)) {
        edge(done_of(p), end_of(i));
      }
    }
  }
}

// Kahn's way; what it cannot place is on a circle.
void Order::sort() {
  const int points = 3 * count_;
  past_.resize(points);
  std::vector<int> missing(points);
  std::vector<std::vector<Point>> next(points);
  for (Point p = 0; p < points; ++p) {
    missing[p] = static_cast<int>(sources_[p].size());
    for (Point source : sources_[p]) next[source].push_back(p);
    if (missing[p] == 0) sequence_.push_back(p);
  }
  for (std::size_t at = 0; at < sequence_.size(); ++at) {
    const Point p = sequence_[at];
    for (Point source : sources_[p]) past_.follow(p, source);
    for (Point following : next[p]) {
      if (--missing[following] == 0) sequence_.push_back(following);
    }
  }
  possible_ = static_cast<int>(sequence_.size()) == points;
}

bool Order::waits_for_user_event(int step) const {
  for (int event : user_events_) {
    if (before(done_of(event), done_of(step)) || before(done_of(event), end_of(step))) return true;
  }
  return false;
}

bool Order::waits_for_open_user_event(int step, int at) const {
  for (int event : user_events_) {
    if (before(done_of(event), done_of(step)) && !before(done_of(event), begin_of(at))) return true;
  }
  return false;
}

}  // namespace tessera::random

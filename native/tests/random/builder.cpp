// SPDX-License-Identifier: Apache-2.0
#include "tests/random/builder.h"

#include <algorithm>

#include "tests/random/rules.h"

namespace tessera::random {
namespace {

void add_once(std::vector<int>& list, int value) {
  if (std::find(list.begin(), list.end(), value) == list.end()) list.push_back(value);
}

}  // namespace

int Builder::add(Step step) {
  if (try_as_it_is(step)) return static_cast<int>(plan_.steps.size()) - 1;
  const std::size_t before = plan_.steps.size();
  append(step);
  const Order order(plan_);
  std::vector<int> races;
  if (order.is_possible()) races = races_of(plan_, order, kinds_, static_cast<int>(before));
  plan_.steps.resize(before);
  if (races.empty() || races.size() > 6) return -1;
  for (int tries = 0; tries < 3; ++tries) {
    if (try_way(step, races)) return static_cast<int>(plan_.steps.size()) - 1;
    plan_.steps.resize(before);
  }
  return -1;
}

bool Builder::try_as_it_is(const Step& step) {
  const std::size_t before = plan_.steps.size();
  append(step);
  if (is_right(static_cast<int>(before))) return true;
  plan_.steps.resize(before);
  return false;
}

// The handles that a step uses are known to its thread.
void Builder::append(Step step) {
  plan_.steps.push_back(std::move(step));
  know_handles(static_cast<int>(plan_.steps.size()) - 1);
}

void Builder::know_handles(int i) {
  const Step step = plan_.steps[i];
  std::vector<int> used = step.waits;
  if (step.target >= 0) used.push_back(step.target);
  if (step.sets >= 0) used.push_back(step.sets);
  for (int object : {step.from, step.to}) {
    for (int o = object; o >= 0; o = plan_.objects[o].parent) {
      const int creator = plan_.objects[o].creator;
      if (creator >= 0 && creator < i) used.push_back(creator);
    }
  }
  const Order order(plan_);
  for (int other : used) {
    if (!order.host_before(other, i)) add_once(plan_.steps[i].after, other);
  }
}

bool Builder::is_right(int first) const {
  const Order order(plan_);
  return fault_in(plan_, order, kinds_, first).empty() && keeps_promises(order);
}

// Who has to set a user event never waits for it.
bool Builder::keeps_promises(const Order& order) const {
  for (const Promise& promise : promised_) {
    if (order.setter(promise.user_event) >= 0) continue;
    int last = -1;
    for (int i = 0; i < static_cast<int>(plan_.steps.size()); ++i) {
      if (plan_.steps[i].thread == promise.thread) last = i;
    }
    if (last >= 0 && order.before(done_of(promise.user_event), end_of(last))) return false;
  }
  return true;
}

std::vector<int> Builder::unset() const {
  std::vector<int> list;
  const Order order(plan_);
  for (const Promise& promise : promised_) {
    if (order.setter(promise.user_event) < 0) list.push_back(promise.user_event);
  }
  return list;
}

int Builder::setter_thread(int user_event) const {
  for (const Promise& promise : promised_) {
    if (promise.user_event == user_event) return promise.thread;
  }
  return 0;
}

bool Builder::try_way(Step step, const std::vector<int>& races) {
  const std::size_t first = plan_.steps.size();
  std::vector<int> commands;
  for (int other : races) {
    if (is_command(plan_.steps[other].op)) {
      commands.push_back(other);
    } else {
      add_once(step.after, other);
    }
  }
  // What the host did before it called is done before anything that the call does.
  if (!commands.empty()) {
    const std::size_t way = choice_.below(100);
    bool ordered = false;
    if (is_command(step.op) && way < 50) ordered = order_by_events(step, commands);
    if (is_command(step.op) && way >= 85) ordered = order_by_marker(step, commands);
    if (!ordered) order_by_host(step, commands);
  }
  append(step);
  return is_right(static_cast<int>(first));
}

bool Builder::order_by_events(Step& step, const std::vector<int>& commands) {
  for (int other : commands) {
    if (!makes_event(plan_.steps[other])) return false;
    add_once(step.waits, other);
  }
  return true;
}

bool Builder::order_by_marker(Step& step, const std::vector<int>& commands) {
  Step point;
  point.op = choice_.in(50) ? Op::marker : Op::barrier;
  point.thread = step.thread;
  point.queue = choice_.in(50) ? step.queue : plan_.steps[commands.front()].queue;
  const bool listed = choice_.in(60);
  for (int other : commands) {
    if (listed && !makes_event(plan_.steps[other])) return false;
    if (listed) point.waits.push_back(other);
  }
  append(point);
  if (point.queue != step.queue || choice_.in(50)) {
    step.waits.push_back(static_cast<int>(plan_.steps.size()) - 1);
  }
  return true;
}

// The thread waits, or another one does and then lets this one go on.
void Builder::order_by_host(Step& step, const std::vector<int>& commands) {
  const bool other_thread = plan_.threads > 1 && kinds_.has(Kind::threads) && choice_.in(20);
  const int thread = other_thread ? static_cast<int>(choice_.below(plan_.threads)) : step.thread;
  std::vector<int> listed;
  std::vector<int> queues;
  for (int other : commands) {
    if (makes_event(plan_.steps[other]) && choice_.in(75)) {
      listed.push_back(other);
    } else {
      add_once(queues, plan_.steps[other].queue);
    }
  }
  Step wait;
  wait.thread = thread;
  const auto put = [&] {
    append(wait);
    if (thread != step.thread) add_once(step.after, static_cast<int>(plan_.steps.size()) - 1);
  };
  for (int queue : queues) {
    wait.op = Op::finish;
    wait.queue = queue;
    put();
  }
  wait.queue = -1;
  if (listed.empty()) return;
  const std::size_t way = choice_.below(100);
  if (way < 45) {
    wait.op = Op::wait;
    wait.waits = listed;
    put();
    return;
  }
  for (int event : listed) {
    wait.target = event;
    if (way < 75 || !kinds_.has(Kind::callbacks)) {
      wait.op = Op::poll;
    } else {
      wait.op = Op::callback;
      put();
      wait.op = Op::wait_callback;
      wait.target = static_cast<int>(plan_.steps.size()) - 1;
    }
    put();
  }
}

}  // namespace tessera::random

// SPDX-License-Identifier: Apache-2.0
//
// Takes away what a failure does not need. A part that takes the order from others is refused by
// the rules before it runs, so that what remains is a program whose result is determined.
#include "tests/random/reducer.h"

#include <algorithm>
#include <vector>

#include "tests/random/rules.h"

namespace tessera::random {
namespace {

// Also without the steps that are about a step that goes.
void mark_dependants(const Plan& plan, std::vector<bool>& gone) {
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    if ((step.target >= 0 && gone[step.target]) || (step.sets >= 0 && gone[step.sets])) {
      gone[i] = true;
    }
  }
}

Plan without(const Plan& plan, std::vector<bool> gone) {
  mark_dependants(plan, gone);
  const int count = static_cast<int>(plan.steps.size());
  std::vector<int> place(count, -1), stands_for(count, -1), last(plan.threads, -1);
  Plan rest = plan;
  rest.steps.clear();
  for (int i = 0; i < count; ++i) {
    const Step& step = plan.steps[i];
    if (!gone[i]) {
      place[i] = static_cast<int>(rest.steps.size());
      last[step.thread] = place[i];
      rest.steps.push_back(step);
    }
    // Who waited for a thread to have done it now waits for what the thread did before.
    stands_for[i] = last[step.thread];
  }
  const auto renamed = [](std::vector<int>& list, const std::vector<int>& names) {
    for (int& one : list) one = names[one];
    std::erase(list, -1);
  };
  for (Step& step : rest.steps) {
    if (step.target >= 0) step.target = place[step.target];
    if (step.sets >= 0) step.sets = place[step.sets];
    renamed(step.waits, place);
    renamed(step.after, stands_for);
  }
  for (Object& object : rest.objects) {
    if (object.creator >= 0) object.creator = place[object.creator];
  }
  return rest;
}

bool is_used(const Plan& plan, int object) {
  return std::any_of(plan.steps.begin(), plan.steps.end(),
                     [&](const Step& s) { return s.from == object || s.to == object; }) ||
         std::any_of(plan.objects.begin(), plan.objects.end(),
                     [&](const Object& o) { return o.parent == object; });
}

Plan without_object(Plan plan, int object) {
  plan.objects.erase(plan.objects.begin() + object);
  const auto down = [&](int& index) { index -= index > object ? 1 : 0; };
  for (Object& o : plan.objects) down(o.parent);
  for (Step& s : plan.steps) down(s.from), down(s.to);
  return plan;
}

Plan without_queue(Plan plan, int queue) {
  plan.queues.erase(plan.queues.begin() + queue);
  for (Step& s : plan.steps) {
    if (s.queue == queue) s.queue = 0;
    if (s.queue > queue) --s.queue;
  }
  return plan;
}

class Reducer {
 public:
  Reducer(Plan plan, const Kinds& kinds, const std::function<bool(const Plan&)>& fails)
      : plan_(std::move(plan)), kinds_(kinds), fails_(fails) {}

  Plan run() {
    for (bool smaller = true; smaller;) {
      smaller = drop_steps();
      smaller = simplify() || smaller;
    }
    drop_objects();
    return plan_;
  }

 private:
  bool take(const Plan& candidate) {
    if (!fault_in(candidate, kinds_).empty() || !fails_(candidate)) return false;
    plan_ = candidate;
    return true;
  }

  bool drop_steps() {
    bool any = false;
    for (std::size_t part = std::max<std::size_t>(1, plan_.steps.size() / 2); part > 0; part /= 2) {
      for (std::size_t end = plan_.steps.size(); end > 0;) {
        const std::size_t first = end > part ? end - part : 0;
        std::vector<bool> gone(plan_.steps.size());
        for (std::size_t i = first; i < end; ++i) gone[i] = true;
        const bool taken = take(without(plan_, gone));
        any = any || taken;
        end = std::min(first, plan_.steps.size());
      }
    }
    return any;
  }

  bool simplify() {
    bool any = false;
    const auto attempt = [&](Plan candidate) { any = take(candidate) || any; };
    if (plan_.rebuilds) {
      Plan candidate = plan_;
      candidate.rebuilds = false;
      attempt(candidate);
    }
    if (plan_.threads > 1) {
      Plan candidate = plan_;
      candidate.threads = 1;
      for (Step& s : candidate.steps) s.thread = 0, s.after.clear();
      attempt(candidate);
    }
    for (int q = static_cast<int>(plan_.queues.size()) - 1; q >= 0 && plan_.queues.size() > 1;
         --q) {
      attempt(without_queue(plan_, q));
    }
    for (std::size_t q = 0; q < plan_.queues.size(); ++q) {
      for (bool Queue::*property : {&Queue::profiling, &Queue::unordered}) {
        if (!(plan_.queues[q].*property)) continue;
        Plan candidate = plan_;
        candidate.queues[q].*property = false;
        attempt(candidate);
      }
    }
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
      for (std::size_t w = plan_.steps[i].waits.size(); w-- > 0;) {
        Plan candidate = plan_;
        candidate.steps[i].waits.erase(candidate.steps[i].waits.begin() +
                                       static_cast<std::ptrdiff_t>(w));
        attempt(candidate);
      }
      if (plan_.steps[i].spin > 0) {
        Plan candidate = plan_;
        candidate.steps[i].spin = 0;
        attempt(candidate);
      }
    }
    return any;
  }

  void drop_objects() {
    for (int o = static_cast<int>(plan_.objects.size()) - 1; o >= 0; --o) {
      if (plan_.objects.size() > 1 && !is_used(plan_, o)) take(without_object(plan_, o));
    }
  }

  Plan plan_;
  const Kinds& kinds_;
  const std::function<bool(const Plan&)>& fails_;
};

}  // namespace

Plan reduce(Plan plan, const Kinds& kinds, const std::function<bool(const Plan&)>& fails) {
  return Reducer(std::move(plan), kinds, fails).run();
}

}  // namespace tessera::random

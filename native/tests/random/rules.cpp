// SPDX-License-Identifier: Apache-2.0
#include "tests/random/rules.h"

#include <algorithm>

namespace tessera::random {
namespace {

bool is_host_memory(const Plan& plan, int memory) {
  return memory < 0 || plan.objects[memory].kind == ObjectKind::host;
}

bool is_host_step(Op op) {
  return op == Op::host_fill || op == Op::host_check || op == Op::touch;
}

Access access(const Plan& plan, int object, const Place& at, const Step& step, bool write) {
  const Object& o = plan.objects[object];
  const int root = plan.root(object);
  const bool whole = plan.objects[root].kind == ObjectKind::svm || o.kind == ObjectKind::image ||
                     o.kind == ObjectKind::buffer_image;
  const std::size_t start = plan.root_offset(object);
  if (whole) return {root, object, 0, plan.objects[root].size, write};
  const std::size_t low = start + at.offset;
  return {root, object, low, low + (step.rows - 1) * at.pitch + step.row, write};
}

bool overlap(const Access& a, const Access& b) {
  if (a.memory != b.memory || !(a.write || b.write)) return false;
  return a.handle != b.handle || (a.low < b.high && b.low < a.high);
}

// A command's host memory belongs to it from its call on, so what the host does itself comes before
// the call. Another command may come between (a read into memory that a later write takes).
bool in_order(const Plan& plan, const Order& order, const Kinds& kinds, int first, int second,
              int memory) {
  const Point from = is_host_step(plan.steps[first].op) ? end_of(first) : done_of(first);
  const bool from_host = is_host_step(plan.steps[first].op);
  const bool is_call = is_host_step(plan.steps[second].op) ||
                       (is_host_memory(plan, memory) &&
                        (from_host || !kinds.has(memory < 0 ? Kind::lazy : Kind::staging)));
  return order.before(from, is_call ? begin_of(second) : done_of(second));
}

struct Checker {
  const Plan& plan;
  const Order& order;
  const Kinds& kinds;

  const Step& at(int step) const { return plan.steps[step]; }
  int count() const { return static_cast<int>(plan.steps.size()); }

  bool is_known(int made, int user) const {
    return made < user && order.before(end_of(made), begin_of(user));
  }

  std::string handles(int i) const {
    const Step& step = at(i);
    if (step.op == Op::wait && step.waits.empty()) return "a wait for nothing";
    for (int other : step.waits) {
      if (!makes_event(at(other)) || !is_known(other, i)) return "an event that is not known";
    }
    if (step.target >= 0 && !is_known(step.target, i)) return "a step that has not returned";
    const bool of_event = step.op == Op::poll || step.op == Op::callback ||
                          step.op == Op::release_event || step.op == Op::set_user_event;
    if (of_event && !makes_event(at(step.target))) return "no event";
    if (step.sets >= 0 && !is_known(step.sets, i)) return "a user event that is not known";
    if (step.sets >= 0 && at(step.sets).state < 0) return "a callback that fails an event";
    for (int object : {step.from, step.to}) {
      if (object < 0 || step.op == Op::create) continue;
      for (int o = object; o >= 0; o = plan.objects[o].parent) {
        const int creator = plan.objects[o].creator;
        if (creator >= 0 && creator != i && !is_known(creator, i)) return "no object yet";
      }
    }
    if (step.op == Op::create) {
      const int parent = plan.objects[step.to].parent;
      const int creator = parent < 0 ? -1 : plan.objects[parent].creator;
      if (creator >= 0 && !is_known(creator, i)) return "no parent yet";
    }
    return "";
  }

  static bool uses_event(const Step& step, int event) {
    const bool target = step.op == Op::poll || step.op == Op::callback ||
                        step.op == Op::release_event || step.op == Op::set_user_event;
    return (target && step.target == event) || step.sets == event ||
           std::find(step.waits.begin(), step.waits.end(), event) != step.waits.end();
  }

  bool uses_object(const Step& step, int object) const {
    if (step.from == object || step.to == object) return true;
    if (step.op != Op::create) return false;
    return plan.objects[step.to].parent == object;
  }

  // The callback was called before `i` begins.
  bool has_called(int callback, int i) const {
    for (int wait = callback; wait < i; ++wait) {
      const bool waits = at(wait).op == Op::wait_callback && at(wait).target == callback;
      if (waits && is_known(wait, i)) return true;
    }
    return false;
  }

  // Nothing is used once it was given back.
  std::string lifetimes(int i) const {
    const Step& step = at(i);
    const bool object = step.op == Op::release;
    const bool event = step.op == Op::release_event || (step.op == Op::callback && step.drops);
    for (int other = 0; other < count(); ++other) {
      if (other == i) continue;
      const bool gives_back =
          at(other).op == Op::release_event || (at(other).op == Op::callback && at(other).drops);
      if (other < i && at(other).op == Op::release && uses_object(step, at(other).to)) {
        return "a released object";
      }
      if (other < i && gives_back && uses_event(step, at(other).target)) return "a released event";
      if (event && at(other).sets == step.target && !has_called(other, i)) {
        return "released before a callback that sets it";
      }
      const bool used = (object && uses_object(at(other), step.to)) ||
                        (event && uses_event(at(other), step.target));
      if (used && !is_known(other, i)) return "released while it is used";
    }
    return "";
  }

  std::string mapping(int i) const {
    const Step& step = at(i);
    if (step.op == Op::unmap || step.op == Op::touch) {
      for (int j = step.target + 1; j < count(); ++j) {
        if (j == i || at(j).target != step.target) continue;
        if (at(j).op == Op::unmap && j < i) return "unmapped before";
        if (step.op == Op::unmap && at(j).op == Op::touch && !is_known(j, i)) {
          return "touched while it is unmapped";
        }
      }
    }
    if (step.op == Op::unmap && at(step.target).mode == MapMode::invalidate) {
      const bool written = std::any_of(plan.steps.begin(), plan.steps.end(), [&](const Step& s) {
        return s.op == Op::touch && s.target == step.target;
      });
      if (!written) return "nothing was written to an invalidated region";
    }
    return mapped_by_others(i);
  }

  // What is mapped belongs to the mapping until it ends.
  std::string mapped_by_others(int i) const {
    if (order.is_failing(i)) return "";
    for (const Access& mine : accesses(plan, order, i)) {
      if (mine.memory < 0) continue;
      for (int map = 0; map < i; ++map) {
        if (at(map).op != Op::map || at(i).target == map || order.is_failing(map)) continue;
        const int unmap = unmap_of(plan, map);
        if (unmap >= 0 && unmap < i) continue;
        const ObjectKind kind = plan.objects[mine.handle].kind;
        const bool is_image = kind == ObjectKind::image || kind == ObjectKind::buffer_image;
        // Shared memory has one mapping at a time; images of the embedded device too, or it
        // crashes.
        const bool single = plan.objects[mine.memory].kind == ObjectKind::svm ||
                            (is_image && !kinds.has(Kind::strict));
        for (Access theirs : accesses(plan, order, map)) {
          theirs.write = theirs.write || (single && at(i).op == Op::map);
          if (overlap(mine, theirs)) return "the region is mapped";
        }
      }
    }
    return "";
  }

  std::string failing(int i) const {
    const Step& step = at(i);
    if (!order.is_failing(i) || step.op == Op::user_event) return "";
    const bool strict = kinds.has(Kind::strict);
    if (step.blocking && !strict && !kinds.has(Kind::blocked_failures)) {
      return "a blocking call behind a failed event";
    }
    if (step.blocking && step.has_event) return "the event of a call that fails";
    if (!step.blocking && !step.has_event && !strict)
      return "a command that fails and has no event: it crashes";
    if (step.op == Op::unmap || step.op == Op::barrier) return "an unmap or barrier that fails";
    if (step.op == Op::map && !step.blocking) return "a map that fails later";
    return "";
  }

  // The embedded device crashes where an event fails beside or before another call or command.
  std::string failed_early(int i) const {
    if (kinds.has(Kind::strict)) return "";
    for (int set = 0; set < count(); ++set) {
      if (at(set).op != Op::set_user_event || !order.is_failing(at(set).target)) continue;
      for (int command = 0; command < count(); ++command) {
        if ((command != i && set != i) || !is_command(at(command).op)) continue;
        if (order.is_failing(command) && at(command).blocking) continue;
        const bool quiet = order.is_failing(command)
                               ? order.before(end_of(command), begin_of(set))
                               : order.before(done_of(command), begin_of(set)) ||
                                     order.before(end_of(set), begin_of(command));
        if (!quiet) return "an event that fails beside other commands";
      }
    }
    return "";
  }

  // Two mappings at one address are open, as far as anybody knows.
  bool maps_twice(int i) const {
    const Access mine = accesses(plan, order, i).front();
    for (int map = 0; map < i; ++map) {
      if (at(map).op != Op::map || order.is_failing(map)) continue;
      const Access theirs = accesses(plan, order, map).front();
      const int unmap = unmap_of(plan, map);
      const bool ended = unmap >= 0 && is_known(unmap, i);
      if (!ended && mine.memory == theirs.memory && mine.low == theirs.low) return true;
    }
    return false;
  }

  // What the embedded device gets wrong by itself.
  std::string deviating(int i) const {
    const Step& step = at(i);
    if (kinds.has(Kind::strict)) return "";
    const auto kind = [&](int object) { return plan.objects[object].kind; };
    const bool drops = step.op == Op::release_event || (step.op == Op::callback && step.drops);
    if (drops && order.is_failing(step.target)) return "it crashes when an event fails unseen";
    if (step.op == Op::copy) {
      const bool sub =
          kind(step.from) == ObjectKind::sub_buffer || kind(step.to) == ObjectKind::sub_buffer;
      const bool image = kind(step.from) == ObjectKind::image || kind(step.to) == ObjectKind::image;
      if (sub && (step.rect || image)) return "it crashes there";
    }
    if (step.op == Op::fill && kind(step.to) == ObjectKind::buffer_image) {
      return "it crashes there";
    }
    if (step.op == Op::map && !order.is_failing(i) && maps_twice(i))
      return "it takes one mapping for another";
    if (step.op == Op::barrier && !step.waits.empty() && plan.queues[step.queue].unordered) {
      for (int p = 0; p < i; ++p) {
        if (at(p).op == Op::barrier && at(p).queue == step.queue) return "it forgets a barrier";
      }
    }
    return "";
  }

  std::string waits_on_failed(int i) const {
    const Step& step = at(i);
    const bool strict = kinds.has(Kind::strict);
    if (step.op == Op::callback && order.is_failing(step.target) && !strict) {
      return "a callback of a failed event";
    }
    if (step.op == Op::callback && order.is_failing(step.target) && step.sets >= 0) {
      return "a callback of a failed event sets another";
    }
    if (step.op != Op::wait || step.waits.size() < 2) return "";
    for (int other : step.waits) {
      if (order.is_failing(other)) return "a failed event beside others";
    }
    return "";
  }

  // Two steps of one queue: what nothing orders may come in either order.
  std::string queue_pair(int p, int i) const {
    const Step &a = at(p), &b = at(i);
    const bool both = (is_command(a.op) || a.op == Op::finish) &&
                      (is_command(b.op) || b.op == Op::finish) && a.queue == b.queue;
    if (!both) return "";
    const bool unordered_queue = plan.queues[a.queue].unordered;
    const auto collects = [&](const Step& step) {
      return step.op == Op::finish || step.op == Op::barrier ||
             (step.op == Op::marker && step.waits.empty());
    };
    // The embedded device finishes the whole queue in a blocking call, and takes a marker whose
    // events are complete by then for one without a list.
    const auto blocks = [&](const Step& step) {
      const bool point = step.op == Op::marker || step.op == Op::barrier;
      return is_command(step.op) && (step.blocking || (point && unordered_queue));
    };
    if (!kinds.has(Kind::strict)) {
      if (blocks(b) && order.waits_for_open_user_event(p, i))
        return "a call that hangs on the embedded device";
      if (blocks(a) && !order.host_before(p, i) && order.waits_for_open_user_event(i, p)) {
        return "a call that hangs on the embedded device";
      }
    }
    if (!order.host_before(p, i)) {
      const bool matters = !unordered_queue || collects(a) || collects(b);
      if (!matters) return "";
      if (order.waits_for_user_event(p) || order.waits_for_user_event(i)) {
        return "an unordered pair that waits for a user event";
      }
      if (order.is_failing(p) || order.is_failing(i)) return "an unordered pair that fails";
      return "";
    }
    if (!is_command(a.op) || !order.is_failing(p) || !is_command(b.op)) return "";
    if (!unordered_queue) return "a command behind a failed one in its queue";
    const bool collecting = collects(b) && b.waits.empty();
    return collecting ? "a barrier behind a failed command" : "";
  }

  std::string whole() const {
    for (int i = 0; i < count(); ++i) {
      const Step& step = at(i);
      if (step.op == Op::user_event && order.setter(i) < 0) return "a user event is never set";
      if (step.op == Op::map && !order.is_failing(i) && unmap_of(plan, i) < 0) {
        return "a mapping never ends";
      }
    }
    return "";
  }

  std::string step(int i) const {
    for (auto rule : {&Checker::handles, &Checker::lifetimes, &Checker::mapping, &Checker::failing,
                      &Checker::failed_early, &Checker::waits_on_failed, &Checker::deviating}) {
      std::string fault = (this->*rule)(i);
      if (!fault.empty()) return fault;
    }
    for (int p = 0; p < i; ++p) {
      std::string fault = queue_pair(p, i);
      if (!fault.empty()) return fault;
    }
    return races_of(plan, order, kinds, i).empty() ? "" : "a race";
  }
};

}  // namespace

std::vector<Access> accesses(const Plan& plan, const Order& order, int i) {
  const Step& step = plan.steps[i];
  std::vector<Access> list;
  if (order.is_failing(i)) return list;
  const auto add = [&](int object, const Place& at, bool write) {
    if (object >= 0) list.push_back(access(plan, object, at, step, write));
  };
  switch (step.op) {
    case Op::write:
    case Op::read:
    case Op::copy:
    case Op::fill:
    case Op::kernel:
      add(step.from, step.from_at, false);
      add(step.to, step.to_at, true);
      break;
    case Op::migrate:
      add(step.to, step.to_at, false);
      break;
    case Op::map:
      add(step.to, step.to_at, is_write_map(step.mode));
      list.push_back({mapping_of(i), 0, 0, step.bytes(), true});
      break;
    case Op::unmap: {
      const Step& map = plan.steps[step.target];
      list.push_back(access(plan, map.to, map.to_at, map, is_write_map(map.mode)));
      list.push_back({mapping_of(step.target), 0, 0, map.bytes(), true});
      break;
    }
    case Op::touch: {
      const Step& map = plan.steps[step.target];
      list.push_back({mapping_of(step.target), 0, 0, map.bytes(), is_write_map(map.mode)});
      break;
    }
    case Op::host_fill:
      add(step.to, step.to_at, true);
      break;
    case Op::host_check:
      add(step.from, step.from_at, false);
      break;
    default:
      break;
  }
  return list;
}

std::vector<int> races_of(const Plan& plan, const Order& order, const Kinds& kinds, int step) {
  std::vector<int> found;
  const std::vector<Access> mine = accesses(plan, order, step);
  if (mine.empty()) return found;
  for (int p = 0; p < step; ++p) {
    bool races = false;
    for (const Access& theirs : accesses(plan, order, p)) {
      for (const Access& one : mine) {
        races =
            races || (overlap(one, theirs) && !in_order(plan, order, kinds, p, step, one.memory));
      }
    }
    if (races) found.push_back(p);
  }
  return found;
}

std::string fault_in(const Plan& plan, const Order& order, const Kinds& kinds, int first) {
  if (!order.is_possible()) return "it waits for itself";
  const Checker checker{plan, order, kinds};
  for (int i = first; i < checker.count(); ++i) {
    std::string fault = checker.step(i);
    if (!fault.empty()) return fault + " at step " + std::to_string(i);
  }
  return "";
}

std::string fault_in(const Plan& plan, const Kinds& kinds) {
  const Order order(plan);
  std::string fault = fault_in(plan, order, kinds, 0);
  return fault.empty() ? Checker{plan, order, kinds}.whole() : fault;
}

int unmap_of(const Plan& plan, int map) {
  for (int i = map + 1; i < static_cast<int>(plan.steps.size()); ++i) {
    if (plan.steps[i].op == Op::unmap && plan.steps[i].target == map) return i;
  }
  return -1;
}

}  // namespace tessera::random

// SPDX-License-Identifier: Apache-2.0
#include "tests/random/model.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "tests/random/rules.h"

namespace tessera::random {
namespace {

class Machine {
 public:
  Machine(const Plan& plan, const Order& order, Expected& out)
      : plan_(plan), order_(order), out_(out), mapped_(plan.steps.size()) {
    for (int i = 0; i < static_cast<int>(plan.objects.size()); ++i) {
      out.contents.push_back(plan.objects[i].parent < 0 ? first_contents(plan, i) : Bytes());
    }
  }

  void run() {
    for (Point point : order_.sequence()) {
      const int step = point / 3;
      if (order_.is_failing(step)) continue;
      if (point == begin_of(step)) host(step);
      if (point == done_of(step) && is_command(plan_.steps[step].op)) command(step);
    }
  }

 private:
  std::uint8_t* at(int object, const Place& place) {
    return out_.contents[plan_.root(object)].data() + plan_.root_offset(object) + place.offset;
  }

  static void copy(const Step& step, std::uint8_t* to, std::size_t to_pitch,
                   const std::uint8_t* from, std::size_t from_pitch) {
    for (std::size_t r = 0; r < step.rows; ++r) {
      std::memcpy(to + r * to_pitch, from + r * from_pitch, step.row);
    }
  }

  Bytes packed(const Step& step, const std::uint8_t* from, std::size_t pitch) {
    Bytes bytes(step.bytes());
    copy(step, bytes.data(), step.row, from, pitch);
    return bytes;
  }

  void host(int i) {
    const Step& step = plan_.steps[i];
    if (step.op == Op::host_fill) fill_pattern(step.value, at(step.to, step.to_at), step.row);
    if (step.op == Op::host_check) {
      out_.seen[i] = packed(step, at(step.from, step.from_at), step.row);
    }
    if (step.op != Op::touch) return;
    const Step& map = plan_.steps[step.target];
    Bytes& region = mapped_[step.target];
    if (map.mode != MapMode::invalidate) out_.seen[i] = region;
    if (is_write_map(map.mode)) fill_pattern(step.value, region.data(), step.row);
  }

  void command(int i) {
    const Step& step = plan_.steps[i];
    switch (step.op) {
      case Op::write:
      case Op::read:
      case Op::copy:
        copy(step, at(step.to, step.to_at), step.to_at.pitch, at(step.from, step.from_at),
             step.from_at.pitch);
        break;
      case Op::fill:
        fill(step);
        break;
      case Op::map:
        mapped_[i] = packed(step, at(step.to, step.to_at), step.to_at.pitch);
        break;
      case Op::unmap: {
        const Step& map = plan_.steps[step.target];
        if (is_write_map(map.mode)) {
          copy(map, at(map.to, map.to_at), map.to_at.pitch, mapped_[step.target].data(), map.row);
        }
        break;
      }
      case Op::kernel:
        kernel(step);
        break;
      default:
        break;
    }
  }

  void fill(const Step& step) {
    Bytes pattern(step.pattern);
    fill_pattern(step.value, pattern.data(), pattern.size());
    for (std::size_t r = 0; r < step.rows; ++r) {
      std::uint8_t* to = at(step.to, step.to_at) + r * step.to_at.pitch;
      for (std::size_t i = 0; i < step.row; ++i) to[i] = pattern[i % pattern.size()];
    }
  }

  void kernel(const Step& step) {
    const auto value = static_cast<std::uint32_t>(step.value);
    if (step.kernel == KernelKind::say) {
      char line[kLineBytes + 1];
      std::snprintf(line, sizeof line, "%08x\n", value);
      out_.lines.emplace_back(line);
    }
    std::uint8_t* to = at(step.to, step.to_at);
    const std::uint8_t* from = step.from >= 0 ? at(step.from, step.from_at) : nullptr;
    if (step.kernel == KernelKind::image_add) {
      for (std::size_t i = 0; i < step.bytes(); ++i) {
        to[i] = static_cast<std::uint8_t>(from[i] + value);
      }
      return;
    }
    const std::size_t bytes = step.kernel == KernelKind::say ? 4 : step.row;
    for (std::size_t i = 0; i < bytes; i += 4) {
      std::uint32_t a = 0, b = 0;
      std::memcpy(&a, to + i, 4);
      if (from != nullptr) std::memcpy(&b, from + i, 4);
      a += from != nullptr ? b * value : value;
      std::memcpy(to + i, &a, 4);
    }
  }

  const Plan& plan_;
  const Order& order_;
  Expected& out_;
  std::vector<Bytes> mapped_;
};

class Observer {
 public:
  Observer(const Plan& plan, const Order& order)
      : plan_(plan),
        order_(order),
        count_(static_cast<int>(plan.steps.size())),
        setting_point_(count_, -1) {
    for (int i = 0; i < count_; ++i) {
      const Step& step = plan.steps[i];
      if (step.op == Op::set_user_event) setting_point_[step.target] = begin_of(i);
      if (step.op == Op::user_event) user_events_.push_back(i);
      if (is_saying(i)) ++says_;
      if (step.op == Op::release_event || (step.op == Op::callback && step.drops)) {
        releases_.push_back(i);
      }
    }
  }

  Moment when_returned(int step) const {
    Moment m = common(end_of(step));
    for (int i = 0; i < step; ++i) {
      const bool known = makes_event(plan_.steps[i]) && order_.before(end_of(i), end_of(step)) &&
                         is_kept(i, end_of(step));
      if (!known) continue;
      if (order_.before(done_of(i), end_of(step))) {
        m.complete.push_back(i);
      } else if (is_held(i, end_of(step)) && plan_.steps[i].op != Op::user_event) {
        m.waiting.push_back(i);
      }
    }
    return m;
  }

  Moment in_callback(int registered) const {
    const int event = plan_.steps[registered].target;
    Moment m = common(done_of(event));
    m.lines_most = says_;  // a callback may come late
    Point last = -1;       // what follows the callback
    for (int i = registered; i < count_; ++i) {
      const Step& step = plan_.steps[i];
      if (step.op == Op::wait_callback && step.target == registered) last = end_of(i);
    }
    for (int i = 0; i < count_; ++i) {
      const bool ended = i == event || order_.before(done_of(i), done_of(event));
      if (!makes_event(plan_.steps[i]) || !ended) continue;
      const bool kept = std::all_of(releases_.begin(), releases_.end(), [&](int r) {
        return plan_.steps[r].target != i || (last >= 0 && order_.before(last, begin_of(r)));
      });
      if (kept) m.complete.push_back(i);
    }
    return m;
  }

 private:
  // Nothing gives the event back before that point.
  bool is_kept(int event, Point until) const {
    return std::all_of(releases_.begin(), releases_.end(), [&](int r) {
      return plan_.steps[r].target != event || order_.before(until, begin_of(r));
    });
  }

  // It waits for a user event that is set later than that point.
  bool is_held(int step, Point until) const {
    return std::any_of(user_events_.begin(), user_events_.end(), [&](int event) {
      return setting_point_[event] >= 0 && order_.before(until, setting_point_[event]) &&
             order_.before(done_of(event), done_of(step));
    });
  }

  bool is_saying(int i) const {
    const Step& step = plan_.steps[i];
    return step.op == Op::kernel && step.kernel == KernelKind::say && !order_.is_failing(i);
  }

  Moment common(Point now) const {
    Moment m;
    for (int i = 0; i < count_; ++i) {
      if (!is_saying(i)) continue;
      if (done_of(i) == now || order_.before(done_of(i), now)) m.lines_least += 1;
      if (!order_.before(now, begin_of(i)) && !is_held(i, now)) m.lines_most += 1;
    }
    return m;
  }

  const Plan& plan_;
  const Order& order_;
  int count_;
  std::vector<Point> setting_point_;
  std::vector<int> user_events_, releases_;
  std::size_t says_ = 0;
};

}  // namespace

bool is_observing(const Step& step) {
  return step.op == Op::wait || step.op == Op::finish || step.op == Op::poll ||
         step.op == Op::wait_callback || step.op == Op::wait_destroyed ||
         step.op == Op::set_user_event || (is_command(step.op) && step.blocking);
}

Bytes first_contents(const Plan& plan, int object) {
  Bytes bytes(plan.objects[object].size);
  fill_pattern(plan.seed * 64 + object + 1, bytes.data(), bytes.size());
  return bytes;
}

Expected expected_of(const Plan& plan, const Order& order) {
  Expected out;
  out.seen.resize(plan.steps.size());
  out.moment.resize(plan.steps.size());
  Machine(plan, order, out).run();
  const Observer observer(plan, order);
  for (int i = 0; i < static_cast<int>(plan.steps.size()); ++i) {
    if (is_observing(plan.steps[i])) out.moment[i] = observer.when_returned(i);
    if (plan.steps[i].op == Op::callback) out.moment[i] = observer.in_callback(i);
  }
  std::sort(out.lines.begin(), out.lines.end());
  return out;
}

}  // namespace tessera::random

// SPDX-License-Identifier: Apache-2.0
#include "tests/random/generator.h"

#include <algorithm>
#include <optional>

#include "tests/random/draft.h"
#include "tests/random/rules.h"

namespace tessera::random {
namespace {

class Generator : public Draft {
 public:
  using Draft::Draft;

  // Nothing where a program came about whose mappings cannot be ended.
  std::optional<Plan> make() {
    choose_shape();
    choose_objects();
    const std::size_t wanted = choice_.in(30) ? choice_.between(4, 12) : choice_.between(12, 40);
    for (int tries = 0; plan_.steps.size() < wanted && tries < 120; ++tries) propose();
    if (!close() || !fault_in(plan_, kinds_).empty()) return std::nullopt;
    return std::move(plan_);
  }

 private:
  Step command(Op op) {
    Step s;
    s.op = op;
    s.thread = thread_;
    s.queue = static_cast<int>(choice_.below(plan_.queues.size()));
    s.value = choice_.next();
    s.has_event = !choice_.in(15);
    const bool can_block = op == Op::write || op == Op::read || op == Op::map;
    s.blocking = can_block && is(Kind::blocking) && choice_.in(blocking_);
    if (failing_ >= 0) {
      s.waits.push_back(failing_);
      s.has_event = !blocks_;
      s.blocking = can_block && blocks_;
      return s;
    }
    if (holding_ >= 0) {
      s.waits.push_back(holding_);
      s.blocking = false;
      return s;
    }
    const std::vector<int> events = live_events(false);
    if (!events.empty() && choice_.in(25)) s.waits.push_back(recent(events));
    const std::vector<int> held = builder_.unset();
    if (!held.empty() && choice_.in(20)) {
      const int event = choice_.of(held);
      if (s.waits.empty() || s.waits[0] != event) s.waits.push_back(event);
    }
    return s;
  }

  Step host_step(Op op) {
    Step s;
    s.op = op;
    s.thread = thread_;
    s.value = choice_.next();
    return s;
  }

  // --- one step of each kind

  void propose() {
    if (choice_.in(30)) thread_ = static_cast<int>(choice_.below(plan_.threads));
    struct Row {
      unsigned weight;
      void (Generator::*make)();
    };
    static constexpr Row rows[] = {
        {16, &Generator::write},    {13, &Generator::read},      {3, &Generator::read_again},
        {8, &Generator::copy},      {8, &Generator::fill},       {16, &Generator::kernel},
        {10, &Generator::map},      {12, &Generator::end_map},   {3, &Generator::point},
        {1, &Generator::migrate},   {4, &Generator::user_event}, {4, &Generator::set_event},
        {12, &Generator::wait},     {4, &Generator::callback},   {3, &Generator::drop_event},
        {4, &Generator::host_fill}, {8, &Generator::host_check}, {2, &Generator::release},
        {1, &Generator::create},
    };
    std::size_t total = 0;
    for (const Row& row : rows) total += row.weight;
    std::size_t at = choice_.below(total);
    for (const Row& row : rows) {
      if (at < row.weight) {
        (this->*row.make)();
        return;
      }
      at -= row.weight;
    }
  }

  void write() {
    Step s = command(Op::write);
    s.to = device_object(), s.from = host();
    if (s.to < 0) return;
    choose_part(s, s.to_at, s.to);
    if (!place_in(s, s.from_at, plan_.objects[s.from].size)) return;
    if (choice_.in(is(Kind::staging) ? 50 : 90)) {
      Step fill = host_step(Op::host_fill);
      fill.to = s.from, fill.to_at = s.from_at, fill.row = s.bytes();
      builder_.add(fill);
    }
    builder_.add(s);
  }

  void read() {
    Step s = command(Op::read);
    s.from = device_object(), s.to = host();
    if (s.from < 0) return;
    choose_part(s, s.from_at, s.from);
    if (!place_in(s, s.to_at, plan_.objects[s.to].size)) return;
    const int added = builder_.add(s);
    if (added >= 0 && s.blocking && choice_.in(70)) check_read(added);
  }

  // Into the memory that an earlier read fills, from elsewhere.
  void read_again() {
    int earlier = -1;
    for (int i = 0; i < steps(); ++i) {
      if (plan_.steps[i].op == Op::read && plan_.steps[i].rows == 1) earlier = i;
    }
    Step s = command(Op::read);
    s.from = linear();
    if (earlier < 0 || s.from < 0) return;
    const Step& r = plan_.steps[earlier];
    s.to = r.to, s.to_at = r.to_at, s.row = r.row;
    if (place_in(s, s.from_at, plan_.objects[s.from].size)) builder_.add(s);
  }

  void check_read(int read) {
    const Step& r = plan_.steps[read];
    Step check = host_step(Op::host_check);
    check.from = r.to, check.from_at = r.to_at, check.row = r.bytes();
    builder_.add(check);
  }

  void host_check() {
    std::vector<int> reads;
    for (int i = 0; i < steps(); ++i) {
      if (plan_.steps[i].op == Op::read) reads.push_back(i);
    }
    const int chosen = recent(reads);
    if (chosen >= 0) check_read(chosen);
  }

  void host_fill() {
    Step s = host_step(Op::host_fill);
    s.to = host();
    choose_range(s, s.to_at, plan_.objects[s.to].size);
    builder_.add(s);
  }

  void copy() {
    Step s = command(Op::copy);
    s.from = device_object(), s.to = device_object();
    if (s.from < 0 || s.from == s.to || plan_.root(s.from) == plan_.root(s.to)) return;
    if (is_svm(s.from) != is_svm(s.to)) return;
    if (plan_.objects[s.from].kind == ObjectKind::buffer_image ||
        plan_.objects[s.to].kind == ObjectKind::buffer_image) {
      return;
    }
    s.blocking = is_svm(s.from) && is(Kind::blocking) && choice_.in(blocking_);
    const int shape = is_image(s.to) ? s.to : s.from;
    choose_part(s, shape == s.to ? s.to_at : s.from_at, shape);
    const int other = shape == s.to ? s.from : s.to;
    Place& at = shape == s.to ? s.from_at : s.to_at;
    if (is_image(other)) {
      at = shape == s.to ? s.to_at : s.from_at;  // the images of a program have one size
    } else if (!place_in(s, at, plan_.objects[other].size)) {
      return;
    }
    if (s.rect && (at.offset % at.pitch != 0)) at.offset = 0;
    builder_.add(s);
  }

  void fill() {
    Step s = command(Op::fill);
    s.to = device_object();
    if (s.to < 0) return;
    choose_part(s, s.to_at, s.to);
    s.pattern = is_image(s.to) ? 4 : static_cast<int>(choice_.of<std::size_t>({1, 4, 4, 16}));
    const auto unit = static_cast<std::size_t>(s.pattern);
    if (s.row % unit != 0 || s.to_at.offset % unit != 0) s.pattern = 4;
    builder_.add(s);
  }

  void kernel() {
    Step s = command(Op::kernel);
    s.spin = static_cast<std::uint32_t>(choice_.below(spin_ + 1));
    s.rect = choice_.in(5);  // its kernel is given back at once
    const std::size_t which = choice_.below(100);
    if (which < 15) {
      std::vector<int> images;
      for (int i = 0; i < static_cast<int>(plan_.objects.size()); ++i) {
        if (plan_.objects[i].kind == ObjectKind::image && !is_released(i)) images.push_back(i);
      }
      if (images.size() < 2) return;
      s.kernel = KernelKind::image_add;
      const std::size_t first = choice_.below(2);
      s.from = images[first], s.to = images[1 - first];
      const Object& o = plan_.objects[s.to];
      s.row = o.pitch(), s.rows = o.size / o.pitch();
      s.from_at = s.to_at = {0, o.pitch()};
      s.value %= 256;
      builder_.add(s);
      return;
    }
    s.to = linear();
    if (s.to < 0) return;
    choose_range(s, s.to_at, plan_.objects[s.to].size);
    if (which < 40) {
      s.kernel = KernelKind::mix;
      s.from = linear();
      if (plan_.root(s.from) == plan_.root(s.to)) return;
      if (!place_in(s, s.from_at, plan_.objects[s.from].size)) return;
    } else if (which < 55 && is(Kind::prints)) {
      s.kernel = KernelKind::say;
      s.row = s.to_at.pitch = 4;
    }
    s.value &= 0xFFFFFFFFu;
    builder_.add(s);
  }

  void map() {
    if (!is(Kind::maps)) return;
    Step s = command(Op::map);
    s.to = device_object();
    if (s.to < 0) return;
    choose_part(s, s.to_at, s.to);
    s.mode = static_cast<MapMode>(choice_.below(4));
    const int added = builder_.add(s);
    if (added >= 0 && s.mode != MapMode::invalidate && choice_.in(25)) unmap(added);
  }

  bool touch(int map) {
    const Step& m = plan_.steps[map];
    Step s = host_step(Op::touch);
    s.thread = thread_;
    s.target = map;
    if (is_write_map(m.mode)) {
      const bool all = m.mode == MapMode::invalidate || choice_.in(60);
      s.row = all ? m.bytes() : 4 * choice_.between(1, m.bytes() / 4);
    }
    return builder_.add(s) >= 0;
  }

  bool unmap(int map) {
    const Step m = plan_.steps[map];
    Step s = command(Op::unmap);
    s.target = map;
    s.to = m.to;
    s.waits.clear();
    if (choice_.in(60)) s.queue = m.queue;
    return builder_.add(s) >= 0;
  }

  void end_map() {
    const int map = recent(open_maps());
    if (map < 0) return;
    const MapMode mode = plan_.steps[map].mode;
    const bool once = mode == MapMode::invalidate;
    if (!(once && is_touched(map)) && (once || choice_.in(70)) && !touch(map)) return;
    if (choice_.in(80)) unmap(map);
  }

  void point() {
    Step s = command(choice_.in(55) ? Op::marker : Op::barrier);
    const std::vector<int> events = live_events(false);
    if (s.waits.empty() && !events.empty() && choice_.in(50)) s.waits.push_back(recent(events));
    builder_.add(s);
  }

  void migrate() {
    Step s = command(Op::migrate);
    s.to = object_of({ObjectKind::buffer, ObjectKind::image});
    if (s.to < 0) return;
    s.row = plan_.objects[s.to].size;
    s.to_at = {0, s.row};
    builder_.add(s);
  }

  void user_event() {
    if (!is(Kind::user_events) || builder_.unset().size() > 1) return;
    Step s = host_step(Op::user_event);
    if (is(Kind::strict) && is(Kind::failures) && choice_.in(12))
      s.state = -static_cast<int>(choice_.between(1, 60));
    const int added = builder_.add(s);
    if (added < 0) return;
    builder_.promise(added, static_cast<int>(choice_.below(plan_.threads)));
    // What is held while the rest goes on.
    for (std::size_t n = choice_.below(3); n > 0 && s.state == 0; --n) {
      holding_ = added;
      (this->*choice_.of<void (Generator::*)()>({&Generator::write, &Generator::read,
                                                 &Generator::fill, &Generator::kernel,
                                                 &Generator::map, &Generator::copy}))();
      holding_ = -1;
    }
  }

  void set_event() {
    const std::vector<int> held = builder_.unset();
    if (!held.empty()) set_event(choice_.of(held));
  }

  bool set_event(int event) {
    Step s = host_step(Op::set_user_event);
    s.target = event;
    s.thread = builder_.setter_thread(event);
    return builder_.add(s) >= 0;
  }

  void wait() {
    const std::vector<int> events = live_events(true);
    if (events.empty()) return;
    Step s = host_step(Op::wait);
    const std::size_t way = choice_.below(100);
    if (way < 50) {
      for (std::size_t n = choice_.between(1, 3); n > 0; --n) {
        const int event = recent(events);
        if (std::find(s.waits.begin(), s.waits.end(), event) == s.waits.end()) {
          s.waits.push_back(event);
        }
      }
    } else if (way < 70) {
      s.op = Op::poll;
      s.target = recent(events);
    } else {
      s.op = way < 90 ? Op::finish : Op::flush;
      s.queue = static_cast<int>(choice_.below(plan_.queues.size()));
    }
    const int added = builder_.add(s);
    if (added >= 0 && choice_.in(50)) host_check();
  }

  void callback() {
    if (!is(Kind::callbacks)) return;
    Step s = host_step(Op::callback);
    s.target = recent(live_events(false));
    if (s.target < 0) return;
    s.state = is_command(plan_.steps[s.target].op) && choice_.in(30)
                  ? static_cast<int>(choice_.between(CL_RUNNING_STATE, CL_SUBMITTED_STATE))
                  : 0;
    const std::vector<int> held = builder_.unset();
    if (s.state == 0 && !held.empty() && choice_.in(30)) s.sets = choice_.of(held);
    s.drops = is(Kind::releases) && s.state == 0 && s.sets < 0 && choice_.in(20);
    const int added = builder_.add(s);
    if (added < 0 || s.state != 0 || !choice_.in(40)) return;
    Step wait = host_step(Op::wait_callback);
    wait.target = added;
    builder_.add(wait);
  }

  void drop_event() {
    if (!is(Kind::releases)) return;
    Step s = host_step(Op::release_event);
    s.target = recent(live_events(false));
    const std::vector<int> held = builder_.unset();
    const bool is_held = std::find(held.begin(), held.end(), s.target) != held.end();
    if (s.target >= 0 && !is_held) builder_.add(s);
  }

  void release() {
    if (!is(Kind::releases)) return;
    Step s = host_step(Op::release);
    s.to = object_of({ObjectKind::buffer, ObjectKind::sub_buffer, ObjectKind::image});
    if (s.to < 0) return;
    const int added = builder_.add(s);
    const bool alone = std::none_of(plan_.objects.begin(), plan_.objects.end(),
                                    [&](const Object& o) { return o.parent == s.to; });
    if (added < 0 || !alone || !plan_.objects[s.to].destructor || !choice_.in(60)) return;
    Step wait = host_step(Op::wait_destroyed);
    wait.target = added;
    builder_.add(wait);
  }

  void create() {
    make_object(ObjectKind::buffer);
    const int object = static_cast<int>(plan_.objects.size()) - 1;
    plan_.objects[object].destructor = is(Kind::destructors) && choice_.in(40);
    plan_.objects[object].creator = steps();
    Step s = host_step(Op::create);
    s.to = object;
    const int added = builder_.add(s);
    if (added < 0) plan_.objects.pop_back();
    last_object_ = added < 0 ? -1 : object;
  }

  bool close() {
    for (int event : builder_.unset()) {
      if (!set_event(event)) return false;
    }
    for (int map : open_maps()) {
      thread_ = plan_.steps[map].thread;
      bool ended = false;
      for (int tries = 0; tries < 8 && !ended; ++tries) {
        const bool once = plan_.steps[map].mode == MapMode::invalidate && !is_touched(map);
        if (!once || touch(map)) ended = unmap(map);
      }
      if (!ended) return false;
    }
    if (is(Kind::failures) && choice_.in(12)) fail_at_the_end();
    return true;
  }

  // The embedded device crashes unless it stands still when an event fails.
  void fail_at_the_end() {
    thread_ = 0;
    for (int t = 1; t < plan_.threads; ++t) {
      Step last = host_step(Op::flush);
      last.thread = t;
      last.queue = 0;
      builder_.add(last);
    }
    Step finish = host_step(Op::finish);
    for (int i = 0; i < steps(); ++i) {
      if (plan_.steps[i].thread != 0 && plan_.steps[i].op == Op::flush) finish.after.push_back(i);
    }
    for (std::size_t q = 0; q < plan_.queues.size(); ++q) {
      finish.queue = static_cast<int>(q);
      if (builder_.add(finish) < 0) return;
    }
    const std::size_t before = plan_.steps.size();
    Step event = host_step(Op::user_event);
    event.state = -static_cast<int>(choice_.between(1, 60));
    const int failed = builder_.add(event);
    if (failed < 0) return;
    const bool blocked = is(Kind::blocked_failures) && plan_.threads > 1;
    builder_.promise(failed, blocked ? 1 : 0);
    failing_ = failed;
    for (std::size_t n = choice_.between(1, 4); n > 0; --n) {
      (this->*choice_.of<void (Generator::*)()>(
                  {&Generator::write, &Generator::read, &Generator::fill, &Generator::kernel}))();
    }
    if (blocked) {
      blocks_ = true;
      (this->*choice_.of<void (Generator::*)()>(
                  {&Generator::write, &Generator::read, &Generator::map}))();
      blocks_ = false;
    }
    failing_ = -1;
    if (!set_event(failed)) {
      plan_.steps.resize(before);
      return;
    }
    for (int tries = 0; tries < 3; ++tries) wait();
  }

  static constexpr std::size_t CL_RUNNING_STATE = 1, CL_SUBMITTED_STATE = 2;

  int holding_ = -1;     // a user event that the next command waits for
  int failing_ = -1;     // a user event that all commands wait for
  bool blocks_ = false;  // until it has failed
};

}  // namespace

Plan generate(std::uint64_t seed, const Kinds& kinds) {
  for (std::uint64_t attempt = 0;; ++attempt) {
    if (std::optional<Plan> plan = Generator(seed, attempt, kinds).make()) return *plan;
  }
}

}  // namespace tessera::random

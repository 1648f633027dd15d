// SPDX-License-Identifier: Apache-2.0
#include "tests/random/draft.h"

#include <algorithm>

#include "tests/random/rules.h"

namespace tessera::random {
namespace {

constexpr std::size_t kSubAlign = 512;  // of a sub-buffer's origin, for every device

}  // namespace

void Draft::choose_shape() {
  plan_.threads = is(Kind::threads) && choice_.in(40) ? static_cast<int>(choice_.between(2, 3)) : 1;
  plan_.rebuilds = is(Kind::rebuilds) && choice_.in(1);
  const std::size_t queues = choice_.between(1, 4);
  for (std::size_t i = 0; i < queues; ++i) {
    plan_.queues.push_back({choice_.in(35), is(Kind::profiling) && choice_.in(40)});
  }
  blocking_ = static_cast<unsigned>(choice_.of<std::size_t>({10, 30, 60, 85}));
  spin_ = choice_.of<std::size_t>({0, 2'000, 20'000, 100'000});
  switch (choice_.below(4)) {
    case 0:
      size_ = 4 * choice_.between(1, 64);
      break;
    case 1:
      size_ = 1024 * choice_.between(1, 16);
      break;
    case 2:
      size_ = 4096;
      break;
    default:
      size_ = 65536 * choice_.between(1, 4);
  }
}

void Draft::choose_objects() {
  std::size_t count = choice_.between(1, 3);
  for (std::size_t i = 0; i < count; ++i) make_object(ObjectKind::host);
  count = choice_.between(1, 3);
  for (std::size_t i = 0; i < count; ++i) make_buffer();
  if (is(Kind::images) && choice_.in(40)) {
    count = choice_.between(1, 2);
    const std::size_t width = choice_.of<std::size_t>({1, 5, 16, 64});
    for (std::size_t i = 0; i < count; ++i) {
      Object image;
      image.kind = ObjectKind::image;
      image.width = width;
      image.size = width * 4 * std::clamp<std::size_t>(size_ / 4 / width, 1, 256);
      plan_.objects.push_back(image);
    }
  }
  if (is(Kind::svm) && choice_.in(25)) {
    make_object(ObjectKind::svm);
    const int over = static_cast<int>(plan_.objects.size()) - 1;
    if (is(Kind::svm_buffers) && choice_.in(50)) make_object(ObjectKind::svm_buffer, over);
  }
}

void Draft::make_object(ObjectKind kind, int parent) {
  Object o;
  o.kind = kind;
  o.size = size_;
  o.parent = parent;
  plan_.objects.push_back(o);
}

void Draft::make_buffer() {
  make_object(ObjectKind::buffer);
  Object& buffer = plan_.objects.back();
  if (is(Kind::host_pointers) && choice_.in(25)) buffer.flags = choice_.in(50) ? 1 : 2;
  buffer.destructor = is(Kind::destructors) && choice_.in(35);
  const int parent = static_cast<int>(plan_.objects.size()) - 1;
  if (is(Kind::sub_buffers) && size_ > kSubAlign && choice_.in(25)) {
    Object sub;
    sub.kind = ObjectKind::sub_buffer;
    sub.parent = parent;
    sub.offset = kSubAlign * choice_.below((size_ - 4) / kSubAlign + 1);
    sub.size = 4 * choice_.between(1, (size_ - sub.offset) / 4);
    plan_.objects.push_back(sub);
  }
  if (is(Kind::buffer_images) && choice_.in(10)) {
    Object image;
    image.kind = ObjectKind::buffer_image;
    image.parent = parent;
    image.width = std::min<std::size_t>(size_ / 4, 16384);
    image.size = image.width * 4;
    plan_.objects.push_back(image);
  }
}

bool Draft::is_released(int object) const {
  return std::any_of(plan_.steps.begin(), plan_.steps.end(),
                     [&](const Step& s) { return s.op == Op::release && s.to == object; });
}

int Draft::object_of(std::initializer_list<ObjectKind> kinds) {
  std::vector<int> found;
  for (int i = 0; i < static_cast<int>(plan_.objects.size()); ++i) {
    const bool fits = std::find(kinds.begin(), kinds.end(), plan_.objects[i].kind) != kinds.end();
    if (!fits || is_released(i)) continue;
    found.push_back(i);
    if (i == last_object_) found.insert(found.end(), 4, i);
  }
  if (found.empty()) return -1;
  const int object = choice_.of(found);
  if (plan_.objects[object].kind != ObjectKind::host) last_object_ = object;
  return object;
}

int Draft::device_object() {
  return object_of({ObjectKind::buffer, ObjectKind::sub_buffer, ObjectKind::image,
                    ObjectKind::buffer_image, ObjectKind::svm, ObjectKind::svm_buffer});
}

int Draft::linear() {
  return object_of(
      {ObjectKind::buffer, ObjectKind::sub_buffer, ObjectKind::svm, ObjectKind::svm_buffer});
}

bool Draft::is_image(int object) const {
  return plan_.objects[object].kind == ObjectKind::image ||
         plan_.objects[object].kind == ObjectKind::buffer_image;
}

std::vector<int> Draft::live_events(bool commands_only) const {
  std::vector<int> list;
  for (int i = 0; i < steps(); ++i) {
    if (!makes_event(plan_.steps[i])) continue;
    if (commands_only && !is_command(plan_.steps[i].op)) continue;
    const bool gone = std::any_of(plan_.steps.begin(), plan_.steps.end(), [&](const Step& s) {
      return s.target == i && (s.op == Op::release_event || (s.op == Op::callback && s.drops));
    });
    if (!gone) list.push_back(i);
  }
  return list;
}

int Draft::recent(const std::vector<int>& list) {
  if (list.empty()) return -1;
  const std::size_t back = choice_.in(60) ? choice_.below(std::min<std::size_t>(3, list.size()))
                                          : choice_.below(list.size());
  return list[list.size() - 1 - back];
}

std::vector<int> Draft::open_maps() const {
  std::vector<int> list;
  const Order order(plan_);
  for (int i = 0; i < steps(); ++i) {
    if (plan_.steps[i].op == Op::map && !order.is_failing(i) && unmap_of(plan_, i) < 0) {
      list.push_back(i);
    }
  }
  return list;
}

bool Draft::is_touched(int map) const {
  return std::any_of(plan_.steps.begin(), plan_.steps.end(),
                     [&](const Step& s) { return s.op == Op::touch && s.target == map; });
}

void Draft::choose_range(Step& s, Place& at, std::size_t size) {
  if (choice_.in(55)) {
    at = {0, size};
    s.row = size;
    return;
  }
  at.offset = 4 * choice_.below(size / 4);
  s.row = 4 * choice_.between(1, (size - at.offset) / 4);
  at.pitch = s.row;
}

void Draft::choose_rectangle(Step& s, Place& at, const Object& o) {
  const std::size_t height = o.size / o.pitch();
  std::size_t x = 0, y = 0, w = o.width, h = height;
  if (choice_.in(50)) {
    x = choice_.below(o.width), w = choice_.between(1, o.width - x);
    y = choice_.below(height), h = choice_.between(1, height - y);
  }
  at = {y * o.pitch() + x * 4, o.pitch()};
  s.row = w * 4, s.rows = h;
}

void Draft::choose_part(Step& s, Place& at, int object) {
  const Object& o = plan_.objects[object];
  if (is_image(object)) {
    choose_rectangle(s, at, o);
    return;
  }
  choose_range(s, at, o.size);
  const bool can = is(Kind::rectangles) && !is_svm(object) && o.size >= 64;
  if (!can || s.op == Op::fill || s.op == Op::map || !choice_.in(20)) return;
  const std::size_t pitch = 4 * choice_.between(2, std::min<std::size_t>(o.size / 16, 64));
  const std::size_t x = 4 * choice_.below(pitch / 4);
  s.rect = true;
  s.row = 4 * choice_.between(1, (pitch - x) / 4);
  const std::size_t rows = o.size / pitch;
  const std::size_t y = choice_.below(rows);
  s.rows = choice_.between(1, rows - y);
  at = {y * pitch + x, pitch};
}

bool Draft::place_in(const Step& s, Place& at, std::size_t size) {
  at.pitch = s.row;
  if (s.bytes() > size) return false;
  at.offset = choice_.in(70) ? 0 : 4 * choice_.below((size - s.bytes()) / 4 + 1);
  return true;
}

}  // namespace tessera::random

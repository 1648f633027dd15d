// SPDX-License-Identifier: Apache-2.0
//
// A program's shape and objects, and choices among what there is of them.
#pragma once

#include <initializer_list>
#include <vector>

#include "tests/random/builder.h"
#include "tests/random/choice.h"
#include "tests/random/program.h"

namespace tessera::random {

class Draft {
 public:
  Draft(std::uint64_t seed, std::uint64_t attempt, const Kinds& kinds)
      : kinds_(kinds), choice_(seed * 1000 + attempt), builder_(plan_, kinds, choice_) {
    plan_.seed = seed;
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;

 protected:
  bool is(Kind kind) const { return kinds_.has(kind); }
  int steps() const { return static_cast<int>(plan_.steps.size()); }
  void choose_shape();
  void choose_objects();
  void make_object(ObjectKind kind, int parent = -1);
  void make_buffer();
  bool is_released(int object) const;
  // The object of the step before, more often than another: that is where order matters.
  int object_of(std::initializer_list<ObjectKind> kinds);
  int host() { return object_of({ObjectKind::host}); }
  int device_object();
  int linear();
  bool is_image(int object) const;
  bool is_svm(int object) const { return plan_.objects[object].kind == ObjectKind::svm; }
  std::vector<int> live_events(bool commands_only) const;
  int recent(const std::vector<int>& list);
  std::vector<int> open_maps() const;
  bool is_touched(int map) const;
  // A part of `size` bytes in units of four, or all of it.
  void choose_range(Step& s, Place& at, std::size_t size);
  void choose_rectangle(Step& s, Place& at, const Object& o);
  // A part of an object, as its kind has it.
  void choose_part(Step& s, Place& at, int object);
  // As many bytes at some place of an object that is read or written by range.
  bool place_in(const Step& s, Place& at, std::size_t size);

  const Kinds& kinds_;
  Choice choice_;
  Plan plan_;
  Builder builder_;
  int thread_ = 0;
  int last_object_ = -1;
  unsigned blocking_ = 50;
  std::size_t spin_ = 0;
  std::size_t size_ = 4096;
};

}  // namespace tessera::random

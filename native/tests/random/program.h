// SPDX-License-Identifier: Apache-2.0
//
// A random program: what is made from a seed, before anything runs.
//
// A program is a list of steps in one order, which is one right way to run it. Each step belongs to
// a thread; a thread does its own steps in that order, and nothing orders two threads but what the
// steps say (`after`, and what OpenCL orders). Steps name each other and objects by index, so a
// program can be written to a file, cut down, and read again.
//
// Every transfer is one shape: `rows` rows of `row` bytes, at an offset and a pitch in what is read
// and in what is written. A buffer's range has one row; a rectangle and a part of an image have
// several. So the model needs to know one operation and not twelve.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tessera::random {

// What a generator may use, by name (--kinds); each can be left out.
enum class Kind {
  rectangles,
  sub_buffers,
  maps,
  images,
  buffer_images,
  svm,
  svm_buffers,
  host_pointers,
  staging,
  user_events,
  failures,
  callbacks,
  releases,
  destructors,
  prints,
  profiling,
  rebuilds,
  threads,
  blocking,
  lazy,              // an unmap is enqueued before its map has come to an end
  blocked_failures,  // calls that block behind an event that fails: the embedded device hangs
  strict,            // what the embedded device itself gets wrong; see rules.cpp
  count
};

class Kinds {
 public:
  static Kinds usual();  // all but the last two
  bool has(Kind kind) const { return (bits_ >> static_cast<unsigned>(kind) & 1) != 0; }
  // "all", "usual", "NAME,NAME", "-NAME,-NAME"; throws std::invalid_argument.
  static Kinds parse(const std::string& text);
  static std::string names();

 private:
  std::uint64_t bits_ = 0;
};

// The numbers of these stand in the files of kept programs: new ones come last.
enum class ObjectKind { host, buffer, sub_buffer, image, buffer_image, svm, svm_buffer };

struct Object {
  ObjectKind kind = ObjectKind::buffer;
  std::size_t size = 0;
  int parent = -1;         // whose bytes these are: of a sub-buffer, an image or a buffer over SVM
  std::size_t offset = 0;  // in the parent
  std::size_t width = 0;   // of an image, in pixels of four bytes
  int flags = 0;     // of a buffer: 0 copied contents, 1 CL_MEM_USE_HOST_PTR, 2 ALLOC_HOST_PTR
  int creator = -1;  // the step that creates it; -1: made before the first step
  bool destructor = false;
  std::size_t pitch() const { return width * 4; }
};

struct Queue {
  bool unordered = false;
  bool profiling = false;
};

enum class Op {
  create,
  release,
  write,
  read,
  copy,
  fill,
  map,
  unmap,
  kernel,
  marker,
  barrier,
  migrate,
  user_event,
  set_user_event,
  wait,
  finish,
  flush,
  poll,
  callback,
  wait_callback,
  wait_destroyed,
  release_event,
  host_fill,
  host_check,
  touch,
};

enum class KernelKind { add, mix, say, image_add };
enum class MapMode { read, write, read_write, invalidate };

struct Place {
  std::size_t offset = 0;
  std::size_t pitch = 0;
};

struct Step {
  Op op = Op::flush;
  int thread = 0;
  int queue = -1;
  bool blocking = false;
  bool has_event = true;
  bool rect = false;
  int from = -1, to = -1;  // objects
  Place from_at, to_at;
  std::size_t row = 0, rows = 1;
  std::uint64_t value = 0;  // what is written, added or printed
  int pattern = 4;          // bytes of a fill's pattern
  KernelKind kernel = KernelKind::add;
  MapMode mode = MapMode::read;
  std::uint32_t spin = 0;  // how long a kernel computes
  int target = -1;         // the step that this one is about
  int sets = -1;           // a callback that sets this user event
  int state = 0;           // of a callback; of a user event: its last status
  bool drops = false;      // a callback that gives back the event
  std::vector<int> waits, after;

  std::size_t bytes() const { return row * rows; }
};

struct Plan {
  std::uint64_t seed = 0;
  int threads = 1;
  bool rebuilds = false;
  std::vector<Queue> queues;
  std::vector<Object> objects;
  std::vector<Step> steps;

  // The object that holds the bytes, and where in it.
  int root(int object) const;
  std::size_t root_offset(int object) const;
};

bool is_command(Op op);  // has a command in a queue
bool makes_event(const Step& step);
inline bool is_write_map(MapMode mode) {
  return mode != MapMode::read;
}

// Reads and writes a plan as text, one line for each part.
std::string to_text(const Plan& plan);
Plan from_text(const std::string& text);  // throws std::invalid_argument

// As a reader would write it in C, a line for each step.
std::string as_code(const Plan& plan);
std::string as_code(const Plan& plan, int step);

// Bytes that differ at every offset, and from those of any other value.
void fill_pattern(std::uint64_t value, std::uint8_t* at, std::size_t bytes);

}  // namespace tessera::random

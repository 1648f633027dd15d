// SPDX-License-Identifier: Apache-2.0
//
// The objects that most cases need, made once per process, and owners for the ones they make.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/conformance/harness.h"

namespace tessera::conformance {

template <class T, cl_int (*Release)(T)>
class Handle {
 public:
  Handle() = default;
  explicit Handle(T object) : object_(object) {}
  Handle(Handle&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Handle() { reset(); }
  operator T() const { return object_; }
  const T* at() const { return &object_; }
  T* out() {
    reset();
    return &object_;
  }
  void reset() {
    if (object_ != nullptr) Release(std::exchange(object_, nullptr));
  }
  T give_up() { return std::exchange(object_, nullptr); }

 private:
  T object_ = nullptr;
};

using Context = Handle<cl_context, clReleaseContext>;
using Queue = Handle<cl_command_queue, clReleaseCommandQueue>;
using Mem = Handle<cl_mem, clReleaseMemObject>;
using Sampler = Handle<cl_sampler, clReleaseSampler>;
using Program = Handle<cl_program, clReleaseProgram>;
using Kernel = Handle<cl_kernel, clReleaseKernel>;
using Event = Handle<cl_event, clReleaseEvent>;

inline constexpr std::size_t kBytes = 4096;    // of the shared buffers
inline constexpr std::size_t kImageSide = 16;  // pixels of the shared RGBA8 images

struct World {
  cl_platform_id platform = nullptr;
  cl_device_id device = nullptr;
  const cl_icd_dispatch* table = nullptr;
  bool tessera = false;
  bool svm_coarse = false;
  bool svm_fine = false;

  Context ctx, other_ctx;
  Queue queue, unordered, unprofiled, other_queue;
  Mem buf, dst, other_buf;            // kBytes each
  Mem image, dst_image, other_image;  // 2D, RGBA8, kImageSide squared
  Sampler sampler, other_sampler;
  Program program, other_program;
  Kernel add_one, scale, nothing;  // add_one has `buf`, scale has nothing set
  Event done, other_done;          // complete
};

// An object of another kind where `T` is wanted: a live handle, so a loader can read its table.
template <class T, class Object>
T as(const Object& object) {
  return reinterpret_cast<T>(static_cast<void*>(*object.at()));
}

// Throws Failure when the driver cannot make the basic objects.
World& world();

std::string platform_name(cl_platform_id platform);
std::string device_text(cl_device_id device, cl_device_info what);

template <class T>
T device_fact(const World& w, cl_device_info what) {
  T value{};
  OK(clGetDeviceInfo(w.device, what, sizeof value, &value, nullptr));
  return value;
}

Mem new_buffer(const World& w, cl_mem_flags flags, std::size_t size, void* host = nullptr);
Queue new_queue(const World& w, cl_command_queue_properties properties = 0);
Program new_program(const World& w, const std::string& source, const char* options = "");
Kernel new_kernel(cl_program program, const char* name);
Event new_user_event(const World& w);
Mem new_image(const World& w, cl_mem_flags flags, cl_image_format format, cl_image_desc desc,
              void* host = nullptr);
cl_image_desc image_2d(std::size_t width, std::size_t height);

template <class T>
std::vector<T> read_all(const World& w, cl_mem buffer, std::size_t count) {
  std::vector<T> out(count);
  OK(clEnqueueReadBuffer(w.queue, buffer, CL_TRUE, 0, count * sizeof(T), out.data(), 0, nullptr,
                         nullptr));
  return out;
}

template <class T>
void write_all(const World& w, cl_mem buffer, const std::vector<T>& in) {
  OK(clEnqueueWriteBuffer(w.queue, buffer, CL_TRUE, 0, in.size() * sizeof(T), in.data(), 0, nullptr,
                          nullptr));
}

// Bytes that differ at every offset within any small stride.
std::vector<unsigned char> pattern(std::size_t bytes, unsigned seed = 1);

template <class Get, class Object>
cl_uint reference_count(Get get, Object object, cl_uint what) {
  cl_uint count = 0;
  OK(get(object, what, sizeof count, &count, nullptr));
  return count;
}

// A buffer's contents starts at zero.
void zero(const World& w, cl_mem buffer, std::size_t bytes);

// The execution status of an event.
cl_int status_of(cl_event event);

// One parameter of an info query: its size in bytes, 0 where it varies.
struct Param {
  cl_uint name;
  std::size_t size;
};

// Asks for every parameter as the standard describes: the size alone, the exact room, one byte
// less.
template <class Get>
void check_info(Get get, const std::vector<Param>& params) {
  for (const Param& param : params) {
    const std::string label = "parameter " + std::to_string(param.name);
    std::size_t size = 0;
    CODE(get(param.name, 0, nullptr, &size), CL_SUCCESS);
    if (param.size != 0 && size != param.size) {
      throw Failure(std::to_string(size), std::to_string(param.size), "size of " + label);
    }
    std::vector<unsigned char> room(size + 8, 0xA5);
    std::size_t again = 0;
    const cl_int code = get(param.name, size, size == 0 ? nullptr : room.data(), &again);
    if (code != CL_SUCCESS) throw Failure(code_name(code), "CL_SUCCESS", label);
    SAME(again, size);
    for (std::size_t i = size; i < room.size(); ++i) {
      if (room[i] != 0xA5) throw Failure("bytes past the room written", "untouched", label);
    }
    if (size == 0) continue;
    const cl_int small = get(param.name, size - 1, room.data(), nullptr);
    if (small != CL_INVALID_VALUE)
      throw Failure(code_name(small), "CL_INVALID_VALUE", label + ", short");
  }
}

}  // namespace tessera::conformance

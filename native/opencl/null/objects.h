// SPDX-License-Identifier: Apache-2.0
//
// The null driver: an OpenCL 3.0 driver without a device, for units, fuzzing and TSan.
//
// Memory is host memory and every transfer, fill and copy is really done; a build only looks for
// `kernel void NAME(arguments)`, and running a kernel does nothing. What a real driver would crash
// on, it finds: a handle that it never gave out, or took back, aborts the process. So a fuzzed
// worker that passes on rubbish dies here, loudly, and not once in a thousand runs somewhere in a
// device's code.
//
// Two counts per object. `api` is what the application holds; at 0 the handle is dead, and using it
// aborts. `total` adds what the driver itself holds (commands in flight, parents): at 0 memory is
// freed. A single count was refused: it would call a handle valid as long as any command still uses
// the object.
//
// Commands complete at once, or as soon as the user events that they wait for are set. With
// TESSERA_NULL_ASYNC=1 a device thread runs them and calls the callbacks, as real drivers do. With
// TESSERA_NULL_LATE=1 a command runs when somebody waits for it, and what it need not wait for runs
// later still: whoever forgets a dependency reads what was there before. With TESSERA_NULL_SILENT=1
// it never calls back for an event that failed, as some real drivers. With TESSERA_NULL_EARLY=1 a
// command fails with the first event of its wait-list that does, as with some real drivers, and not
// when all have ended.
#pragma once

#define CL_USE_DEPRECATED_OPENCL_1_0_APIS
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#define CL_USE_DEPRECATED_OPENCL_2_0_APIS
#define CL_USE_DEPRECATED_OPENCL_2_1_APIS
#define CL_USE_DEPRECATED_OPENCL_2_2_APIS
#include <CL/cl.h>
#include <CL/cl_icd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tessera::null {

const cl_icd_dispatch* dispatch_table();

// The loader wants the dispatch table at the very beginning of an object: hence no virtual
// functions.
struct Object {
  const cl_icd_dispatch* dispatch = dispatch_table();
  std::atomic<cl_uint> api{1};
  std::atomic<cl_uint> total{1};
};

// What the driver itself holds of an object.
template <class T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T* object) : object_(object) {
    if (object_ != nullptr) object_->total.fetch_add(1);
  }
  Ref(const Ref& other) : Ref(other.object_) {}
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() { drop(object_); }
  static void drop(T* object) {
    if (object != nullptr && object->total.fetch_sub(1) == 1) delete object;
  }
  T* get() const { return object_; }
  T* operator->() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  T* object_ = nullptr;
};

enum class Kind { platform, device, context, queue, mem, sampler, program, kernel, event };

// Guards what several threads of an application may use at once: events, queues, programs, memory.
// Not the arguments of kernels: the API leaves that to the application, and TSan is to see who
// forgets.
std::mutex& big_lock();

// Prints what went wrong and aborts.
[[noreturn]] void die(const char* what, const void* handle);

void register_handle(const void* handle, Kind kind);
void unregister_handle(const void* handle);
bool is_registered(const void* handle, Kind kind);
// Handles that applications hold.
std::size_t live_handles();

constexpr Kind kind_of(cl_platform_id) {
  return Kind::platform;
}
constexpr Kind kind_of(cl_device_id) {
  return Kind::device;
}
constexpr Kind kind_of(cl_context) {
  return Kind::context;
}
constexpr Kind kind_of(cl_command_queue) {
  return Kind::queue;
}
constexpr Kind kind_of(cl_mem) {
  return Kind::mem;
}
constexpr Kind kind_of(cl_sampler) {
  return Kind::sampler;
}
constexpr Kind kind_of(cl_program) {
  return Kind::program;
}
constexpr Kind kind_of(cl_kernel) {
  return Kind::kernel;
}
constexpr Kind kind_of(cl_event) {
  return Kind::event;
}

// False for NULL, which the API has an error for; aborts on every other handle that is none.
template <class T>
bool valid(T* handle) {
  if (handle == nullptr) return false;
  if (!is_registered(handle, kind_of(handle))) die("used a handle that is not alive", handle);
  return true;
}

template <class T>
T* publish(std::unique_ptr<T> object) {
  register_handle(object.get(), kind_of(object.get()));
  return object.release();
}

template <class T>
cl_int retain(T* handle, cl_int invalid) {
  if (!valid(handle)) return invalid;
  handle->api.fetch_add(1);
  return CL_SUCCESS;
}

template <class T>
cl_int release(T* handle, cl_int invalid) {
  if (!valid(handle)) return invalid;
  if (handle->api.fetch_sub(1) == 1) {
    unregister_handle(handle);
    Ref<T>::drop(handle);
  }
  return CL_SUCCESS;
}

// Where a clGet*Info call wants its answer.
struct Query {
  std::size_t size;
  void* value;
  std::size_t* needed;

  cl_int bytes(const void* from, std::size_t count) const;
  cl_int text(const std::string& value_text) const;
  template <class T>
  cl_int one(const T& answer) const {
    return bytes(&answer, sizeof answer);
  }
  template <class T>
  cl_int list(const std::vector<T>& answer) const {
    return bytes(answer.data(), answer.size() * sizeof(T));
  }
};

// Sets errcode_ret and gives a null handle.
std::nullptr_t refuse(cl_int* errcode, cl_int error);
template <class T>
T* grant(cl_int* errcode, std::unique_ptr<T> object) {
  if (errcode != nullptr) *errcode = CL_SUCCESS;
  return publish(std::move(object));
}

using Bytes = std::shared_ptr<std::byte[]>;
// Memory counted against the device's, zeroed unless the device is a GPU (device_memory.h); null if
// there is no more.
Bytes allocate(std::size_t size);

// How many commands failed by a user event while another that they wait for could run: there, real
// drivers crash once in a while.
int hasty_failures();
// How many commands that had failed early were looked at by another event that they waited for,
// after the application gave them back: there, real drivers read freed memory.
int forgotten_failures();

// One kernel of a program, as the text says.
enum class ArgumentKind { value, buffer, local, image, sampler };
struct Argument {
  ArgumentKind kind;
  std::size_t size;  // of a value
  cl_kernel_arg_address_qualifier address;
  std::string type;
  std::string name;
};
struct KernelText {
  std::string name;
  std::vector<Argument> arguments;
};
std::vector<KernelText> parse_kernels(const std::string& source);

std::size_t pixel_size(const cl_image_format& format);  // bytes, 0 if not supported

}  // namespace tessera::null

struct _cl_platform_id : tessera::null::Object {};

struct _cl_device_id : tessera::null::Object {
  std::size_t index = 0;
  cl_ulong memory = 0;
  cl_uint units = 0;
  // Of a sub-device. Nothing but the application holds it: that is as far as drivers go.
  cl_device_id parent = nullptr;
  std::vector<cl_device_partition_property> partition_type;

  // One of the platform's devices cannot be partitioned, nor can a single compute unit.
  bool can_be_partitioned() const { return index == 0 && units > 1; }
};

struct _cl_context : tessera::null::Object {
  ~_cl_context();
  std::vector<cl_device_id> devices;
  std::vector<cl_context_properties> properties;
  std::vector<std::pair<void(CL_CALLBACK*)(cl_context, void*), void*>> destructors;
  std::unordered_map<void*, std::pair<tessera::null::Bytes, std::size_t>> svm;
  std::unordered_map<void*, std::pair<tessera::null::Bytes, std::size_t>> usm;
};

struct _cl_command_queue : tessera::null::Object {
  tessera::null::Ref<_cl_context> context;
  cl_device_id device = nullptr;
  cl_command_queue_properties properties = 0;
  std::vector<cl_queue_properties> asked;
  // Guarded by big_lock().
  std::unordered_map<cl_event, tessera::null::Ref<_cl_event>> pending;
  cl_event last =
      nullptr;  // in `pending`, or null: what the next command of an in-order queue waits for
};

struct _cl_event : tessera::null::Object {
  struct Callback {
    cl_int when;
    void(CL_CALLBACK* call)(cl_event, cl_int, void*);
    void* user_data;
  };
  tessera::null::Ref<_cl_context> context;
  tessera::null::Ref<_cl_command_queue> queue;
  cl_command_type type = CL_COMMAND_USER;
  // Guarded by big_lock().
  cl_int status = CL_QUEUED;
  cl_ulong times[4] = {};  // queued, submit, start, end
  std::size_t waits_for = 0;
  bool dependency_failed = false;
  std::vector<tessera::null::Ref<_cl_event>> dependents;
  std::vector<Callback> callbacks;
  std::function<cl_int()> work;
};

struct _cl_mem : tessera::null::Object {
  ~_cl_mem();
  std::byte* at(std::size_t offset) const { return bytes.get() + origin + offset; }

  tessera::null::Ref<_cl_context> context;
  tessera::null::Ref<_cl_mem> parent;
  tessera::null::Bytes bytes;
  cl_mem_object_type type = CL_MEM_OBJECT_BUFFER;
  cl_mem_flags flags = 0;
  std::size_t size = 0;
  std::size_t origin = 0;  // in the parent's bytes
  void* host = nullptr;
  std::vector<cl_mem_properties> properties;
  std::atomic<cl_uint> maps{0};
  // Images: pixels, and bytes from one row or slice to the next.
  cl_image_format format{};
  cl_image_desc desc{};
  std::size_t extent[3] = {1, 1, 1};
  std::size_t pixel = 0, row = 0, slice = 0;
  std::vector<std::pair<void(CL_CALLBACK*)(cl_mem, void*), void*>> destructors;
};

struct _cl_sampler : tessera::null::Object {
  tessera::null::Ref<_cl_context> context;
  cl_bool normalized = CL_TRUE;
  cl_addressing_mode addressing = CL_ADDRESS_CLAMP;
  cl_filter_mode filter = CL_FILTER_NEAREST;
  std::vector<cl_sampler_properties> properties;
};

struct _cl_program : tessera::null::Object {
  tessera::null::Ref<_cl_context> context;
  std::vector<cl_device_id> devices;
  std::string source;
  // Guarded by big_lock().
  std::string options, log;
  cl_build_status status = CL_BUILD_NONE;
  cl_program_binary_type binary_type = CL_PROGRAM_BINARY_TYPE_NONE;
  std::vector<tessera::null::KernelText> kernels;
  std::atomic<int> attached{0};  // kernels
};

struct _cl_kernel : tessera::null::Object {
  struct Slot {
    bool set = false;
    cl_mem mem = nullptr;
    cl_sampler sampler = nullptr;
    std::vector<std::byte> value;
  };
  ~_cl_kernel() { --program->attached; }
  tessera::null::Ref<_cl_program> program;
  tessera::null::KernelText text;
  std::vector<Slot> slots;
};

// SPDX-License-Identifier: Apache-2.0
//
// What all objects of the API have in common.
//
// Two counts are kept. `references` is the API's own (clRetain*, clRelease*, CL_*_REFERENCE_COUNT).
// `holds` counts who needs the object to live: all references together are one hold, and each Ref<>
// another (a kernel's on its program, a sub-buffer's on its buffer). The worker hears of a release
// when the last hold goes, children before parents, so that no message can name an object that is
// gone.
//
// No virtual functions: the loader wants the dispatch table in the first word, where a C++ object
// would keep its own table. Reading a kind before trusting a handle costs a load; a set of all live
// handles was refused, because every call would pay for a lookup to catch what the standard leaves
// undefined.
#pragma once

#include <CL/cl.h>
#include <CL/cl_ext.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "opencl/client/dispatch.h"
#include "opencl/client/errors.h"
#include "wire/codec.h"

namespace tessera::client {

class Session;
class Platform;
class Device;
class Partition;
class Context;
class Queue;
class Mem;
class Event;
class Sampler;
class Program;
class Kernel;
class CommandBuffer;

// Values that memory which is no object is unlikely to hold.
enum class Kind : std::uint32_t {
  dead = 0,
  platform = 0x7e55e401,
  device,
  context,
  queue,
  mem,
  event,
  sampler,
  program,
  kernel,
  partition,
  command_buffer,
};

template <class T>
struct Traits;
template <>
struct Traits<Platform> {
  using Handle = cl_platform_id;
  static constexpr Kind kKind = Kind::platform;
  static constexpr cl_int kInvalid = CL_INVALID_PLATFORM;
};
template <>
struct Traits<Device> {
  using Handle = cl_device_id;
  static constexpr Kind kKind = Kind::device;
  static constexpr cl_int kInvalid = CL_INVALID_DEVICE;
};
template <>
struct Traits<Partition> {
  using Handle = void*;  // the API has none
  static constexpr Kind kKind = Kind::partition;
  static constexpr cl_int kInvalid = CL_INVALID_DEVICE;
};
template <>
struct Traits<Context> {
  using Handle = cl_context;
  static constexpr Kind kKind = Kind::context;
  static constexpr cl_int kInvalid = CL_INVALID_CONTEXT;
};
template <>
struct Traits<Queue> {
  using Handle = cl_command_queue;
  static constexpr Kind kKind = Kind::queue;
  static constexpr cl_int kInvalid = CL_INVALID_COMMAND_QUEUE;
};
template <>
struct Traits<Mem> {
  using Handle = cl_mem;
  static constexpr Kind kKind = Kind::mem;
  static constexpr cl_int kInvalid = CL_INVALID_MEM_OBJECT;
};
template <>
struct Traits<Event> {
  using Handle = cl_event;
  static constexpr Kind kKind = Kind::event;
  static constexpr cl_int kInvalid = CL_INVALID_EVENT;
};
template <>
struct Traits<Sampler> {
  using Handle = cl_sampler;
  static constexpr Kind kKind = Kind::sampler;
  static constexpr cl_int kInvalid = CL_INVALID_SAMPLER;
};
template <>
struct Traits<Program> {
  using Handle = cl_program;
  static constexpr Kind kKind = Kind::program;
  static constexpr cl_int kInvalid = CL_INVALID_PROGRAM;
};
template <>
struct Traits<Kernel> {
  using Handle = cl_kernel;
  static constexpr Kind kKind = Kind::kernel;
  static constexpr cl_int kInvalid = CL_INVALID_KERNEL;
};
template <>
struct Traits<CommandBuffer> {
  using Handle = cl_command_buffer_khr;
  static constexpr Kind kKind = Kind::command_buffer;
  static constexpr cl_int kInvalid = CL_INVALID_COMMAND_BUFFER_KHR;
};

class Object {
 public:
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  Kind kind() const { return kind_.load(std::memory_order_relaxed); }
  wire::Id id() const { return id_; }
  // Only for objects of a session: not for the platform and the lease's devices.
  Session& session() const { return *session_; }
  bool has_session() const { return session_ != nullptr; }

  cl_uint references() const { return references_.load(std::memory_order_relaxed); }
  // From 0 again, too: a queue's context may be retained after the program released it, because the
  // queue still holds it; the program's own hold then begins anew.
  void retain() {
    if (references_.fetch_add(1, std::memory_order_relaxed) == 0) hold();
  }
  // True when this was the last reference; the caller then calls drop().
  bool release() { return references_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

  void hold() noexcept { holds_.fetch_add(1, std::memory_order_relaxed); }
  // False when the object is already on its way out; for lookups by id.
  bool try_hold() noexcept;
  // May destroy the object.
  void drop() noexcept;

  // Why the worker could not make it, or CL_SUCCESS. Such an object fails every command that names
  // it.
  cl_int poison() const { return poison_.load(std::memory_order_relaxed); }
  void set_poison(cl_int code) { poison_.store(code, std::memory_order_relaxed); }

  // The session knows the object by its id from here on, and tells the worker when it goes.
  void set_announced(bool announced) { announced_ = announced; }

 protected:
  using Destroy = void (*)(Object*) noexcept;
  Object(Kind kind, Session* session, Destroy destroy);
  ~Object() { kind_.store(Kind::dead, std::memory_order_relaxed); }

 private:
  [[maybe_unused]] const cl_icd_dispatch* dispatch_ = &kDispatch;  // must stay the first word
  std::atomic<Kind> kind_;
  std::atomic<cl_uint> references_{1};
  std::atomic<std::uint32_t> holds_{1};
  std::atomic<cl_int> poison_{CL_SUCCESS};
  bool announced_ = false;
  wire::Id id_ = 0;
  Session* session_;
  Destroy destroy_;
};

// The base of each type: class Context final : public Typed<Context> { ... };
template <class Self>
class Typed : public Object {
 public:
  using Handle = typename Traits<Self>::Handle;
  Handle handle() { return reinterpret_cast<Handle>(static_cast<Object*>(this)); }

 protected:
  explicit Typed(Session* session) : Object(Traits<Self>::kKind, session, &destroy) {}

 private:
  static void destroy(Object* object) noexcept { delete static_cast<Self*>(object); }
};

// One hold on an object.
template <class T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T& object) : object_(&object) { object_->hold(); }
  // Takes over a hold that exists already.
  static Ref adopt(T* object) {
    Ref ref;
    ref.object_ = object;
    return ref;
  }
  Ref(const Ref& other) : object_(other.object_) {
    if (object_ != nullptr) object_->hold();
  }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ != nullptr) object_->drop();
  }

  T* get() const { return object_; }
  T& operator*() const { return *object_; }
  T* operator->() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }
  // The hold becomes the caller's (the program's references, as a rule).
  T* give_up() { return std::exchange(object_, nullptr); }

 private:
  T* object_ = nullptr;
};

// A new object with one reference, which is the Ref's hold until give_handle() passes it to the
// program.
template <class T, class... Arguments>
Ref<T> make(Arguments&&... arguments) {
  return Ref<T>::adopt(new T(std::forward<Arguments>(arguments)...));
}

template <class T>
typename T::Handle give_handle(Ref<T> object) {
  return object.give_up()->handle();
}

// The object's session was this process's and still is: throws ApiError(CL_OUT_OF_RESOURCES) after
// a fork.
void ensure_not_forked(const Object& object);

// The object behind a handle of the program. Throws ApiError with the type's own code for nullptr
// and for objects of another type, and CL_OUT_OF_RESOURCES for an object that a fork left behind.
template <class T>
T& require(typename Traits<T>::Handle handle) {
  auto* object = reinterpret_cast<Object*>(handle);
  ensure(object != nullptr && object->kind() == Traits<T>::kKind, Traits<T>::kInvalid);
  ensure_not_forked(*object);
  return *static_cast<T*>(object);
}

}  // namespace tessera::client

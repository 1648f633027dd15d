// SPDX-License-Identifier: Apache-2.0
//
// A kernel and what its arguments are set to.
//
// Setting an argument sends nothing: what changed travels with the next launch, in its message.
// What did not change does not travel at all: programs that set all arguments before every launch
// are common, and most of their arguments never change. That needs no reference to the memory
// objects (the standard forbids a kernel to keep them alive): an id is never used twice, and the
// worker knows what to make of one that is gone. The address of shared virtual memory is used
// again, once it was freed, and drivers look at what lies there when it is set: so it always counts
// as a change, and so does a pointer of unified memory.
//
// A launch holds the kernel's lock until its message is sent if it brings changes: another thread's
// launch must not overtake it without them.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "opencl/client/image_layout.h"
#include "opencl/client/mem.h"
#include "opencl/client/object.h"
#include "opencl/client/program.h"
#include "opencl/client/sampler.h"

namespace tessera::client {

// What an argument holds.
struct KernelArgument {
  enum class What { unset, value, object, local, svm, pointer };
  // Of all values that one launch brings; a longer one is sent when it is set.
  static constexpr std::size_t kMostBytesTogether = 2048;
  What what = What::unset;
  std::vector<std::byte> value{};
  // object: its id or 0 for NULL; local: bytes; svm, pointer: the address
  std::uint64_t number = 0;
  std::size_t sub_buffer_at = 0;  // bytes; where a sub-buffer begins in its buffer
  ImageShape image{};             // type 0 for everything else
  bool changed = false;           // the worker has not got it yet

  // Setting it to `other` would change nothing.
  bool holds(const KernelArgument& other) const {
    const bool address = what == What::svm || what == What::pointer;
    return !address && what == other.what && number == other.number && value == other.value;
  }
};

class Kernel final : public Typed<Kernel> {
 public:
  Kernel(Program& program, Facts facts);
  // A clone: the same arguments.
  explicit Kernel(Kernel& source);
  ~Kernel() { program_->detach_kernel(); }

  Program& program() const { return *program_; }
  Context& context() const { return program_->context(); }
  const KernelFacts& facts() const { return *facts_; }
  const WorkGroupFacts* work_group(const Device& device) const;
  // Of the program's only device where the API allows none to be named. Throws
  // ApiError(CL_INVALID_DEVICE).
  Device& device(cl_device_id handle) const;

  // clSetKernelArg, clSetKernelArgSVMPointer and clSetKernelArgMemPointerINTEL. They throw
  // ApiError.
  void set(cl_uint index, std::size_t size, const void* value);
  void set_svm(cl_uint index, const void* address);
  void set_pointer(cl_uint index, const void* address);
  // Programs say before each launch that it may use all memory of a kind: once is enough.
  bool is_news(cl_kernel_exec_info indirect, bool allowed);

  // The objects that arguments name, held. Throws ApiError(CL_INVALID_KERNEL_ARGS) where one is
  // gone.
  std::vector<Ref<Object>> argument_objects();

  // Before a question whose answer may depend on the arguments.
  void send_changes();

  // Bytes of the local arguments, if the arguments allow a launch on the device. Throws ApiError:
  // CL_INVALID_KERNEL_ARGS, CL_MISALIGNED_SUB_BUFFER_OFFSET, CL_INVALID_IMAGE_SIZE.
  std::uint64_t ensure_launchable(const Device& device);
  // Bytes of local memory on the device, with the local arguments.
  std::uint64_t local_memory(const Device& device);

 private:
  friend class LaunchArguments;
  void set_value(cl_uint index, const ArgFacts& facts, std::size_t size, const void* value);
  void set_local(cl_uint index, std::size_t size, const void* value);
  void set_mem(cl_uint index, const ArgFacts& facts, std::size_t size, const void* value);
  void set_sampler(cl_uint index, std::size_t size, const void* value);
  void set_unknown(cl_uint index, std::size_t size, const void* value);
  const ArgFacts& arg_facts(cl_uint index) const;
  void change(cl_uint index, KernelArgument argument);
  // The lock is held in all of these.
  void mark_changed(KernelArgument& argument);
  void mark_sent(KernelArgument& argument);
  // In a message of its own. False where what the argument names is gone; nothing is sent then.
  bool send(cl_uint index);

  Ref<Program> program_;
  Facts facts_;
  std::mutex mutex_;
  std::vector<KernelArgument> arguments_;
  std::size_t changes_ = 0;  // of arguments_
  std::map<cl_kernel_exec_info, bool> indirect_;
};

}  // namespace tessera::client

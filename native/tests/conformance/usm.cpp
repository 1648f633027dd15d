// SPDX-License-Identifier: Apache-2.0
//
// Unified shared memory (cl_intel_unified_shared_memory) and suggested work-group sizes, where the
// device has them.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <numeric>

#include "tests/conformance/extension_queries.h"
#include "tests/conformance/usm_functions.h"

namespace tessera::conformance {
namespace {

void need_extension(const World& w, const char* name) {
  const auto names = announced_extensions(w.device);
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    throw Skip(std::string("the device does not announce ") + name);
  }
}

template <class Function>
void find(const World& w, const char* name, Function* function) {
  *function =
      reinterpret_cast<Function>(clGetExtensionFunctionAddressForPlatform(w.platform, name));
  THAT(*function != nullptr);
}

bool has(const World& w, cl_device_info query) {
  return device_fact<cl_device_unified_shared_memory_capabilities_intel>(w, query) != 0;
}

bool has(const World& w, Unified::Kind kind) {
  switch (kind) {
    case Unified::Kind::host:
      return has(w, CL_DEVICE_HOST_MEM_CAPABILITIES_INTEL);
    case Unified::Kind::device:
      return has(w, CL_DEVICE_DEVICE_MEM_CAPABILITIES_INTEL);
    case Unified::Kind::shared:
      return has(w, CL_DEVICE_SINGLE_DEVICE_SHARED_MEM_CAPABILITIES_INTEL);
  }
  return false;
}

constexpr Unified::Kind kAll[] = {Unified::Kind::host, Unified::Kind::device,
                                  Unified::Kind::shared};

void* allocate(const World& w, Unified::Kind kind, std::size_t bytes, cl_int* e) {
  switch (kind) {
    case Unified::Kind::host:
      return usm(w).host_alloc(w.ctx, nullptr, bytes, 0, e);
    case Unified::Kind::device:
      return usm(w).device_alloc(w.ctx, w.device, nullptr, bytes, 0, e);
    case Unified::Kind::shared:
      return usm(w).shared_alloc(w.ctx, w.device, nullptr, bytes, 0, e);
  }
  return nullptr;
}

template <class T>
T info(const World& w, const void* at, cl_mem_info_intel what) {
  T value{};
  std::size_t size = 0;
  OK(usm(w).info(w.ctx, at, what, sizeof value, &value, &size));
  SAME(size, sizeof value);
  return value;
}

void copy(const World& w, void* to, const void* from, std::size_t bytes) {
  OK(usm(w).copy(w.queue, CL_TRUE, to, from, bytes, 0, nullptr, nullptr));
}

void run_add_one(const World& w, const void* at, std::size_t items) {
  Kernel add = new_kernel(w.program, "add_one");
  OK(usm(w).set_arg(add, 0, at));
  OK(clEnqueueNDRangeKernel(w.queue, add, 1, nullptr, &items, nullptr, 0, nullptr, nullptr));
}

}  // namespace

const UsmFunctions& usm(const World& w) {
  need_extension(w, "cl_intel_unified_shared_memory");
  static const UsmFunctions functions = [&] {
    UsmFunctions f{};
    find(w, "clHostMemAllocINTEL", &f.host_alloc);
    find(w, "clDeviceMemAllocINTEL", &f.device_alloc);
    find(w, "clSharedMemAllocINTEL", &f.shared_alloc);
    find(w, "clMemFreeINTEL", &f.free);
    find(w, "clMemBlockingFreeINTEL", &f.blocking_free);
    find(w, "clGetMemAllocInfoINTEL", &f.info);
    find(w, "clSetKernelArgMemPointerINTEL", &f.set_arg);
    find(w, "clEnqueueMemFillINTEL", &f.fill);
    find(w, "clEnqueueMemcpyINTEL", &f.copy);
    find(w, "clEnqueueMigrateMemINTEL", &f.migrate);
    find(w, "clEnqueueMemAdviseINTEL", &f.advise);
    return f;
  }();
  return functions;
}

Unified::Unified(const World& w, Kind kind, std::size_t bytes) : w_(w), at_(nullptr) {
  usm(w);
  if (!has(w, kind)) throw Skip("the device has no such unified memory");
  cl_int e = 1;
  at_ = allocate(w, kind, bytes, &e);
  OK(e);
  THAT(at_ != nullptr);
}

Unified::~Unified() {
  usm(w_).blocking_free(w_.ctx, at_);
}

namespace {

USE(clDeviceMemAllocINTEL, kernels_compute_in_it) {
  Unified memory(w, Unified::Kind::device, kBytes);
  std::array<cl_int, 1024> numbers{};
  std::iota(numbers.begin(), numbers.end(), 0);
  copy(w, memory.bytes(), numbers.data(), kBytes);
  run_add_one(w, memory.bytes(), 1024);
  // From the middle on once more.
  run_add_one(w, memory.ints() + 512, 512);
  copy(w, numbers.data(), memory.bytes(), kBytes);
  for (cl_int i = 0; i < 1024; ++i) SAME(numbers[i], i + (i < 512 ? 1 : 2));
}
USE(clDeviceMemAllocINTEL, fresh_memory_at_an_old_address) {
  // A kernel that had an allocation sees the next one at the same address, not what was there.
  usm(w);
  Kernel add = new_kernel(w.program, "add_one");
  for (cl_int round = 0; round < 20; ++round) {
    Unified memory(w, Unified::Kind::device, kBytes);
    const std::vector<cl_int> before(1024, round);
    copy(w, memory.bytes(), before.data(), kBytes);
    OK(usm(w).set_arg(add, 0, memory.bytes()));
    const std::size_t items = 1024;
    OK(clEnqueueNDRangeKernel(w.queue, add, 1, nullptr, &items, nullptr, 0, nullptr, nullptr));
    std::vector<cl_int> after(1024);
    copy(w, after.data(), memory.bytes(), kBytes);
    SAME(after[0], round + 1);
    SAME(after[1023], round + 1);
  }
}
USE(clDeviceMemAllocINTEL, found_by_its_address_in_other_memory) {
  Unified outer(w, Unified::Kind::device, sizeof(void*));
  Unified inner(w, Unified::Kind::device, 16);
  Program program =
      new_program(w, "kernel void follow(global ulong* at) { *(global int*)(*at + 8) = 77; }");
  Kernel follow = new_kernel(program, "follow");
  const cl_bool yes = CL_TRUE;
  OK(clSetKernelExecInfo(follow, CL_KERNEL_EXEC_INFO_INDIRECT_DEVICE_ACCESS_INTEL, sizeof yes,
                         &yes));
  void* const pointer = inner.bytes();
  OK(clSetKernelExecInfo(follow, CL_KERNEL_EXEC_INFO_USM_PTRS_INTEL, sizeof pointer, &pointer));
  copy(w, outer.bytes(), &pointer, sizeof pointer);
  OK(usm(w).set_arg(follow, 0, outer.bytes()));
  const std::size_t one = 1;
  OK(clEnqueueNDRangeKernel(w.queue, follow, 1, nullptr, &one, nullptr, 0, nullptr, nullptr));
  cl_int seen = 0;
  copy(w, &seen, inner.bytes() + 8, sizeof seen);
  SAME(seen, 77);
}
FAULT_BODY(clDeviceMemAllocINTEL, wrong_arguments) {
  const auto& f = usm(w);
  cl_int e = 1;
  const cl_ulong most = device_fact<cl_ulong>(w, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
  const auto code = [&](void* made) { return creation_code(made, e); };
  CODE(code(f.device_alloc(nullptr, w.device, nullptr, 64, 0, &e)), CL_INVALID_CONTEXT);
  CODE(code(f.device_alloc(w.ctx, nullptr, nullptr, 64, 0, &e)), CL_INVALID_DEVICE);
  CODE(code(f.device_alloc(w.ctx, w.device, nullptr, 0, 0, &e)), CL_INVALID_BUFFER_SIZE);
  CODE(code(f.device_alloc(w.ctx, w.device, nullptr, most + 1, 0, &e)), CL_INVALID_BUFFER_SIZE);
  CODE(code(f.device_alloc(w.ctx, w.device, nullptr, 64, 3, &e)), CL_INVALID_VALUE);
  const cl_mem_properties_intel unknown[] = {0x1234, 1, 0};
  CODE(code(f.device_alloc(w.ctx, w.device, unknown, 64, 0, &e)), CL_INVALID_PROPERTY);
  const cl_mem_properties_intel placed[] = {CL_MEM_ALLOC_FLAGS_INTEL,
                                            CL_MEM_ALLOC_INITIAL_PLACEMENT_DEVICE_INTEL, 0};
  CODE(code(f.device_alloc(w.ctx, w.device, placed, 64, 0, &e)), CL_INVALID_PROPERTY);
}

void seen_by_both(const World& w, Unified::Kind kind) {
  Unified memory(w, kind, kBytes);
  for (cl_int i = 0; i < 1024; ++i) memory.ints()[i] = i;
  run_add_one(w, memory.bytes(), 1024);
  OK(clFinish(w.queue));
  SAME(memory.ints()[0], 1);
  SAME(memory.ints()[1023], 1024);
  memory.ints()[5] = 100;
  run_add_one(w, memory.bytes(), 1024);
  OK(clFinish(w.queue));
  SAME(memory.ints()[5], 101);
}
USE(clHostMemAllocINTEL, seen_by_both_without_a_map) {
  seen_by_both(w, Unified::Kind::host);
}
USE(clSharedMemAllocINTEL, seen_by_both_without_a_map) {
  seen_by_both(w, Unified::Kind::shared);
}
USE(clSharedMemAllocINTEL, of_no_device) {
  usm(w);
  if (!has(w, Unified::Kind::shared)) throw Skip("the device has no such unified memory");
  cl_int e = 1;
  void* at = usm(w).shared_alloc(w.ctx, nullptr, nullptr, 64, 0, &e);
  OK(e);
  SAME(info<cl_device_id>(w, at, CL_MEM_ALLOC_DEVICE_INTEL), static_cast<cl_device_id>(nullptr));
  OK(usm(w).free(w.ctx, at));
}
FAULT_BODY(clHostMemAllocINTEL, what_the_device_has_not_is_an_invalid_operation) {
  usm(w);
  for (const Unified::Kind kind : kAll) {
    if (has(w, kind)) continue;
    cl_int e = 1;
    CODE(creation_code(allocate(w, kind, 64, &e), e), CL_INVALID_OPERATION);
  }
}

FAULT_BODY(clSharedMemAllocINTEL, wrong_arguments) {
  const auto& f = usm(w);
  if (!has(w, Unified::Kind::shared)) throw Skip("the device has no such unified memory");
  cl_int e = 1;
  const auto code = [&](void* made) { return creation_code(made, e); };
  CODE(code(f.shared_alloc(nullptr, w.device, nullptr, 64, 0, &e)), CL_INVALID_CONTEXT);
  CODE(code(f.shared_alloc(w.ctx, w.device, nullptr, 0, 0, &e)), CL_INVALID_BUFFER_SIZE);
  const cl_mem_properties_intel both[] = {
      CL_MEM_ALLOC_FLAGS_INTEL,
      CL_MEM_ALLOC_INITIAL_PLACEMENT_DEVICE_INTEL | CL_MEM_ALLOC_INITIAL_PLACEMENT_HOST_INTEL, 0};
  CODE(code(f.shared_alloc(w.ctx, w.device, both, 64, 0, &e)), CL_INVALID_PROPERTY);
}

USE(clMemFreeINTEL, of_what_nothing_uses) {
  usm(w);
  for (int round = 0; round < 3; ++round) {
    cl_int e = 1;
    void* at = allocate(w, Unified::Kind::device, kBytes, &e);
    OK(e);
    OK(usm(w).free(w.ctx, at));
    SAME(info<cl_unified_shared_memory_type_intel>(w, at, CL_MEM_ALLOC_TYPE_INTEL),
         cl_unified_shared_memory_type_intel{CL_MEM_TYPE_UNKNOWN_INTEL});
  }
}
USE(clMemBlockingFreeINTEL, waits_for_what_uses_it) {
  usm(w);
  cl_int e = 1;
  void* at = allocate(w, Unified::Kind::device, kBytes, &e);
  OK(e);
  const cl_int zero = 0;
  OK(usm(w).fill(w.queue, at, &zero, sizeof zero, kBytes, 0, nullptr, nullptr));
  Event last;
  cl_int seen = 1;
  OK(usm(w).copy(w.queue, CL_FALSE, &seen, at, sizeof seen, 0, nullptr, last.out()));
  OK(usm(w).blocking_free(w.ctx, at));
  cl_int status = CL_QUEUED;
  OK(clGetEventInfo(last, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, nullptr));
  SAME(status, CL_COMPLETE);
  SAME(seen, 0);
}
FAULT_BODY(clMemFreeINTEL, what_is_no_beginning_of_an_allocation) {
  Unified memory(w, Unified::Kind::device, 64);
  int mine = 0;
  OK(usm(w).free(w.ctx, nullptr));
  CODE(usm(w).free(w.ctx, &mine), CL_INVALID_VALUE);
  CODE(usm(w).free(w.ctx, memory.bytes() + 1), CL_INVALID_VALUE);
  CODE(usm(w).free(nullptr, memory.bytes()), CL_INVALID_CONTEXT);
}

FAULT_BODY(clMemBlockingFreeINTEL, what_is_no_beginning_of_an_allocation) {
  Unified memory(w, Unified::Kind::device, 64);
  CODE(usm(w).blocking_free(w.ctx, memory.bytes() + 1), CL_INVALID_VALUE);
  CODE(usm(w).blocking_free(nullptr, memory.bytes()), CL_INVALID_CONTEXT);
}

USE(clGetMemAllocInfoINTEL, of_every_byte_of_every_kind) {
  usm(w);
  const cl_unified_shared_memory_type_intel types[] = {
      CL_MEM_TYPE_HOST_INTEL, CL_MEM_TYPE_DEVICE_INTEL, CL_MEM_TYPE_SHARED_INTEL};
  for (std::size_t i = 0; i < 3; ++i) {
    if (!has(w, kAll[i])) continue;
    Unified memory(w, kAll[i], 1000);
    for (const std::size_t offset : {std::size_t{0}, std::size_t{1}, std::size_t{999}}) {
      const void* at = memory.bytes() + offset;
      SAME(info<cl_unified_shared_memory_type_intel>(w, at, CL_MEM_ALLOC_TYPE_INTEL), types[i]);
      SAME(info<void*>(w, at, CL_MEM_ALLOC_BASE_PTR_INTEL), static_cast<void*>(memory.bytes()));
      SAME(info<std::size_t>(w, at, CL_MEM_ALLOC_SIZE_INTEL), std::size_t{1000});
      SAME(info<cl_device_id>(w, at, CL_MEM_ALLOC_DEVICE_INTEL),
           kAll[i] == Unified::Kind::host ? nullptr : w.device);
      SAME(info<cl_mem_alloc_flags_intel>(w, at, CL_MEM_ALLOC_FLAGS_INTEL),
           cl_mem_alloc_flags_intel{0});
    }
    SAME(info<cl_unified_shared_memory_type_intel>(w, memory.bytes() + 1000,
                                                   CL_MEM_ALLOC_TYPE_INTEL),
         cl_unified_shared_memory_type_intel{CL_MEM_TYPE_UNKNOWN_INTEL});
  }
  SAME(info<cl_unified_shared_memory_type_intel>(w, nullptr, CL_MEM_ALLOC_TYPE_INTEL),
       cl_unified_shared_memory_type_intel{CL_MEM_TYPE_UNKNOWN_INTEL});
}
FAULT_BODY(clGetMemAllocInfoINTEL, wrong_arguments) {
  Unified memory(w, Unified::Kind::device, 64);
  std::size_t size = 0;
  CODE(usm(w).info(w.ctx, memory.bytes(), 0x1234, sizeof size, &size, nullptr), CL_INVALID_VALUE);
  CODE(usm(w).info(w.ctx, memory.bytes(), CL_MEM_ALLOC_SIZE_INTEL, 4, &size, nullptr),
       CL_INVALID_VALUE);
  CODE(usm(w).info(nullptr, memory.bytes(), CL_MEM_ALLOC_SIZE_INTEL, sizeof size, &size, nullptr),
       CL_INVALID_CONTEXT);
}

USE(clSetKernelArgMemPointerINTEL, null_and_inner_pointers) {
  Unified memory(w, Unified::Kind::device, 64);
  Kernel add = new_kernel(w.program, "add_one");
  OK(usm(w).set_arg(add, 0, nullptr));
  OK(usm(w).set_arg(add, 0, memory.bytes() + 60));
}
FAULT_BODY(clSetKernelArgMemPointerINTEL, wrong_arguments) {
  Unified memory(w, Unified::Kind::device, 64);
  Kernel add = new_kernel(w.program, "add_one");
  CODE(usm(w).set_arg(nullptr, 0, memory.bytes()), CL_INVALID_KERNEL);
  CODE(usm(w).set_arg(add, 99, memory.bytes()), CL_INVALID_ARG_INDEX);
}

USE(clEnqueueMemcpyINTEL, between_all_kinds_and_the_programs_own) {
  usm(w);
  std::array<unsigned char, 256> source{}, target{};
  std::iota(source.begin(), source.end(), static_cast<unsigned char>(0));
  for (const Unified::Kind from : kAll) {
    for (const Unified::Kind to : kAll) {
      if (!has(w, from) || !has(w, to)) continue;
      Unified first(w, from, 256), second(w, to, 256);
      target.fill(0);
      copy(w, first.bytes(), source.data(), 256);
      copy(w, second.bytes(), first.bytes(), 256);
      copy(w, target.data(), second.bytes(), 256);
      THAT(target == source);
    }
  }
  target.fill(0);
  copy(w, target.data(), source.data(), 256);
  THAT(target == source);
  copy(w, target.data(), source.data(), 0);
}
USE(clEnqueueMemcpyINTEL, in_the_order_of_its_wait_list) {
  Unified memory(w, Unified::Kind::device, 64);
  Event gate = new_user_event(w);
  Event filled, copied;
  const unsigned char nine = 9;
  unsigned char seen = 0;
  OK(usm(w).fill(w.unordered, memory.bytes(), &nine, 1, 64, 1, gate.at(), filled.out()));
  OK(usm(w).copy(w.unordered, CL_FALSE, &seen, memory.bytes() + 63, 1, 1, filled.at(),
                 copied.out()));
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clWaitForEvents(1, copied.at()));
  SAME(seen, 9);
  cl_command_type type = 0;
  OK(clGetEventInfo(copied, CL_EVENT_COMMAND_TYPE, sizeof type, &type, nullptr));
  SAME(type, cl_command_type{CL_COMMAND_MEMCPY_INTEL});
  OK(clGetEventInfo(filled, CL_EVENT_COMMAND_TYPE, sizeof type, &type, nullptr));
  SAME(type, cl_command_type{CL_COMMAND_MEMFILL_INTEL});
}
FAULT_BODY(clEnqueueMemcpyINTEL, wrong_arguments) {
  Unified memory(w, Unified::Kind::device, 64);
  std::array<unsigned char, 128> mine{};
  const auto code = [&](void* to, const void* from, std::size_t size) {
    return usm(w).copy(w.queue, CL_TRUE, to, from, size, 0, nullptr, nullptr);
  };
  CODE(code(memory.bytes(), mine.data(), 65), CL_INVALID_VALUE);
  CODE(code(mine.data(), memory.bytes() + 60, 5), CL_INVALID_VALUE);
  CODE(code(memory.bytes() + 4, memory.bytes(), 8), CL_MEM_COPY_OVERLAP);
}

USE(clEnqueueMemFillINTEL, patterns) {
  Unified memory(w, Unified::Kind::device, kBytes);
  std::array<unsigned char, 128> pattern{};
  std::iota(pattern.begin(), pattern.end(), static_cast<unsigned char>(1));
  for (std::size_t size = 1; size <= 128; size *= 2) {
    OK(usm(w).fill(w.queue, memory.bytes(), pattern.data(), size, kBytes, 0, nullptr, nullptr));
    std::vector<unsigned char> seen(kBytes);
    copy(w, seen.data(), memory.bytes(), kBytes);
    for (std::size_t i = 0; i < kBytes; ++i) SAME(seen[i], pattern[i % size]);
  }
}
FAULT_BODY(clEnqueueMemFillINTEL, wrong_arguments) {
  Unified memory(w, Unified::Kind::device, kBytes);
  const std::array<unsigned char, 256> pattern{};
  const auto code = [&](void* to, std::size_t pattern_size, std::size_t size) {
    return usm(w).fill(w.queue, to, pattern.data(), pattern_size, size, 0, nullptr, nullptr);
  };
  CODE(code(nullptr, 4, 64), CL_INVALID_VALUE);
  CODE(code(memory.bytes(), 3, 6), CL_INVALID_VALUE);
  CODE(code(memory.bytes(), 256, 256), CL_INVALID_VALUE);
  CODE(code(memory.bytes() + 1, 4, 8), CL_INVALID_VALUE);
  CODE(code(memory.bytes(), 4, 9), CL_INVALID_VALUE);
}

USE(clEnqueueMigrateMemINTEL, hints_change_nothing) {
  Unified memory(w, Unified::Kind::shared, 64);
  const unsigned char four = 4;
  OK(usm(w).fill(w.queue, memory.bytes(), &four, 1, 64, 0, nullptr, nullptr));
  OK(usm(w).migrate(w.queue, memory.bytes(), 64, CL_MIGRATE_MEM_OBJECT_HOST, 0, nullptr, nullptr));
  unsigned char seen = 0;
  copy(w, &seen, memory.bytes(), 1);
  SAME(seen, 4);
}
FAULT_BODY(clEnqueueMigrateMemINTEL, unknown_flags) {
  Unified memory(w, Unified::Kind::device, 64);
  CODE(usm(w).migrate(w.queue, memory.bytes(), 64, 64, 0, nullptr, nullptr), CL_INVALID_VALUE);
}
USE(clEnqueueMemAdviseINTEL, hints_change_nothing) {
  Unified memory(w, Unified::Kind::device, 64);
  Event end;
  OK(usm(w).advise(w.queue, memory.bytes(), 64, 1, 0, nullptr, end.out()));
  OK(clWaitForEvents(1, end.at()));
}
FAULT_BODY(clEnqueueMemAdviseINTEL, of_nothing) {
  CODE(usm(w).advise(w.queue, nullptr, 64, 1, 0, nullptr, nullptr), CL_INVALID_VALUE);
}

clGetKernelSuggestedLocalWorkSizeKHR_fn suggest(const World& w) {
  need_extension(w, "cl_khr_suggested_local_work_size");
  clGetKernelSuggestedLocalWorkSizeKHR_fn function = nullptr;
  find(w, "clGetKernelSuggestedLocalWorkSizeKHR", &function);
  return function;
}

USE(clGetKernelSuggestedLocalWorkSizeKHR, a_size_that_runs) {
  const auto function = suggest(w);
  for (const cl_uint dimensions : {1u, 2u, 3u}) {
    const std::size_t global[3] = {96, 4, 2};
    std::size_t local[3] = {0, 0, 0};
    OK(function(w.queue, w.add_one, dimensions, nullptr, global, local));
    std::size_t items = 1;
    for (cl_uint i = 0; i < dimensions; ++i) THAT((items *= local[i]) != 0);
    THAT(items <= device_fact<std::size_t>(w, CL_DEVICE_MAX_WORK_GROUP_SIZE));
    OK(clEnqueueNDRangeKernel(w.queue, w.nothing, dimensions, nullptr, global, local, 0, nullptr,
                              nullptr));
  }
  OK(clFinish(w.queue));
}
FAULT_BODY(clGetKernelSuggestedLocalWorkSizeKHR, wrong_arguments) {
  const auto function = suggest(w);
  const std::size_t global[3] = {64, 1, 1}, none[3] = {0, 0, 0};
  std::size_t local[3] = {};
  CODE(function(nullptr, w.add_one, 1, nullptr, global, local), CL_INVALID_COMMAND_QUEUE);
  CODE(function(w.queue, nullptr, 1, nullptr, global, local), CL_INVALID_KERNEL);
  CODE(function(w.queue, w.scale, 1, nullptr, global, local), CL_INVALID_KERNEL_ARGS);
  CODE(function(w.queue, w.add_one, 4, nullptr, global, local), CL_INVALID_WORK_DIMENSION);
  CODE(function(w.queue, w.add_one, 1, nullptr, none, local), CL_INVALID_GLOBAL_WORK_SIZE);
  CODE(function(w.queue, w.add_one, 1, nullptr, nullptr, local), CL_INVALID_GLOBAL_WORK_SIZE);
  CODE(function(w.queue, w.add_one, 1, nullptr, global, nullptr), CL_INVALID_VALUE);
}

}  // namespace
}  // namespace tessera::conformance

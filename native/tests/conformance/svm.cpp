// SPDX-License-Identifier: Apache-2.0
//
// Shared virtual memory: coarse grain, and fine grain where the device has it.
#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

void need(const World& w) {
  if (!w.svm_coarse) throw Skip("the device has no shared virtual memory");
}

class Shared {
 public:
  Shared(const World& w, std::size_t bytes, cl_svm_mem_flags flags = CL_MEM_READ_WRITE)
      : ctx_(w.ctx), at_(clSVMAlloc(w.ctx, flags, bytes, 0)) {
    THAT(at_ != nullptr);
  }
  Shared(const Shared&) = delete;
  ~Shared() { clSVMFree(ctx_, at_); }
  unsigned char* bytes() const { return static_cast<unsigned char*>(at_); }
  cl_int* ints() const { return static_cast<cl_int*>(at_); }

 private:
  cl_context ctx_;
  void* at_;
};

void map(const World& w, void* at, std::size_t size, cl_map_flags flags) {
  OK(clEnqueueSVMMap(w.queue, CL_TRUE, flags, at, size, 0, nullptr, nullptr));
}
void unmap(const World& w, void* at) {
  OK(clEnqueueSVMUnmap(w.queue, at, 0, nullptr, nullptr));
}

cl_int run_add_one(const World& w, const void* at, std::size_t items) {
  Kernel add = new_kernel(w.program, "add_one");
  OK(clSetKernelArgSVMPointer(add, 0, at));
  return clEnqueueNDRangeKernel(w.queue, add, 1, nullptr, &items, nullptr, 0, nullptr, nullptr);
}

USE(clSVMAlloc, aligned_as_asked) {
  need(w);
  for (const cl_uint align : {0u, 4u, 64u, 128u}) {
    void* at = clSVMAlloc(w.ctx, CL_MEM_READ_WRITE, 1000, align);
    THAT(at != nullptr);
    if (align != 0) SAME(reinterpret_cast<std::uintptr_t>(at) % align, std::uintptr_t{0});
    clSVMFree(w.ctx, at);
  }
}
USE(clSVMAlloc, fine_grain_is_seen_by_both_sides) {
  need(w);
  if (!w.svm_fine) throw Skip("the device has no fine-grain buffers");
  Shared memory(w, kBytes, CL_MEM_READ_WRITE | CL_MEM_SVM_FINE_GRAIN_BUFFER);
  for (cl_int i = 0; i < 1024; ++i) memory.ints()[i] = i;
  OK(run_add_one(w, memory.bytes(), 1024));
  OK(clFinish(w.queue));
  SAME(memory.ints()[0], 1);
  SAME(memory.ints()[1023], 1024);
  memory.ints()[5] = 100;
  OK(run_add_one(w, memory.bytes(), 1024));
  OK(clFinish(w.queue));
  SAME(memory.ints()[5], 101);
}
FAULT_BODY(clSVMAlloc, null_context) {
  SAME(w.table->clSVMAlloc(nullptr, CL_MEM_READ_WRITE, 64, 0), static_cast<void*>(nullptr));
}
FAULT_BODY(clSVMAlloc, no_bytes) {
  SAME(clSVMAlloc(w.ctx, CL_MEM_READ_WRITE, 0, 0), static_cast<void*>(nullptr));
}
FAULT_BODY(clSVMAlloc, larger_than_the_device_allocates) {
  SAME(clSVMAlloc(w.ctx, CL_MEM_READ_WRITE,
                  device_fact<cl_ulong>(w, CL_DEVICE_MAX_MEM_ALLOC_SIZE) + 1, 0),
       static_cast<void*>(nullptr));
}
FAULT_BODY(clSVMAlloc, alignment_of_three) {
  SAME(clSVMAlloc(w.ctx, CL_MEM_READ_WRITE, 64, 3), static_cast<void*>(nullptr));
}
FAULT_BODY(clSVMAlloc, conflicting_flags) {
  SAME(clSVMAlloc(w.ctx, CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY, 64, 0), static_cast<void*>(nullptr));
}

USE(clSVMFree, of_nothing_and_of_memory) {
  need(w);
  clSVMFree(w.ctx, nullptr);
  clSVMFree(w.ctx, clSVMAlloc(w.ctx, CL_MEM_READ_WRITE, 64, 0));
  OK(clFinish(w.queue));
}

USE(clEnqueueSVMMap, kernels_see_what_the_host_wrote) {
  need(w);
  Shared memory(w, kBytes);
  map(w, memory.bytes(), kBytes, CL_MAP_WRITE_INVALIDATE_REGION);
  for (cl_int i = 0; i < 1024; ++i) memory.ints()[i] = 3 * i;
  unmap(w, memory.bytes());
  OK(run_add_one(w, memory.bytes(), 1024));
  map(w, memory.bytes(), kBytes, CL_MAP_READ);
  SAME(memory.ints()[1], 4);
  SAME(memory.ints()[1023], 3070);
  unmap(w, memory.bytes());
  OK(clFinish(w.queue));
}
USE(clEnqueueSVMMap, part_in_the_middle) {
  need(w);
  Shared memory(w, kBytes);
  const cl_uint zeros = 0;
  OK(clEnqueueSVMMemFill(w.queue, memory.bytes(), &zeros, 4, kBytes, 0, nullptr, nullptr));
  map(w, memory.bytes() + 1024, 512, CL_MAP_WRITE);
  memory.bytes()[1024] = 9;
  unmap(w, memory.bytes() + 1024);
  std::array<unsigned char, 2> seen{};
  OK(clEnqueueSVMMemcpy(w.queue, CL_TRUE, seen.data(), memory.bytes() + 1024, 2, 0, nullptr,
                        nullptr));
  SAME(seen[0], 9);
  SAME(seen[1], 0);
}
FAULT(clEnqueueSVMMap, null_pointer, CL_INVALID_VALUE,
      (w.queue, CL_TRUE, CL_MAP_READ, nullptr, 64, 0, nullptr, nullptr))
FAULT_BODY(clEnqueueSVMMap, no_bytes) {
  need(w);
  Shared memory(w, 64);
  CODE(clEnqueueSVMMap(w.queue, CL_TRUE, CL_MAP_READ, memory.bytes(), 0, 0, nullptr, nullptr),
       CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueSVMMap, unknown_flag) {
  need(w);
  Shared memory(w, 64);
  CODE(clEnqueueSVMMap(w.queue, CL_TRUE, 1u << 12, memory.bytes(), 64, 0, nullptr, nullptr),
       CL_INVALID_VALUE);
}
FAULT(clEnqueueSVMUnmap, null_pointer, CL_INVALID_VALUE, (w.queue, nullptr, 0, nullptr, nullptr))

USE(clEnqueueSVMMemcpy, in_every_direction) {
  need(w);
  Shared a(w, kBytes), b(w, kBytes);
  const auto bytes = pattern(kBytes);
  std::vector<unsigned char> seen(kBytes);
  OK(clEnqueueSVMMemcpy(w.queue, CL_TRUE, a.bytes(), bytes.data(), kBytes, 0, nullptr, nullptr));
  OK(clEnqueueSVMMemcpy(w.queue, CL_FALSE, b.bytes(), a.bytes(), kBytes, 0, nullptr, nullptr));
  OK(clEnqueueSVMMemcpy(w.queue, CL_FALSE, seen.data(), b.bytes() + 96, kBytes - 96, 0, nullptr,
                        nullptr));
  OK(clFinish(w.queue));
  SAME(std::memcmp(seen.data(), bytes.data() + 96, kBytes - 96), 0);
}
USE(clEnqueueSVMMemcpy, larger_than_32_mib) {
  need(w);
  const std::size_t size = 40u << 20;
  Shared memory(w, size);
  const auto bytes = pattern(size, 2);
  std::vector<unsigned char> seen(size);
  OK(clEnqueueSVMMemcpy(w.queue, CL_TRUE, memory.bytes(), bytes.data(), size, 0, nullptr, nullptr));
  OK(clEnqueueSVMMemcpy(w.queue, CL_TRUE, seen.data(), memory.bytes(), size, 0, nullptr, nullptr));
  THAT(seen == bytes);
}
FAULT(clEnqueueSVMMemcpy, null_destination, CL_INVALID_VALUE,
      (w.queue, CL_TRUE, nullptr, &w, 8, 0, nullptr, nullptr))
FAULT(clEnqueueSVMMemcpy, null_source, CL_INVALID_VALUE,
      (w.queue, CL_TRUE, &w, nullptr, 8, 0, nullptr, nullptr))
FAULT_BODY(clEnqueueSVMMemcpy, overlapping) {
  need(w);
  Shared memory(w, 256);
  CODE(clEnqueueSVMMemcpy(w.queue, CL_TRUE, memory.bytes() + 16, memory.bytes(), 32, 0, nullptr,
                          nullptr),
       CL_MEM_COPY_OVERLAP);
}

USE(clEnqueueSVMMemFill, every_pattern_size) {
  need(w);
  Shared memory(w, kBytes);
  for (const std::size_t size : {1u, 2u, 4u, 8u, 16u, 32u, 64u, 128u}) {
    const auto bytes = pattern(size, static_cast<unsigned>(size));
    OK(clEnqueueSVMMemFill(w.queue, memory.bytes(), bytes.data(), size, 6 * size, 0, nullptr,
                           nullptr));
    std::vector<unsigned char> seen(6 * size);
    OK(clEnqueueSVMMemcpy(w.queue, CL_TRUE, seen.data(), memory.bytes(), seen.size(), 0, nullptr,
                          nullptr));
    for (std::size_t i = 0; i < seen.size(); ++i) SAME(seen[i], bytes[i % size]);
  }
}
FAULT(clEnqueueSVMMemFill, null_pointer, CL_INVALID_VALUE,
      (w.queue, nullptr, &kBytes, 4, 64, 0, nullptr, nullptr))
FAULT_BODY(clEnqueueSVMMemFill, bad_patterns) {
  need(w);
  Shared memory(w, 256);
  CODE(clEnqueueSVMMemFill(w.queue, memory.bytes(), nullptr, 4, 64, 0, nullptr, nullptr),
       CL_INVALID_VALUE);
  CODE(clEnqueueSVMMemFill(w.queue, memory.bytes(), &kBytes, 3, 63, 0, nullptr, nullptr),
       CL_INVALID_VALUE);
  CODE(clEnqueueSVMMemFill(w.queue, memory.bytes(), &kBytes, 0, 64, 0, nullptr, nullptr),
       CL_INVALID_VALUE);
  CODE(clEnqueueSVMMemFill(w.queue, memory.bytes(), &kBytes, 4, 66, 0, nullptr, nullptr),
       CL_INVALID_VALUE);
}

struct Freed {
  std::atomic<int> calls{0};
  std::atomic<void*> pointer{nullptr};
};
void CL_CALLBACK free_them(cl_command_queue queue, cl_uint count, void** pointers, void* user) {
  auto* freed = static_cast<Freed*>(user);
  cl_context ctx = nullptr;
  clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof ctx, &ctx, nullptr);
  for (cl_uint i = 0; i < count; ++i) {
    freed->pointer = pointers[i];
    clSVMFree(ctx, pointers[i]);
  }
  freed->calls += 1;
}
USE(clEnqueueSVMFree, by_the_driver_and_by_a_function) {
  need(w);
  void* first[] = {clSVMAlloc(w.ctx, CL_MEM_READ_WRITE, 64, 0),
                   clSVMAlloc(w.ctx, CL_MEM_READ_WRITE, 64, 0)};
  OK(clEnqueueSVMFree(w.queue, 2, first, nullptr, nullptr, 0, nullptr, nullptr));
  void* second[] = {clSVMAlloc(w.ctx, CL_MEM_READ_WRITE, 64, 0)};
  void* const kept = second[0];
  static Freed freed;
  OK(clEnqueueSVMFree(w.queue, 1, second, free_them, &freed, 0, nullptr, nullptr));
  second[0] = nullptr;
  OK(clFinish(w.queue));
  for (int i = 0; i < 2000 && freed.calls == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  SAME(freed.calls.load(), 1);
  SAME(freed.pointer.load(), kept);
}
FAULT(clEnqueueSVMFree, count_without_list, CL_INVALID_VALUE,
      (w.queue, 1, nullptr, nullptr, nullptr, 0, nullptr, nullptr))
FAULT_BODY(clEnqueueSVMFree, list_without_count) {
  void* list[] = {&w};
  CODE(clEnqueueSVMFree(w.queue, 0, list, nullptr, nullptr, 0, nullptr, nullptr), CL_INVALID_VALUE);
}

FAULT(clEnqueueSVMMigrateMem, none, CL_INVALID_VALUE,
      (w.queue, 0, nullptr, nullptr, 0, 0, nullptr, nullptr))
FAULT_BODY(clEnqueueSVMMigrateMem, unknown_flag) {
  need(w);
  Shared memory(w, 64);
  const void* list[] = {memory.bytes()};
  CODE(clEnqueueSVMMigrateMem(w.queue, 1, list, nullptr, 1u << 12, 0, nullptr, nullptr),
       CL_INVALID_VALUE);
}

USE(clSetKernelArgSVMPointer, into_the_middle) {
  need(w);
  Shared memory(w, kBytes);
  const cl_int seven = 7;
  OK(clEnqueueSVMMemFill(w.queue, memory.bytes(), &seven, 4, kBytes, 0, nullptr, nullptr));
  OK(run_add_one(w, memory.bytes() + 512, 8));
  map(w, memory.bytes(), kBytes, CL_MAP_READ);
  SAME(memory.ints()[127], 7);
  SAME(memory.ints()[128], 8);
  SAME(memory.ints()[135], 8);
  SAME(memory.ints()[136], 7);
  unmap(w, memory.bytes());
  OK(clFinish(w.queue));
}
TABLE_FAULT(clSetKernelArgSVMPointer, null_kernel, CL_INVALID_KERNEL, (nullptr, 0, nullptr))
FAULT(clSetKernelArgSVMPointer, index_past_the_last, CL_INVALID_ARG_INDEX, (w.scale, 7, nullptr))
FAULT(clSetKernelArgSVMPointer, of_a_scalar, ANY(CL_INVALID_ARG_VALUE, CL_INVALID_ARG_INDEX),
      (w.scale, 1, nullptr))

constexpr const char* kChase = R"(
typedef struct { global int* next; } node;
kernel void chase(global node* start, global int* out) { out[0] = start->next[2]; }
)";
USE(clSetKernelExecInfo, memory_reached_through_a_pointer) {
  need(w);
  Shared node(w, 64), data(w, 64);
  map(w, node.bytes(), 64, CL_MAP_WRITE);
  map(w, data.bytes(), 64, CL_MAP_WRITE);
  void* target = data.bytes();
  std::memcpy(node.bytes(), &target, sizeof target);
  data.ints()[2] = 1234;
  unmap(w, node.bytes());
  unmap(w, data.bytes());
  Program program = new_program(w, kChase);
  Kernel chase = new_kernel(program, "chase");
  OK(clSetKernelArgSVMPointer(chase, 0, node.bytes()));
  OK(clSetKernelArg(chase, 1, sizeof(cl_mem), w.dst.at()));
  const void* reached[] = {data.bytes()};
  OK(clSetKernelExecInfo(chase, CL_KERNEL_EXEC_INFO_SVM_PTRS, sizeof reached, reached));
  const std::size_t one = 1;
  OK(clEnqueueNDRangeKernel(w.queue, chase, 1, nullptr, &one, nullptr, 0, nullptr, nullptr));
  SAME(read_all<cl_int>(w, w.dst, 1)[0], 1234);
}
TABLE_FAULT(clSetKernelExecInfo, null_kernel, CL_INVALID_KERNEL,
            (nullptr, CL_KERNEL_EXEC_INFO_SVM_PTRS, 8, &w))
FAULT(clSetKernelExecInfo, unknown_parameter, CL_INVALID_VALUE, (w.add_one, 0x1, 8, &w))
FAULT(clSetKernelExecInfo, null_value, CL_INVALID_VALUE,
      (w.add_one, CL_KERNEL_EXEC_INFO_SVM_PTRS, 8, nullptr))
FAULT_BODY(clSetKernelExecInfo, system_memory_where_there_is_none) {
  const auto svm = device_fact<cl_device_svm_capabilities>(w, CL_DEVICE_SVM_CAPABILITIES);
  if ((svm & CL_DEVICE_SVM_FINE_GRAIN_SYSTEM) != 0) throw Skip("the device shares all memory");
  const cl_bool yes = CL_TRUE;
  CODE(clSetKernelExecInfo(w.add_one, CL_KERNEL_EXEC_INFO_SVM_FINE_GRAIN_SYSTEM, sizeof yes, &yes),
       CL_INVALID_OPERATION);
}

USE(clCreateBuffer, on_shared_virtual_memory) {
  need(w);
  Shared memory(w, kBytes);
  Mem made = new_buffer(w, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, kBytes, memory.bytes());
  cl_bool uses = CL_FALSE;
  OK(clGetMemObjectInfo(made, CL_MEM_USES_SVM_POINTER, sizeof uses, &uses, nullptr));
  SAME(uses, cl_bool{CL_TRUE});
  const auto bytes = pattern(kBytes, 3);
  write_all(w, made, bytes);
  map(w, memory.bytes(), kBytes, CL_MAP_READ);
  SAME(std::memcmp(memory.bytes(), bytes.data(), kBytes), 0);
  unmap(w, memory.bytes());
  OK(clFinish(w.queue));
}

}  // namespace
}  // namespace tessera::conformance

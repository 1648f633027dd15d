// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

std::array<unsigned char, kBytes>& host() {
  static std::array<unsigned char, kBytes> bytes{};
  return bytes;
}

cl_int sub(const World&, cl_mem parent, cl_mem_flags flags, std::size_t origin, std::size_t size) {
  const cl_buffer_region region = {origin, size};
  cl_int e = 1;
  Mem made(clCreateSubBuffer(parent, flags, CL_BUFFER_CREATE_TYPE_REGION, &region, &e));
  return creation_code(cl_mem(made), e);
}

std::size_t align_bytes(const World& w) {
  return device_fact<cl_uint>(w, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8;
}

USE(clCreateBuffer, every_access_flag) {
  for (const cl_mem_flags access : {CL_MEM_READ_WRITE, CL_MEM_READ_ONLY, CL_MEM_WRITE_ONLY}) {
    for (const cl_mem_flags more :
         {cl_mem_flags{0}, cl_mem_flags{CL_MEM_ALLOC_HOST_PTR},
          cl_mem_flags{CL_MEM_HOST_WRITE_ONLY}, cl_mem_flags{CL_MEM_HOST_READ_ONLY},
          cl_mem_flags{CL_MEM_HOST_NO_ACCESS}}) {
      const cl_mem_flags flags = static_cast<cl_mem_flags>(access) | more;
      Mem made = new_buffer(w, flags, 100);
      cl_mem_flags back = 0;
      OK(clGetMemObjectInfo(made, CL_MEM_FLAGS, sizeof back, &back, nullptr));
      SAME(back, flags);
    }
  }
}
USE(clCreateBuffer, without_access_flag_is_read_write) {
  Mem made = new_buffer(w, 0, 100);
  cl_mem_flags back = 0;
  OK(clGetMemObjectInfo(made, CL_MEM_FLAGS, sizeof back, &back, nullptr));
  THAT(back == 0 || back == CL_MEM_READ_WRITE);
}
USE(clCreateBuffer, copies_the_host_bytes_at_once) {
  auto bytes = pattern(1000);
  const auto kept = bytes;
  Mem made = new_buffer(w, CL_MEM_COPY_HOST_PTR, bytes.size(), bytes.data());
  std::fill(bytes.begin(), bytes.end(), 0);
  THAT(read_all<unsigned char>(w, made, kept.size()) == kept);
}
USE(clCreateBuffer, copies_into_host_allocated_memory) {
  auto bytes = pattern(1000, 3);
  Mem made =
      new_buffer(w, CL_MEM_COPY_HOST_PTR | CL_MEM_ALLOC_HOST_PTR, bytes.size(), bytes.data());
  THAT(read_all<unsigned char>(w, made, bytes.size()) == bytes);
}
TABLE_FAULT_NEW(clCreateBuffer, null_context, CL_INVALID_CONTEXT, (nullptr, 0, 64, nullptr, &e))
FAULT_NEW(clCreateBuffer, wrong_kind, CL_INVALID_CONTEXT,
          (as<cl_context>(w.queue), 0, 64, nullptr, &e))
FAULT_NEW(clCreateBuffer, no_bytes, CL_INVALID_BUFFER_SIZE, (w.ctx, 0, 0, nullptr, &e))
FAULT_NEW(clCreateBuffer, larger_than_the_device_allocates, CL_INVALID_BUFFER_SIZE,
          (w.ctx, 0, device_fact<cl_ulong>(w, CL_DEVICE_MAX_MEM_ALLOC_SIZE) + 1, nullptr, &e))
FAULT_NEW(clCreateBuffer, all_of_the_address_space, CL_INVALID_BUFFER_SIZE,
          (w.ctx, 0, ~std::size_t{0}, nullptr, &e))
FAULT_NEW(clCreateBuffer, unknown_flag, CL_INVALID_VALUE, (w.ctx, 1u << 25, 64, nullptr, &e))
FAULT_NEW(clCreateBuffer, read_only_and_write_only, CL_INVALID_VALUE,
          (w.ctx, CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY, 64, nullptr, &e))
FAULT_NEW(clCreateBuffer, read_write_and_read_only, CL_INVALID_VALUE,
          (w.ctx, CL_MEM_READ_ONLY | CL_MEM_READ_WRITE, 64, nullptr, &e))
FAULT_NEW(clCreateBuffer, use_and_alloc_host, CL_INVALID_VALUE,
          (w.ctx, CL_MEM_USE_HOST_PTR | CL_MEM_ALLOC_HOST_PTR, 64, host().data(), &e))
FAULT_NEW(clCreateBuffer, use_and_copy_host, CL_INVALID_VALUE,
          (w.ctx, CL_MEM_USE_HOST_PTR | CL_MEM_COPY_HOST_PTR, 64, host().data(), &e))
FAULT_NEW(clCreateBuffer, host_read_only_and_no_access, CL_INVALID_VALUE,
          (w.ctx, CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS, 64, nullptr, &e))
FAULT_NEW(clCreateBuffer, host_read_only_and_write_only, CL_INVALID_VALUE,
          (w.ctx, CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_WRITE_ONLY, 64, nullptr, &e))
FAULT_NEW(clCreateBuffer, use_without_pointer, CL_INVALID_HOST_PTR,
          (w.ctx, CL_MEM_USE_HOST_PTR, 64, nullptr, &e))
FAULT_NEW(clCreateBuffer, copy_without_pointer, CL_INVALID_HOST_PTR,
          (w.ctx, CL_MEM_COPY_HOST_PTR, 64, nullptr, &e))
FAULT_NEW(clCreateBuffer, pointer_without_flag, CL_INVALID_HOST_PTR,
          (w.ctx, 0, 64, host().data(), &e))

USE(clCreateBufferWithProperties, none_and_an_empty_list) {
  const cl_mem_properties empty[] = {0};
  for (const cl_mem_properties* list : {static_cast<const cl_mem_properties*>(nullptr), empty}) {
    cl_int e = 1;
    Mem made(clCreateBufferWithProperties(w.ctx, list, CL_MEM_READ_WRITE, 64, nullptr, &e));
    OK(e);
    std::size_t size = 99, want = list == nullptr ? 0 : sizeof empty;
    OK(clGetMemObjectInfo(made, CL_MEM_PROPERTIES, 0, nullptr, &size));
    SAME(size, want);
  }
}
TABLE_FAULT_NEW(clCreateBufferWithProperties, null_context, CL_INVALID_CONTEXT,
                (nullptr, nullptr, 0, 64, nullptr, &e))
FAULT_NEW(clCreateBufferWithProperties, no_bytes, CL_INVALID_BUFFER_SIZE,
          (w.ctx, nullptr, 0, 0, nullptr, &e))
FAULT_NEW(clCreateBufferWithProperties, unknown_property, CL_INVALID_PROPERTY,
          (w.ctx, std::vector<cl_mem_properties>{0x7777, 1, 0}.data(), 0, 64, nullptr, &e))
FAULT_NEW(clCreateBufferWithProperties, read_only_and_write_only, CL_INVALID_VALUE,
          (w.ctx, nullptr, CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY, 64, nullptr, &e))

USE(clCreateSubBuffer, sees_the_parents_bytes) {
  const std::size_t align = align_bytes(w);
  const auto bytes = pattern(4 * align);
  Mem parent = new_buffer(w, CL_MEM_READ_WRITE, bytes.size());
  write_all(w, parent, bytes);
  const cl_buffer_region region = {align, 2 * align};
  cl_int e = 1;
  Mem part(clCreateSubBuffer(parent, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &e));
  OK(e);
  const auto seen = read_all<unsigned char>(w, part, region.size);
  THAT(std::equal(seen.begin(), seen.end(), bytes.begin() + static_cast<long>(align)));
  const cl_uchar nine = 9;
  OK(clEnqueueFillBuffer(w.queue, part, &nine, 1, 0, region.size, 0, nullptr, nullptr));
  const auto whole = read_all<unsigned char>(w, parent, bytes.size());
  SAME(whole[align - 1], bytes[align - 1]);
  SAME(whole[align], 9);
  SAME(whole[3 * align - 1], 9);
  SAME(whole[3 * align], bytes[3 * align]);
}
USE(clCreateSubBuffer, facts_and_a_kernel_on_it) {
  const std::size_t align = align_bytes(w);
  Mem parent = new_buffer(w, CL_MEM_READ_WRITE, 2 * align);
  zero(w, parent, 2 * align);
  const cl_buffer_region region = {align, align};
  cl_int e = 1;
  Mem part(clCreateSubBuffer(parent, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &e));
  OK(e);
  cl_mem up = nullptr;
  std::size_t offset = 0, size = 0;
  OK(clGetMemObjectInfo(part, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof up, &up, nullptr));
  OK(clGetMemObjectInfo(part, CL_MEM_OFFSET, sizeof offset, &offset, nullptr));
  OK(clGetMemObjectInfo(part, CL_MEM_SIZE, sizeof size, &size, nullptr));
  SAME(up, cl_mem(parent));
  SAME(offset, align);
  SAME(size, align);
  Kernel add = new_kernel(w.program, "add_one");
  OK(clSetKernelArg(add, 0, sizeof(cl_mem), part.at()));
  const std::size_t items = align / 4;
  OK(clEnqueueNDRangeKernel(w.queue, add, 1, nullptr, &items, nullptr, 0, nullptr, nullptr));
  const auto whole = read_all<cl_int>(w, parent, 2 * items);
  SAME(whole[items - 1], 0);
  SAME(whole[items], 1);
}
USE(clCreateSubBuffer, outlives_the_parents_release) {
  const std::size_t align = align_bytes(w);
  Mem parent = new_buffer(w, CL_MEM_READ_WRITE, 2 * align);
  const cl_buffer_region region = {align, align};
  cl_int e = 1;
  Mem part(clCreateSubBuffer(parent, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &e));
  OK(e);
  parent.reset();
  const auto bytes = pattern(align, 8);
  write_all(w, part, bytes);
  THAT(read_all<unsigned char>(w, part, align) == bytes);
}
TABLE_FAULT_NEW(clCreateSubBuffer, null_buffer, CL_INVALID_MEM_OBJECT,
                (nullptr, 0, CL_BUFFER_CREATE_TYPE_REGION, nullptr, &e))
FAULT_BODY(clCreateSubBuffer, of_an_image) {
  CODE(sub(w, w.image, 0, 0, 16), CL_INVALID_MEM_OBJECT);
}
FAULT_BODY(clCreateSubBuffer, of_a_sub_buffer) {
  const cl_buffer_region region = {0, 512};
  cl_int e = 1;
  Mem part(clCreateSubBuffer(w.buf, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &e));
  OK(e);
  CODE(sub(w, part, 0, 0, 16), CL_INVALID_MEM_OBJECT);
}
FAULT_BODY(clCreateSubBuffer, unknown_type) {
  const cl_buffer_region region = {0, 16};
  cl_int e = 1;
  CODE(creation_code(clCreateSubBuffer(w.buf, 0, 0x7777, &region, &e), e), CL_INVALID_VALUE);
}
FAULT_NEW(clCreateSubBuffer, null_region, CL_INVALID_VALUE,
          (w.buf, 0, CL_BUFFER_CREATE_TYPE_REGION, nullptr, &e))
FAULT_BODY(clCreateSubBuffer, past_the_end) {
  CODE(sub(w, w.buf, 0, 0, kBytes + 1), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateSubBuffer, offset_that_wraps_around) {
  const std::size_t align = align_bytes(w);
  CODE(sub(w, w.buf, 0, ~std::size_t{0} - align + 1, 2 * align), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateSubBuffer, no_bytes) {
  CODE(sub(w, w.buf, 0, 0, 0), CL_INVALID_BUFFER_SIZE);
}
FAULT_BODY(clCreateSubBuffer, misaligned) {
  if (align_bytes(w) == 1) throw Skip("every offset is aligned");
  CODE(sub(w, w.buf, 0, 1, 16), CL_MISALIGNED_SUB_BUFFER_OFFSET);
}
FAULT_BODY(clCreateSubBuffer, writes_to_a_read_only_parent) {
  Mem parent = new_buffer(w, CL_MEM_READ_ONLY, 1024);
  CODE(sub(w, parent, CL_MEM_WRITE_ONLY, 0, 16), CL_INVALID_VALUE);
  CODE(sub(w, parent, CL_MEM_READ_WRITE, 0, 16), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateSubBuffer, host_pointer_flags) {
  for (const cl_mem_flags flag :
       {CL_MEM_USE_HOST_PTR, CL_MEM_ALLOC_HOST_PTR, CL_MEM_COPY_HOST_PTR}) {
    CODE(sub(w, w.buf, flag, 0, 16), CL_INVALID_VALUE);
  }
}
FAULT_BODY(clCreateSubBuffer, host_access_wider_than_the_parents) {
  Mem parent = new_buffer(w, CL_MEM_HOST_NO_ACCESS, 1024);
  CODE(sub(w, parent, CL_MEM_HOST_READ_ONLY, 0, 16), CL_INVALID_VALUE);
}

USE(clRetainMemObject, counts) {
  Mem made = new_buffer(w, 0, 64);
  SAME(reference_count(clGetMemObjectInfo, cl_mem(made), CL_MEM_REFERENCE_COUNT), 1u);
  OK(clRetainMemObject(made));
  SAME(reference_count(clGetMemObjectInfo, cl_mem(made), CL_MEM_REFERENCE_COUNT), 2u);
  OK(clReleaseMemObject(made));
  SAME(reference_count(clGetMemObjectInfo, cl_mem(made), CL_MEM_REFERENCE_COUNT), 1u);
}
TABLE_FAULT(clRetainMemObject, null_object, CL_INVALID_MEM_OBJECT, (nullptr))
FAULT(clRetainMemObject, wrong_kind, CL_INVALID_MEM_OBJECT, (as<cl_mem>(w.queue)))

USE(clReleaseMemObject, while_a_kernel_uses_it) {
  Mem made = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
  zero(w, made, kBytes);
  Kernel add = new_kernel(w.program, "add_one");
  OK(clSetKernelArg(add, 0, sizeof(cl_mem), made.at()));
  const std::size_t items = kBytes / 4;
  for (int i = 0; i < 20; ++i) {
    OK(clEnqueueNDRangeKernel(w.queue, add, 1, nullptr, &items, nullptr, 0, nullptr, nullptr));
  }
  OK(clEnqueueCopyBuffer(w.queue, made, w.dst, 0, 0, kBytes, 0, nullptr, nullptr));
  made.reset();
  SAME(read_all<cl_int>(w, w.dst, items)[items - 1], 20);
}
TABLE_FAULT(clReleaseMemObject, null_object, CL_INVALID_MEM_OBJECT, (nullptr))
FAULT(clReleaseMemObject, wrong_kind, CL_INVALID_MEM_OBJECT, (as<cl_mem>(w.ctx)))

USE(clGetMemObjectInfo, every_parameter) {
  check_info([&](cl_uint what, std::size_t n, void* to,
                 std::size_t* size) { return clGetMemObjectInfo(w.buf, what, n, to, size); },
             {{CL_MEM_TYPE, 4},
              {CL_MEM_FLAGS, 8},
              {CL_MEM_SIZE, 8},
              {CL_MEM_HOST_PTR, 8},
              {CL_MEM_MAP_COUNT, 4},
              {CL_MEM_REFERENCE_COUNT, 4},
              {CL_MEM_CONTEXT, 8},
              {CL_MEM_ASSOCIATED_MEMOBJECT, 8},
              {CL_MEM_OFFSET, 8},
              {CL_MEM_USES_SVM_POINTER, 4},
              {CL_MEM_PROPERTIES, 0}});
  std::size_t size = 0;
  OK(clGetMemObjectInfo(w.buf, CL_MEM_SIZE, sizeof size, &size, nullptr));
  SAME(size, kBytes);
}
USE(clGetMemObjectInfo, host_pointer_is_the_callers) {
  alignas(128) static unsigned char bytes[512];
  Mem made = new_buffer(w, CL_MEM_USE_HOST_PTR, sizeof bytes, bytes);
  void* back = nullptr;
  OK(clGetMemObjectInfo(made, CL_MEM_HOST_PTR, sizeof back, &back, nullptr));
  SAME(back, static_cast<void*>(bytes));
  OK(clGetMemObjectInfo(w.buf, CL_MEM_HOST_PTR, sizeof back, &back, nullptr));
  SAME(back, static_cast<void*>(nullptr));
}
TABLE_FAULT(clGetMemObjectInfo, null_object, CL_INVALID_MEM_OBJECT,
            (nullptr, CL_MEM_TYPE, 0, nullptr, nullptr))
FAULT(clGetMemObjectInfo, unknown_parameter, CL_INVALID_VALUE, (w.buf, 0x1, 0, nullptr, nullptr))
FAULT(clGetMemObjectInfo, wrong_kind, CL_INVALID_MEM_OBJECT,
      (as<cl_mem>(w.ctx), CL_MEM_TYPE, 0, nullptr, nullptr))

struct Note {
  std::vector<int>* seen;
  int place;
};
void CL_CALLBACK note_memory(cl_mem, void* user) {
  auto* note = static_cast<Note*>(user);
  note->seen->push_back(note->place);
}

USE(clSetMemObjectDestructorCallback, called_in_reverse_order) {
  std::vector<int> seen;
  Note first{&seen, 1}, second{&seen, 2}, third{&seen, 3};
  Mem made = new_buffer(w, 0, 64);
  for (Note* note : {&first, &second, &third}) {
    OK(clSetMemObjectDestructorCallback(made, note_memory, note));
  }
  OK(clRetainMemObject(made));
  OK(clReleaseMemObject(made));
  THAT(seen.empty());
  made.reset();
  OK(clFinish(w.queue));
  THAT((seen == std::vector<int>{3, 2, 1}));
}
USE(clSetMemObjectDestructorCallback, after_the_last_command) {
  alignas(128) static cl_int bytes[1024];
  std::vector<int> seen;
  Note note{&seen, 1};
  Mem made = new_buffer(w, CL_MEM_USE_HOST_PTR, sizeof bytes, bytes);
  OK(clSetMemObjectDestructorCallback(made, note_memory, &note));
  Event gate = new_user_event(w);
  const cl_int seven = 7;
  OK(clEnqueueFillBuffer(w.unordered, made, &seven, 4, 0, sizeof bytes, 1, gate.at(), nullptr));
  made.reset();
  THAT(seen.empty());
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(w.unordered));
  for (int i = 0; i < 2000 && seen.empty(); ++i) {
    struct timespec pause = {0, 1000000};
    nanosleep(&pause, nullptr);
  }
  SAME(seen.size(), std::size_t{1});
}
TABLE_FAULT(clSetMemObjectDestructorCallback, null_object, CL_INVALID_MEM_OBJECT,
            (nullptr, note_memory, nullptr))
FAULT(clSetMemObjectDestructorCallback, null_function, CL_INVALID_VALUE, (w.buf, nullptr, nullptr))
FAULT(clSetMemObjectDestructorCallback, wrong_kind, CL_INVALID_MEM_OBJECT,
      (as<cl_mem>(w.ctx), note_memory, nullptr))

}  // namespace
}  // namespace tessera::conformance

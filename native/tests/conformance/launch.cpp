// SPDX-License-Identifier: Apache-2.0
//
// Launching: kernels over every kind of range, tasks, native kernels, markers, barriers, migration.
#include <array>
#include <cstring>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

using Three = std::array<std::size_t, 3>;

constexpr const char* kWhere = R"(
kernel void where(global ulong* out) {
  size_t w = get_global_size(0), h = get_global_size(1);
  size_t x = get_global_id(0) - get_global_offset(0), y = get_global_id(1) - get_global_offset(1),
         z = get_global_id(2) - get_global_offset(2);
  out[(z * h + y) * w + x] = get_global_id(0) + 1000 * get_global_id(1) + 1000000 * get_global_id(2)
                             + 1000000000ul * get_local_size(0) + 100000000000ul * get_group_id(0);
}
kernel void needs_three(global int* a, global int* b, int c) { a[0] = b[0] + c; }
__attribute__((reqd_work_group_size(4, 1, 1))) kernel void fixed(global int* p) { p[get_global_id(0)] = 3; }
)";

cl_program where_program(const World& w) {
  static Program* const made = new Program(new_program(w, kWhere));
  return *made;
}

cl_int launch(const World& w, cl_kernel kernel, cl_uint dims, const std::size_t* global,
              const std::size_t* local = nullptr, const std::size_t* offset = nullptr) {
  return clEnqueueNDRangeKernel(w.queue, kernel, dims, offset, global, local, 0, nullptr, nullptr);
}

void check_range(const World& w, cl_uint dims, Three global, const std::size_t* local,
                 Three offset) {
  for (cl_uint d = dims; d < 3; ++d) global[d] = 1, offset[d] = 0;
  const std::size_t items = global[0] * global[1] * global[2];
  Mem out = new_buffer(w, CL_MEM_READ_WRITE, items * 8);
  zero(w, out, items * 8);
  Kernel kernel = new_kernel(where_program(w), "where");
  OK(clSetKernelArg(kernel, 0, sizeof(cl_mem), out.at()));
  OK(launch(w, kernel, dims, global.data(), local, offset.data()));
  const auto seen = read_all<cl_ulong>(w, out, items);
  for (std::size_t i = 0; i < items; ++i) {
    const std::size_t x = i % global[0] + offset[0], y = i / global[0] % global[1] + offset[1],
                      z = i / global[0] / global[1] + offset[2];
    SAME(seen[i] % 1000000000ul, x + 1000 * y + 1000000 * z);
    if (local != nullptr) {
      SAME(seen[i] / 1000000000ul % 100, local[0]);
      SAME(seen[i] / 100000000000ul, i % global[0] / local[0]);
    }
  }
}

USE(clEnqueueNDRangeKernel, one_dimension) {
  const std::size_t local = 8;
  check_range(w, 1, {64, 1, 1}, nullptr, {0, 0, 0});
  check_range(w, 1, {64, 1, 1}, &local, {100, 0, 0});
  check_range(w, 1, {61, 1, 1}, nullptr, {3, 0, 0});
}
USE(clEnqueueNDRangeKernel, two_dimensions) {
  const Three local = {4, 2, 1};
  check_range(w, 2, {12, 6, 1}, local.data(), {7, 9, 0});
  check_range(w, 2, {5, 7, 1}, nullptr, {0, 0, 0});
}
USE(clEnqueueNDRangeKernel, three_dimensions) {
  const Three local = {2, 2, 2};
  check_range(w, 3, {4, 6, 8}, local.data(), {1, 2, 3});
}
USE(clEnqueueNDRangeKernel, nothing_to_do) {
  // Since OpenCL 2.1 a range without work-items is a command like any other.
  const std::size_t none = 0;
  Event event;
  OK(clEnqueueNDRangeKernel(w.queue, w.add_one, 1, nullptr, &none, nullptr, 0, nullptr,
                            event.out()));
  OK(clWaitForEvents(1, event.at()));
}
USE(clEnqueueNDRangeKernel, required_work_group) {
  zero(w, w.dst, kBytes);
  Kernel kernel = new_kernel(where_program(w), "fixed");
  OK(clSetKernelArg(kernel, 0, sizeof(cl_mem), w.dst.at()));
  const std::size_t global = 16, local = 4;
  OK(launch(w, kernel, 1, &global, &local));
  SAME(read_all<cl_int>(w, w.dst, 16)[15], 3);
}
TABLE_FAULT(clEnqueueNDRangeKernel, null_kernel, CL_INVALID_KERNEL,
            (w.queue, nullptr, 1, nullptr, &kBytes, nullptr, 0, nullptr, nullptr))
FAULT_BODY(clEnqueueNDRangeKernel, arguments_not_set) {
  const std::size_t one = 1;
  Kernel kernel = new_kernel(where_program(w), "needs_three");
  CODE(launch(w, kernel, 1, &one), CL_INVALID_KERNEL_ARGS);
  OK(clSetKernelArg(kernel, 0, sizeof(cl_mem), w.buf.at()));
  OK(clSetKernelArg(kernel, 1, sizeof(cl_mem), w.buf.at()));
  CODE(launch(w, kernel, 1, &one), CL_INVALID_KERNEL_ARGS);
}
FAULT_BODY(clEnqueueNDRangeKernel, bad_dimensions) {
  const Three one = {1, 1, 1};
  CODE(launch(w, w.add_one, 0, one.data()), CL_INVALID_WORK_DIMENSION);
  CODE(launch(w, w.add_one, 4, one.data()), CL_INVALID_WORK_DIMENSION);
}
FAULT_BODY(clEnqueueNDRangeKernel, group_larger_than_the_device_takes) {
  const std::size_t most = device_fact<std::size_t>(w, CL_DEVICE_MAX_WORK_GROUP_SIZE) * 2;
  CODE(launch(w, w.add_one, 1, &most, &most),
       ANY(CL_INVALID_WORK_GROUP_SIZE, CL_INVALID_WORK_ITEM_SIZE));
}
FAULT_BODY(clEnqueueNDRangeKernel, group_of_no_items) {
  const std::size_t global = 16, local = 0;
  CODE(launch(w, w.add_one, 1, &global, &local),
       ANY(CL_INVALID_WORK_GROUP_SIZE, CL_INVALID_WORK_ITEM_SIZE));
}
FAULT_BODY(clEnqueueNDRangeKernel, not_the_required_group) {
  Kernel kernel = new_kernel(where_program(w), "fixed");
  OK(clSetKernelArg(kernel, 0, sizeof(cl_mem), w.dst.at()));
  const std::size_t global = 16, local = 8;
  CODE(launch(w, kernel, 1, &global, &local), CL_INVALID_WORK_GROUP_SIZE);
}
FAULT_BODY(clEnqueueNDRangeKernel, kernel_of_another_context) {
  const std::size_t one = 1;
  Kernel kernel = new_kernel(w.other_program, "nothing");
  CODE(launch(w, kernel, 1, &one), CL_INVALID_CONTEXT);
}
FAULT_BODY(clEnqueueNDRangeKernel, offset_that_wraps_around) {
  const std::size_t global = 16, offset = ~std::size_t{0} - 3;
  CODE(launch(w, w.add_one, 1, &global, nullptr, &offset), CL_INVALID_GLOBAL_OFFSET);
}
FAULT_BODY(clEnqueueNDRangeKernel, wrong_kind_of_kernel) {
  const std::size_t one = 1;
  CODE(launch(w, as<cl_kernel>(w.ctx), 1, &one), CL_INVALID_KERNEL);
}

USE(clEnqueueTask, runs_once) {
  zero(w, w.dst, kBytes);
  Kernel add = new_kernel(w.program, "add_one");
  OK(clSetKernelArg(add, 0, sizeof(cl_mem), w.dst.at()));
  OK(clEnqueueTask(w.queue, add, 0, nullptr, nullptr));
  const auto seen = read_all<cl_int>(w, w.dst, 2);
  SAME(seen[0], 1);
  SAME(seen[1], 0);
}
TABLE_FAULT(clEnqueueTask, null_kernel, CL_INVALID_KERNEL, (w.queue, nullptr, 0, nullptr, nullptr))
FAULT_BODY(clEnqueueTask, arguments_not_set) {
  Kernel kernel = new_kernel(where_program(w), "needs_three");
  CODE(clEnqueueTask(w.queue, kernel, 0, nullptr, nullptr), CL_INVALID_KERNEL_ARGS);
}

bool runs_native(const World& w) {
  return (device_fact<cl_device_exec_capabilities>(w, CL_DEVICE_EXECUTION_CAPABILITIES) &
          CL_EXEC_NATIVE_KERNEL) != 0;
}
struct NativeArgs {
  cl_int* from;
  int* seen;
};
void CL_CALLBACK native(void* user) {
  auto* args = static_cast<NativeArgs*>(user);
  *args->seen = args->from == nullptr ? -1 : args->from[3];
}
USE(clEnqueueNativeKernel, runs_or_is_refused) {
  int seen = 0;
  NativeArgs args{nullptr, &seen};
  const void* places[] = {&args.from};
  const std::vector<cl_int> values = {1, 2, 3, 44};
  write_all(w, w.dst, values);
  const cl_int code = clEnqueueNativeKernel(w.queue, native, &args, sizeof args, 1, w.dst.at(),
                                            places, 0, nullptr, nullptr);
  if (!runs_native(w)) {
    CODE(code, CL_INVALID_OPERATION);
    return;
  }
  OK(code);
  OK(clFinish(w.queue));
  SAME(seen, 44);
}
Want native_fault(const World& w, cl_int code) {
  return runs_native(w) ? Want(code) : Want{code, CL_INVALID_OPERATION};
}
FAULT(clEnqueueNativeKernel, null_function, native_fault(w, CL_INVALID_VALUE),
      (w.queue, nullptr, nullptr, 0, 0, nullptr, nullptr, 0, nullptr, nullptr))
FAULT(clEnqueueNativeKernel, size_without_arguments, native_fault(w, CL_INVALID_VALUE),
      (w.queue, native, nullptr, 8, 0, nullptr, nullptr, 0, nullptr, nullptr))
FAULT(clEnqueueNativeKernel, count_without_objects, native_fault(w, CL_INVALID_VALUE),
      (w.queue, native, &w, 8, 1, nullptr, nullptr, 0, nullptr, nullptr))

USE(clEnqueueMarker, gives_an_event) {
  Event event;
  OK(clEnqueueMarker(w.queue, event.out()));
  OK(clWaitForEvents(1, event.at()));
}
TABLE_FAULT(clEnqueueMarker, null_queue, CL_INVALID_COMMAND_QUEUE, (nullptr, nullptr))
FAULT(clEnqueueMarker, null_event, CL_INVALID_VALUE, (w.queue, nullptr))

USE(clEnqueueWaitForEvents, holds_back_what_follows) {
  const Queue queue = new_queue(w);
  Event gate = new_user_event(w), event;
  OK(clEnqueueWaitForEvents(queue, 1, gate.at()));
  OK(clEnqueueMarkerWithWaitList(queue, 0, nullptr, event.out()));
  OK(clFlush(queue));
  const cl_int before = status_of(event);
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(queue));
  THAT(before > CL_COMPLETE);
}
TABLE_FAULT(clEnqueueWaitForEvents, null_queue, CL_INVALID_COMMAND_QUEUE, (nullptr, 1, w.done.at()))
FAULT(clEnqueueWaitForEvents, none, CL_INVALID_VALUE, (w.queue, 0, nullptr))
FAULT(clEnqueueWaitForEvents, null_event, ANY(CL_INVALID_EVENT, CL_INVALID_EVENT_WAIT_LIST),
      (w.queue, 1, std::vector<cl_event>{nullptr}.data()))
FAULT(clEnqueueWaitForEvents, of_another_context, CL_INVALID_CONTEXT,
      (w.queue, 1, w.other_done.at()))

USE(clEnqueueBarrier, orders_an_unordered_queue) {
  zero(w, w.dst, kBytes);
  const cl_uint one = 1, two = 2;
  Event gate = new_user_event(w);
  OK(clEnqueueFillBuffer(w.unordered, w.dst, &one, 4, 0, kBytes, 1, gate.at(), nullptr));
  OK(clEnqueueBarrier(w.unordered));
  OK(clEnqueueFillBuffer(w.unordered, w.dst, &two, 4, 0, kBytes, 0, nullptr, nullptr));
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(w.unordered));
  SAME(read_all<cl_uint>(w, w.dst, 1)[0], 2u);
}
TABLE_FAULT(clEnqueueBarrier, null_queue, CL_INVALID_COMMAND_QUEUE, (nullptr))

USE(clEnqueueMarkerWithWaitList, without_a_list_waits_for_all) {
  Event gate = new_user_event(w), event;
  const cl_uint one = 1;
  OK(clEnqueueFillBuffer(w.unordered, w.dst, &one, 4, 0, kBytes, 1, gate.at(), nullptr));
  OK(clEnqueueMarkerWithWaitList(w.unordered, 0, nullptr, event.out()));
  OK(clFlush(w.unordered));
  const cl_int before = status_of(event);
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clWaitForEvents(1, event.at()));
  THAT(before > CL_COMPLETE);
}
USE(clEnqueueBarrierWithWaitList, list_holds_back_what_follows) {
  zero(w, w.dst, kBytes);
  Event gate = new_user_event(w), event;
  const cl_uint five = 5;
  OK(clEnqueueBarrierWithWaitList(w.unordered, 1, gate.at(), nullptr));
  OK(clEnqueueFillBuffer(w.unordered, w.dst, &five, 4, 0, kBytes, 0, nullptr, event.out()));
  OK(clFlush(w.unordered));
  const cl_int before = status_of(event);
  SAME(read_all<cl_uint>(w, w.dst, 1)[0], 0u);
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clWaitForEvents(1, event.at()));
  THAT(before > CL_COMPLETE);
}

USE(clEnqueueMigrateMemObjects, to_the_device_and_back) {
  const auto bytes = pattern(kBytes);
  write_all(w, w.dst, bytes);
  const cl_mem both[] = {w.dst, w.image};
  OK(clEnqueueMigrateMemObjects(w.queue, 2, both, 0, 0, nullptr, nullptr));
  OK(clEnqueueMigrateMemObjects(w.queue, 1, both, CL_MIGRATE_MEM_OBJECT_HOST, 0, nullptr, nullptr));
  THAT(read_all<unsigned char>(w, w.dst, kBytes) == bytes);
}
FAULT(clEnqueueMigrateMemObjects, none, CL_INVALID_VALUE,
      (w.queue, 0, nullptr, 0, 0, nullptr, nullptr))
FAULT(clEnqueueMigrateMemObjects, null_list, CL_INVALID_VALUE,
      (w.queue, 1, nullptr, 0, 0, nullptr, nullptr))
FAULT(clEnqueueMigrateMemObjects, null_object, CL_INVALID_MEM_OBJECT,
      (w.queue, 1, std::vector<cl_mem>{nullptr}.data(), 0, 0, nullptr, nullptr))
FAULT(clEnqueueMigrateMemObjects, unknown_flag, CL_INVALID_VALUE,
      (w.queue, 1, w.dst.at(), 1u << 12, 0, nullptr, nullptr))
FAULT(clEnqueueMigrateMemObjects, of_another_context, CL_INVALID_CONTEXT,
      (w.queue, 1, w.other_buf.at(), 0, 0, nullptr, nullptr))

}  // namespace
}  // namespace tessera::conformance

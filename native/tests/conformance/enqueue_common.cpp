// SPDX-License-Identifier: Apache-2.0
//
// What every enqueue call has in common, asked of each of them in turn: the queue, the wait list,
// the event it gives back. One row per entry point; the cases are made from the rows.
#include <array>
#include <atomic>
#include <thread>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

struct Wait {
  cl_uint count = 0;
  const cl_event* list = nullptr;
  cl_event* event = nullptr;
};

using Call = cl_int (*)(World&, cl_command_queue, const Wait&);

struct Row {
  const char* entry;
  cl_command_type type;
  bool needs_svm;
  Call call;
};

constexpr std::size_t kOrigin[3] = {0, 0, 0};
constexpr std::size_t kRegion[3] = {4, 4, 1};
constexpr std::size_t kOne = 1;

std::array<unsigned char, kBytes>& host() {
  alignas(128) static std::array<unsigned char, kBytes> bytes{};
  return bytes;
}

void* svm(World& w) {
  static void* const memory = clSVMAlloc(w.ctx, CL_MEM_READ_WRITE, kBytes, 0);
  return memory;
}

// The unmap of what a row maps: behind the map, also on a queue without an order.
cl_int unmap_behind(cl_command_queue q, cl_mem object, void* at, cl_event mapped) {
  if (at == nullptr) return CL_SUCCESS;
  return clEnqueueUnmapMemObject(q, object, at, 1, &mapped, nullptr);
}

cl_int map_buffer(World& w, cl_command_queue q, const Wait& x) {
  cl_int e = 1;
  Event own;
  cl_event* event = x.event != nullptr ? x.event : own.out();
  void* at = w.table->clEnqueueMapBuffer(q, w.dst, CL_FALSE, CL_MAP_READ, 0, 64, x.count, x.list,
                                         event, &e);
  OK(unmap_behind(q, w.dst, at, *event));
  return e;
}

cl_int map_image(World& w, cl_command_queue q, const Wait& x) {
  cl_int e = 1;
  std::size_t row = 0;
  Event own;
  cl_event* event = x.event != nullptr ? x.event : own.out();
  void* at = w.table->clEnqueueMapImage(q, w.dst_image, CL_FALSE, CL_MAP_READ, kOrigin, kRegion,
                                        &row, nullptr, x.count, x.list, event, &e);
  OK(unmap_behind(q, w.dst_image, at, *event));
  return e;
}

// The mapping that an unmap needs is made on the world's own queue.
cl_int unmap(World& w, cl_command_queue q, const Wait& x) {
  cl_int e = 1;
  void* at =
      clEnqueueMapBuffer(w.queue, w.dst, CL_TRUE, CL_MAP_READ, 0, 64, 0, nullptr, nullptr, &e);
  OK(e);
  const cl_int code = w.table->clEnqueueUnmapMemObject(q, w.dst, at, x.count, x.list, x.event);
  if (code != CL_SUCCESS) OK(clEnqueueUnmapMemObject(w.queue, w.dst, at, 0, nullptr, nullptr));
  return code;
}

void CL_CALLBACK native(void*) {}
void CL_CALLBACK keep(cl_command_queue, cl_uint, void**, void*) {}

#define T(expr) [](World& w, cl_command_queue q, const Wait& x) -> cl_int { return w.table->expr; }
#define X x.count, x.list, x.event

const Row kRows[] = {
    {"clEnqueueReadBuffer", CL_COMMAND_READ_BUFFER, false,
     T(clEnqueueReadBuffer(q, w.dst, CL_FALSE, 0, 64, host().data(), X))},
    {"clEnqueueWriteBuffer", CL_COMMAND_WRITE_BUFFER, false,
     T(clEnqueueWriteBuffer(q, w.dst, CL_FALSE, 0, 64, host().data(), X))},
    {"clEnqueueCopyBuffer", CL_COMMAND_COPY_BUFFER, false,
     T(clEnqueueCopyBuffer(q, w.buf, w.dst, 0, 0, 64, X))},
    {"clEnqueueReadBufferRect", CL_COMMAND_READ_BUFFER_RECT, false,
     T(clEnqueueReadBufferRect(q, w.dst, CL_FALSE, kOrigin, kOrigin, kRegion, 0, 0, 0, 0,
                               host().data(), X))},
    {"clEnqueueWriteBufferRect", CL_COMMAND_WRITE_BUFFER_RECT, false,
     T(clEnqueueWriteBufferRect(q, w.dst, CL_FALSE, kOrigin, kOrigin, kRegion, 0, 0, 0, 0,
                                host().data(), X))},
    {"clEnqueueCopyBufferRect", CL_COMMAND_COPY_BUFFER_RECT, false,
     T(clEnqueueCopyBufferRect(q, w.buf, w.dst, kOrigin, kOrigin, kRegion, 0, 0, 0, 0, X))},
    {"clEnqueueFillBuffer", CL_COMMAND_FILL_BUFFER, false,
     T(clEnqueueFillBuffer(q, w.dst, &kOne, 4, 0, 64, X))},
    {"clEnqueueReadImage", CL_COMMAND_READ_IMAGE, false,
     T(clEnqueueReadImage(q, w.dst_image, CL_FALSE, kOrigin, kRegion, 0, 0, host().data(), X))},
    {"clEnqueueWriteImage", CL_COMMAND_WRITE_IMAGE, false,
     T(clEnqueueWriteImage(q, w.dst_image, CL_FALSE, kOrigin, kRegion, 0, 0, host().data(), X))},
    {"clEnqueueCopyImage", CL_COMMAND_COPY_IMAGE, false,
     T(clEnqueueCopyImage(q, w.image, w.dst_image, kOrigin, kOrigin, kRegion, X))},
    {"clEnqueueFillImage", CL_COMMAND_FILL_IMAGE, false,
     T(clEnqueueFillImage(q, w.dst_image, host().data(), kOrigin, kRegion, X))},
    {"clEnqueueCopyImageToBuffer", CL_COMMAND_COPY_IMAGE_TO_BUFFER, false,
     T(clEnqueueCopyImageToBuffer(q, w.image, w.dst, kOrigin, kRegion, 0, X))},
    {"clEnqueueCopyBufferToImage", CL_COMMAND_COPY_BUFFER_TO_IMAGE, false,
     T(clEnqueueCopyBufferToImage(q, w.buf, w.dst_image, 0, kOrigin, kRegion, X))},
    {"clEnqueueMapBuffer", CL_COMMAND_MAP_BUFFER, false, map_buffer},
    {"clEnqueueMapImage", CL_COMMAND_MAP_IMAGE, false, map_image},
    {"clEnqueueUnmapMemObject", CL_COMMAND_UNMAP_MEM_OBJECT, false, unmap},
    {"clEnqueueMigrateMemObjects", CL_COMMAND_MIGRATE_MEM_OBJECTS, false,
     T(clEnqueueMigrateMemObjects(q, 1, w.dst.at(), 0, X))},
    {"clEnqueueNDRangeKernel", CL_COMMAND_NDRANGE_KERNEL, false,
     T(clEnqueueNDRangeKernel(q, w.add_one, 1, nullptr, &kOne, nullptr, X))},
    {"clEnqueueTask", CL_COMMAND_TASK, false, T(clEnqueueTask(q, w.add_one, X))},
    {"clEnqueueNativeKernel", CL_COMMAND_NATIVE_KERNEL, false,
     T(clEnqueueNativeKernel(q, native, nullptr, 0, 0, nullptr, nullptr, X))},
    {"clEnqueueMarkerWithWaitList", CL_COMMAND_MARKER, false, T(clEnqueueMarkerWithWaitList(q, X))},
    {"clEnqueueBarrierWithWaitList", CL_COMMAND_BARRIER, false,
     T(clEnqueueBarrierWithWaitList(q, X))},
    {"clEnqueueSVMFree", CL_COMMAND_SVM_FREE, true,
     [](World& w, cl_command_queue q, const Wait& x) -> cl_int {
       void* pointers[] = {svm(w)};
       return w.table->clEnqueueSVMFree(q, 1, pointers, keep, nullptr, X);
     }},
    {"clEnqueueSVMMemcpy", CL_COMMAND_SVM_MEMCPY, true,
     T(clEnqueueSVMMemcpy(q, CL_FALSE, svm(w), host().data(), 64, X))},
    {"clEnqueueSVMMemFill", CL_COMMAND_SVM_MEMFILL, true,
     T(clEnqueueSVMMemFill(q, svm(w), &kOne, 4, 64, X))},
    {"clEnqueueSVMMap", CL_COMMAND_SVM_MAP, true,
     [](World& w, cl_command_queue q, const Wait& x) -> cl_int {
       const cl_int code = w.table->clEnqueueSVMMap(q, CL_FALSE, CL_MAP_READ, svm(w), 64, X);
       if (code == CL_SUCCESS) OK(clEnqueueSVMUnmap(q, svm(w), 0, nullptr, nullptr));
       return code;
     }},
    {"clEnqueueSVMUnmap", CL_COMMAND_SVM_UNMAP, true, T(clEnqueueSVMUnmap(q, svm(w), X))},
    {"clEnqueueSVMMigrateMem", CL_COMMAND_SVM_MIGRATE_MEM, true,
     [](World& w, cl_command_queue q, const Wait& x) -> cl_int {
       const void* pointers[] = {svm(w)};
       return w.table->clEnqueueSVMMigrateMem(q, 1, pointers, nullptr, 0, X);
     }},
};
#undef T
#undef X

void need(const World& w, const Row& row) {
  if (row.needs_svm && !w.svm_coarse) throw Skip("the device has no shared virtual memory");
  const bool native_row = row.type == CL_COMMAND_NATIVE_KERNEL;
  const auto can = device_fact<cl_device_exec_capabilities>(w, CL_DEVICE_EXECUTION_CAPABILITIES);
  if (native_row && (can & CL_EXEC_NATIVE_KERNEL) == 0)
    throw Skip("the device runs no native kernels");
}

void gives_an_event(World& w, const Row& row) {
  need(w, row);
  Event event;
  OK(row.call(w, w.queue, {0, nullptr, event.out()}));
  cl_command_type type = 0;
  cl_command_queue queue = nullptr;
  OK(clGetEventInfo(event, CL_EVENT_COMMAND_TYPE, sizeof type, &type, nullptr));
  OK(clGetEventInfo(event, CL_EVENT_COMMAND_QUEUE, sizeof queue, &queue, nullptr));
  OK(clWaitForEvents(1, event.at()));
  OK(clFinish(w.queue));
  SAME(status_of(event), CL_COMPLETE);
  SAME(queue, cl_command_queue(w.queue));
  SAME(type, row.type);
}

void waits_for_its_list(World& w, const Row& row) {
  need(w, row);
  Event gate = new_user_event(w), event;
  const cl_event list[] = {w.done, gate};
  OK(row.call(w, w.unordered, {2, list, event.out()}));
  OK(clFlush(w.unordered));
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const cl_int before = status_of(event);
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clWaitForEvents(1, event.at()));
  OK(clFinish(w.unordered));
  THAT(before > CL_RUNNING);
}

void fails_behind_a_failed_event(World& w, const Row& row) {
  need(w, row);
  Event gate = new_user_event(w), event;
  Queue queue = new_queue(w, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
  OK(row.call(w, queue, {1, gate.at(), event.out()}));
  OK(clSetUserEventStatus(gate, -20));
  CODE(clWaitForEvents(1, event.at()), CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
  THAT(status_of(event) < 0);
}

void add(const Row& row, const char* what, Kind kind, std::function<void(World&)> run) {
  cases().push_back({row.entry, what, kind, false, std::move(run)});
}

void add_faults(const Row& row) {
  const auto fault = [&row](const char* what, cl_int want, std::function<cl_int(World&)> call) {
    add(row, what, Kind::fault, [&row, want, call](World& w) {
      need(w, row);
      require_code(call(w), want, row.entry, __FILE__, __LINE__);
    });
  };
  fault("null_queue", CL_INVALID_COMMAND_QUEUE,
        [&row](World& w) { return row.call(w, nullptr, {}); });
  fault("wrong_kind", CL_INVALID_COMMAND_QUEUE,
        [&row](World& w) { return row.call(w, as<cl_command_queue>(w.ctx), {}); });
  fault("wait_list_null", CL_INVALID_EVENT_WAIT_LIST, [&row](World& w) {
    return row.call(w, w.queue, {1, nullptr, nullptr});
  });
  fault("wait_list_without_count", CL_INVALID_EVENT_WAIT_LIST, [&row](World& w) {
    return row.call(w, w.queue, {0, w.done.at(), nullptr});
  });
  fault("wait_list_with_a_null_event", CL_INVALID_EVENT_WAIT_LIST, [&row](World& w) {
    const cl_event list[] = {w.done, nullptr};
    return row.call(w, w.queue, {2, list, nullptr});
  });
  fault("wait_list_of_another_context", CL_INVALID_CONTEXT, [&row](World& w) {
    return row.call(w, w.queue, {1, w.other_done.at(), nullptr});
  });
}

const bool registered = [] {
  for (const Row& row : kRows) {
    add(row, "gives_an_event", Kind::use, [&row](World& w) { gives_an_event(w, row); });
    add(row, "waits_for_its_list", Kind::use, [&row](World& w) { waits_for_its_list(w, row); });
    add(row, "fails_behind_a_failed_event", Kind::fault,
        [&row](World& w) { fails_behind_a_failed_event(w, row); });
    add_faults(row);
  }
  return true;
}();

}  // namespace
}  // namespace tessera::conformance

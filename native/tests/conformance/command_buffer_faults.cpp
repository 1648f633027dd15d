// SPDX-License-Identifier: Apache-2.0
//
// Command buffers: what each function refuses.
#include "tests/conformance/command_buffers.h"

namespace tessera::conformance {
namespace {

const size_t kOrigin[3] = {0, 0, 0};
const size_t kRegion[3] = {4, 4, 1};
constexpr std::size_t kItems = 64;

// The last arguments of each function that records.
struct Sync {
  cl_command_queue queue = nullptr;
  cl_uint count = 0;
  const cl_sync_point_khr* list = nullptr;
  cl_sync_point_khr* point = nullptr;
  cl_mutable_command_khr* handle = nullptr;
};
using Record = cl_int (*)(const World& w, cl_command_buffer_khr buffer, const Sync& s);

struct Recording {
  const char* entry;
  Record record;
};

const Recording kRecordings[] = {
    {"clCommandBarrierWithWaitListKHR",
     [](const World& w, cl_command_buffer_khr b, const Sync& s) {
       return command_buffers(w).barrier(b, s.queue, s.count, s.list, s.point, s.handle);
     }},
    {"clCommandCopyBufferKHR",
     [](const World& w, cl_command_buffer_khr b, const Sync& s) {
       return command_buffers(w).copy_buffer(b, s.queue, w.buf, w.dst, 0, 0, 16, s.count, s.list,
                                             s.point, s.handle);
     }},
    {"clCommandCopyBufferRectKHR",
     [](const World& w, cl_command_buffer_khr b, const Sync& s) {
       return command_buffers(w).copy_rect(b, s.queue, w.buf, w.dst, kOrigin, kOrigin, kRegion, 0,
                                           0, 0, 0, s.count, s.list, s.point, s.handle);
     }},
    {"clCommandCopyBufferToImageKHR",
     [](const World& w, cl_command_buffer_khr b, const Sync& s) {
       return command_buffers(w).copy_buffer_to_image(b, s.queue, w.buf, w.image, 0, kOrigin,
                                                      kRegion, s.count, s.list, s.point, s.handle);
     }},
    {"clCommandCopyImageKHR",
     [](const World& w, cl_command_buffer_khr b, const Sync& s) {
       return command_buffers(w).copy_image(b, s.queue, w.image, w.dst_image, kOrigin, kOrigin,
                                            kRegion, s.count, s.list, s.point, s.handle);
     }},
    {"clCommandCopyImageToBufferKHR",
     [](const World& w, cl_command_buffer_khr b, const Sync& s) {
       return command_buffers(w).copy_image_to_buffer(b, s.queue, w.image, w.buf, kOrigin, kRegion,
                                                      0, s.count, s.list, s.point, s.handle);
     }},
    {"clCommandFillBufferKHR",
     [](const World& w, cl_command_buffer_khr b, const Sync& s) {
       const cl_uint one = 1;
       return command_buffers(w).fill_buffer(b, s.queue, w.buf, &one, 4, 0, 16, s.count, s.list,
                                             s.point, s.handle);
     }},
    {"clCommandFillImageKHR",
     [](const World& w, cl_command_buffer_khr b, const Sync& s) {
       const cl_float color[4] = {};
       return command_buffers(w).fill_image(b, s.queue, w.image, color, kOrigin, kRegion, s.count,
                                            s.list, s.point, s.handle);
     }},
    {"clCommandNDRangeKernelKHR",
     [](const World& w, cl_command_buffer_khr b, const Sync& s) {
       return command_buffers(w).nd_range(b, s.queue, nullptr, w.add_one, 1, nullptr, &kItems,
                                          nullptr, s.count, s.list, s.point, s.handle);
     }},
};

void add(const char* entry, const char* what, std::function<void(World&)> run) {
  cases().push_back({entry, what, Kind::fault, false, std::move(run)});
}

// What all functions that record refuse.
void add_faults_of(const Recording& each) {
  const Record record = each.record;
  add(each.entry, "null_command_buffer",
      [=](World& w) { CODE(record(w, nullptr, {}), CL_INVALID_COMMAND_BUFFER_KHR); });
  add(each.entry, "finalized", [=](World& w) {
    CommandBuffer made = new_command_buffer(w, w.queue);
    OK(command_buffers(w).finalize(made));
    CODE(record(w, made, {}), CL_INVALID_OPERATION);
  });
  add(each.entry, "queue_given", [=](World& w) {
    CommandBuffer made = new_command_buffer(w, w.queue);
    CODE(record(w, made, {.queue = w.queue}), CL_INVALID_COMMAND_QUEUE);
  });
  add(each.entry, "mutable_handle_given", [=](World& w) {
    CommandBuffer made = new_command_buffer(w, w.queue);
    cl_mutable_command_khr handle = nullptr;
    CODE(record(w, made, {.handle = &handle}), CL_INVALID_VALUE);
  });
  add(each.entry, "sync_points_null", [=](World& w) {
    CommandBuffer made = new_command_buffer(w, w.queue);
    CODE(record(w, made, {.count = 1}), CL_INVALID_SYNC_POINT_WAIT_LIST_KHR);
  });
  add(each.entry, "sync_points_without_count", [=](World& w) {
    CommandBuffer made = new_command_buffer(w, w.queue);
    cl_sync_point_khr first = 0;
    OK(record(w, made, {.point = &first}));
    CODE(record(w, made, {.list = &first}), CL_INVALID_SYNC_POINT_WAIT_LIST_KHR);
  });
  add(each.entry, "unknown_sync_point", [=](World& w) {
    CommandBuffer made = new_command_buffer(w, w.queue);
    const cl_sync_point_khr unknown = 1234;
    CODE(record(w, made, {.count = 1, .list = &unknown}), CL_INVALID_SYNC_POINT_WAIT_LIST_KHR);
  });
}

const bool kAdded = [] {
  for (const Recording& each : kRecordings) add_faults_of(each);
  return true;
}();

#define CREATE_FAULT(what, want, ...)            \
  FAULT_BODY(clCreateCommandBufferKHR, what) {   \
    const auto& f = command_buffers(w);          \
    cl_int e = 1;                                \
    const auto made = f.create(__VA_ARGS__, &e); \
    CODE(creation_code(made, e), want);          \
  }

const cl_properties kUnknownFlag[] = {CL_COMMAND_BUFFER_FLAGS_KHR, 1u << 20, 0};
const cl_properties kUnknownName[] = {0x9999, 1, 0};
const cl_properties kTwice[] = {CL_COMMAND_BUFFER_FLAGS_KHR, 1, CL_COMMAND_BUFFER_FLAGS_KHR, 1, 0};
const cl_command_queue kNull[] = {nullptr};

CREATE_FAULT(no_queue, CL_INVALID_VALUE, 0, w.queue.at(), nullptr)
CREATE_FAULT(two_queues, CL_INVALID_VALUE, 2, w.queue.at(), nullptr)
CREATE_FAULT(null_list, CL_INVALID_VALUE, 1, nullptr, nullptr)
CREATE_FAULT(null_queue, CL_INVALID_COMMAND_QUEUE, 1, kNull, nullptr)
CREATE_FAULT(unknown_flag, CL_INVALID_VALUE, 1, w.queue.at(), kUnknownFlag)
CREATE_FAULT(unknown_property, CL_INVALID_VALUE, 1, w.queue.at(), kUnknownName)
CREATE_FAULT(property_twice, CL_INVALID_VALUE, 1, w.queue.at(), kTwice)

FAULT_BODY(clRetainCommandBufferKHR, null) {
  CODE(command_buffers(w).retain(nullptr), CL_INVALID_COMMAND_BUFFER_KHR);
}
FAULT_BODY(clReleaseCommandBufferKHR, null) {
  CODE(command_buffers(w).release(nullptr), CL_INVALID_COMMAND_BUFFER_KHR);
}
FAULT_BODY(clFinalizeCommandBufferKHR, null) {
  CODE(command_buffers(w).finalize(nullptr), CL_INVALID_COMMAND_BUFFER_KHR);
}
FAULT_BODY(clFinalizeCommandBufferKHR, twice) {
  CommandBuffer made = new_command_buffer(w, w.queue);
  OK(command_buffers(w).finalize(made));
  CODE(command_buffers(w).finalize(made), CL_INVALID_OPERATION);
}
FAULT_BODY(clGetCommandBufferInfoKHR, null) {
  CODE(command_buffers(w).info(nullptr, CL_COMMAND_BUFFER_STATE_KHR, 0, nullptr, nullptr),
       CL_INVALID_COMMAND_BUFFER_KHR);
}
FAULT_BODY(clGetCommandBufferInfoKHR, unknown_question) {
  CommandBuffer made = new_command_buffer(w, w.queue);
  cl_ulong room = 0;
  CODE(command_buffers(w).info(made, 0x7777, sizeof room, &room, nullptr), CL_INVALID_VALUE);
}

// ---- launches ----

CommandBuffer finished(const World& w, cl_command_queue queue) {
  CommandBuffer made = new_command_buffer(w, queue);
  const cl_uint one = 1;
  OK(command_buffers(w).fill_buffer(made, nullptr, w.dst, &one, 4, 0, 16, 0, nullptr, nullptr,
                                    nullptr));
  OK(command_buffers(w).finalize(made));
  return made;
}

FAULT_BODY(clEnqueueCommandBufferKHR, null) {
  CODE(command_buffers(w).enqueue(0, nullptr, nullptr, 0, nullptr, nullptr),
       CL_INVALID_COMMAND_BUFFER_KHR);
}
FAULT_BODY(clEnqueueCommandBufferKHR, not_finalized) {
  CommandBuffer made = new_command_buffer(w, w.queue);
  CODE(command_buffers(w).enqueue(0, nullptr, made, 0, nullptr, nullptr), CL_INVALID_OPERATION);
}
FAULT_BODY(clEnqueueCommandBufferKHR, pending) {
  CommandBuffer made = finished(w, w.queue);
  Event gate = new_user_event(w);
  OK(command_buffers(w).enqueue(0, nullptr, made, 1, gate.at(), nullptr));
  const cl_int again = command_buffers(w).enqueue(0, nullptr, made, 0, nullptr, nullptr);
  OK(clSetUserEventStatus(gate, CL_COMPLETE));
  OK(clFinish(w.queue));
  CODE(again, CL_INVALID_OPERATION);
}
FAULT_BODY(clEnqueueCommandBufferKHR, queues_null) {
  CommandBuffer made = finished(w, w.queue);
  CODE(command_buffers(w).enqueue(1, nullptr, made, 0, nullptr, nullptr), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueCommandBufferKHR, queues_without_count) {
  CommandBuffer made = finished(w, w.queue);
  cl_command_queue queue = w.queue;
  CODE(command_buffers(w).enqueue(0, &queue, made, 0, nullptr, nullptr), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueCommandBufferKHR, two_queues) {
  CommandBuffer made = finished(w, w.queue);
  cl_command_queue queues[] = {w.queue, w.queue};
  CODE(command_buffers(w).enqueue(2, queues, made, 0, nullptr, nullptr), CL_INVALID_VALUE);
}
FAULT_BODY(clEnqueueCommandBufferKHR, null_queue) {
  CommandBuffer made = finished(w, w.queue);
  cl_command_queue queue = nullptr;
  CODE(command_buffers(w).enqueue(1, &queue, made, 0, nullptr, nullptr), CL_INVALID_COMMAND_QUEUE);
}
FAULT_BODY(clEnqueueCommandBufferKHR, queue_of_other_properties) {
  CommandBuffer made = finished(w, w.queue);
  cl_command_queue queue = w.unordered;
  CODE(command_buffers(w).enqueue(1, &queue, made, 0, nullptr, nullptr),
       CL_INCOMPATIBLE_COMMAND_QUEUE_KHR);
}
FAULT_BODY(clEnqueueCommandBufferKHR, queue_of_another_context) {
  CommandBuffer made = finished(w, w.queue);
  cl_command_queue queue = w.other_queue;
  CODE(command_buffers(w).enqueue(1, &queue, made, 0, nullptr, nullptr), CL_INVALID_CONTEXT);
}
FAULT_BODY(clEnqueueCommandBufferKHR, wait_list_null) {
  CommandBuffer made = finished(w, w.queue);
  CODE(command_buffers(w).enqueue(0, nullptr, made, 1, nullptr, nullptr),
       CL_INVALID_EVENT_WAIT_LIST);
}
FAULT_BODY(clEnqueueCommandBufferKHR, wait_list_without_count) {
  CommandBuffer made = finished(w, w.queue);
  CODE(command_buffers(w).enqueue(0, nullptr, made, 0, w.done.at(), nullptr),
       CL_INVALID_EVENT_WAIT_LIST);
}
FAULT_BODY(clEnqueueCommandBufferKHR, wait_list_of_another_context) {
  CommandBuffer made = finished(w, w.queue);
  CODE(command_buffers(w).enqueue(0, nullptr, made, 1, w.other_done.at(), nullptr),
       CL_INVALID_CONTEXT);
}

// ---- what single commands refuse, as when they are enqueued ----

#define RECORD_FAULT(entry, what, want, function, ...)                                          \
  FAULT_BODY(entry, what) {                                                                     \
    CommandBuffer made = new_command_buffer(w, w.queue);                                        \
    CODE(command_buffers(w).function(made, nullptr, __VA_ARGS__, 0, nullptr, nullptr, nullptr), \
         want);                                                                                 \
  }

const size_t kFarOrigin[3] = {kImageSide, 0, 0};
const cl_uint kOne = 1;
const cl_float kColor[4] = {};
const cl_properties kProperties[] = {0x1234, 1, 0};

RECORD_FAULT(clCommandCopyBufferKHR, null_source, CL_INVALID_MEM_OBJECT, copy_buffer, nullptr,
             w.dst, 0, 0, 16)
RECORD_FAULT(clCommandCopyBufferKHR, past_the_end, CL_INVALID_VALUE, copy_buffer, w.buf, w.dst, 0,
             kBytes, 16)
RECORD_FAULT(clCommandCopyBufferKHR, overlap, CL_MEM_COPY_OVERLAP, copy_buffer, w.buf, w.buf, 0, 8,
             16)
RECORD_FAULT(clCommandCopyBufferKHR, of_another_context, CL_INVALID_CONTEXT, copy_buffer,
             w.other_buf, w.dst, 0, 0, 16)
RECORD_FAULT(clCommandCopyBufferRectKHR, pitch_too_small, CL_INVALID_VALUE, copy_rect, w.buf, w.dst,
             kOrigin, kOrigin, kRegion, 1, 0, 0, 0)
RECORD_FAULT(clCommandCopyBufferToImageKHR, region_outside, CL_INVALID_VALUE, copy_buffer_to_image,
             w.buf, w.image, 0, kFarOrigin, kRegion)
RECORD_FAULT(clCommandCopyImageKHR, region_outside, CL_INVALID_VALUE, copy_image, w.image,
             w.dst_image, kFarOrigin, kOrigin, kRegion)
RECORD_FAULT(clCommandCopyImageKHR, overlap, CL_MEM_COPY_OVERLAP, copy_image, w.image, w.image,
             kOrigin, kOrigin, kRegion)
RECORD_FAULT(clCommandCopyImageToBufferKHR, past_the_end, CL_INVALID_VALUE, copy_image_to_buffer,
             w.image, w.buf, kOrigin, kRegion, kBytes)
RECORD_FAULT(clCommandFillBufferKHR, null_pattern, CL_INVALID_VALUE, fill_buffer, w.buf, nullptr, 4,
             0, 16)
RECORD_FAULT(clCommandFillBufferKHR, size_no_multiple, CL_INVALID_VALUE, fill_buffer, w.buf, &kOne,
             4, 0, 15)
RECORD_FAULT(clCommandFillImageKHR, null_color, CL_INVALID_VALUE, fill_image, w.image, nullptr,
             kOrigin, kRegion)
RECORD_FAULT(clCommandFillImageKHR, of_a_buffer, CL_INVALID_MEM_OBJECT, fill_image, w.buf, kColor,
             kOrigin, kRegion)
RECORD_FAULT(clCommandNDRangeKernelKHR, null_kernel, CL_INVALID_KERNEL, nd_range, nullptr, nullptr,
             1, nullptr, &kItems, nullptr)
RECORD_FAULT(clCommandNDRangeKernelKHR, arguments_not_set, CL_INVALID_KERNEL_ARGS, nd_range,
             nullptr, w.scale, 1, nullptr, &kItems, nullptr)
RECORD_FAULT(clCommandNDRangeKernelKHR, no_dimension, CL_INVALID_WORK_DIMENSION, nd_range, nullptr,
             w.add_one, 0, nullptr, &kItems, nullptr)
RECORD_FAULT(clCommandNDRangeKernelKHR, property_given, CL_INVALID_VALUE, nd_range, kProperties,
             w.add_one, 1, nullptr, &kItems, nullptr)

}  // namespace
}  // namespace tessera::conformance

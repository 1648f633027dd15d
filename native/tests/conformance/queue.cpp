// SPDX-License-Identifier: Apache-2.0
#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

cl_command_queue_properties properties_of(cl_command_queue queue) {
  cl_command_queue_properties out = 0;
  OK(clGetCommandQueueInfo(queue, CL_QUEUE_PROPERTIES, sizeof out, &out, nullptr));
  return out;
}

cl_int with_properties(const World& w, const std::vector<cl_queue_properties>& list) {
  cl_int e = 1;
  Queue made(clCreateCommandQueueWithProperties(w.ctx, w.device, list.data(), &e));
  return creation_code(cl_command_queue(made), e);
}

USE(clCreateCommandQueue, with_profiling) {
  cl_int e = 1;
  Queue made(clCreateCommandQueue(w.ctx, w.device, CL_QUEUE_PROFILING_ENABLE, &e));
  OK(e);
  SAME(properties_of(made), cl_command_queue_properties{CL_QUEUE_PROFILING_ENABLE});
  OK(clFinish(made));
}
TABLE_FAULT_NEW(clCreateCommandQueue, null_context, CL_INVALID_CONTEXT, (nullptr, w.device, 0, &e))
TABLE_FAULT_NEW(clCreateCommandQueue, null_device, CL_INVALID_DEVICE, (w.ctx, nullptr, 0, &e))
FAULT_NEW(clCreateCommandQueue, unknown_property, CL_INVALID_VALUE, (w.ctx, w.device, 1u << 20, &e))
FAULT_NEW(clCreateCommandQueue, wrong_kind, CL_INVALID_CONTEXT,
          (as<cl_context>(w.buf), w.device, 0, &e))

USE(clCreateCommandQueueWithProperties, plain_and_out_of_order) {
  cl_int e = 1;
  Queue plain(clCreateCommandQueueWithProperties(w.ctx, w.device, nullptr, &e));
  OK(e);
  SAME(properties_of(plain), cl_command_queue_properties{0});
  Queue both = new_queue(w, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE | CL_QUEUE_PROFILING_ENABLE);
  SAME(properties_of(both), cl_command_queue_properties{CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE |
                                                        CL_QUEUE_PROFILING_ENABLE});
}
TABLE_FAULT_NEW(clCreateCommandQueueWithProperties, null_context, CL_INVALID_CONTEXT,
                (nullptr, w.device, nullptr, &e))
TABLE_FAULT_NEW(clCreateCommandQueueWithProperties, null_device, CL_INVALID_DEVICE,
                (w.ctx, nullptr, nullptr, &e))
FAULT_BODY(clCreateCommandQueueWithProperties, unknown_property) {
  CODE(with_properties(w, {0x7777, 1, 0}), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateCommandQueueWithProperties, unknown_bits) {
  CODE(with_properties(w, {CL_QUEUE_PROPERTIES, 1u << 20, 0}), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateCommandQueueWithProperties, device_queue_that_is_in_order) {
  CODE(with_properties(w, {CL_QUEUE_PROPERTIES, CL_QUEUE_ON_DEVICE, 0}),
       ANY(CL_INVALID_VALUE, CL_INVALID_QUEUE_PROPERTIES));
}
FAULT_BODY(clCreateCommandQueueWithProperties, device_queue_where_there_are_none) {
  if (device_fact<cl_uint>(w, CL_DEVICE_MAX_ON_DEVICE_QUEUES) != 0) throw Skip("it has them");
  CODE(with_properties(w, {CL_QUEUE_PROPERTIES,
                           CL_QUEUE_ON_DEVICE | CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, 0}),
       CL_INVALID_QUEUE_PROPERTIES);
}
FAULT_BODY(clCreateCommandQueueWithProperties, size_of_a_host_queue) {
  CODE(with_properties(w, {CL_QUEUE_SIZE, 1024, 0}), CL_INVALID_VALUE);
}

USE(clRetainCommandQueue, counts) {
  Queue made = new_queue(w);
  SAME(reference_count(clGetCommandQueueInfo, cl_command_queue(made), CL_QUEUE_REFERENCE_COUNT),
       1u);
  OK(clRetainCommandQueue(made));
  SAME(reference_count(clGetCommandQueueInfo, cl_command_queue(made), CL_QUEUE_REFERENCE_COUNT),
       2u);
  OK(clReleaseCommandQueue(made));
  SAME(reference_count(clGetCommandQueueInfo, cl_command_queue(made), CL_QUEUE_REFERENCE_COUNT),
       1u);
}
TABLE_FAULT(clRetainCommandQueue, null_queue, CL_INVALID_COMMAND_QUEUE, (nullptr))
FAULT(clRetainCommandQueue, wrong_kind, CL_INVALID_COMMAND_QUEUE, (as<cl_command_queue>(w.ctx)))

USE(clReleaseCommandQueue, with_commands_under_way) {
  const std::vector<cl_int> zeros(kBytes / 4, 0);
  write_all(w, w.dst, zeros);
  Kernel add = new_kernel(w.program, "add_one");
  OK(clSetKernelArg(add, 0, sizeof(cl_mem), w.dst.at()));
  Queue made = new_queue(w);
  Event last;
  const std::size_t items = kBytes / 4;
  for (int i = 0; i < 50; ++i) {
    OK(clEnqueueNDRangeKernel(made, add, 1, nullptr, &items, nullptr, 0, nullptr, last.out()));
  }
  made.reset();
  OK(clWaitForEvents(1, last.at()));
  SAME(read_all<cl_int>(w, w.dst, items)[items - 1], 50);
}
TABLE_FAULT(clReleaseCommandQueue, null_queue, CL_INVALID_COMMAND_QUEUE, (nullptr))
FAULT(clReleaseCommandQueue, wrong_kind, CL_INVALID_COMMAND_QUEUE, (as<cl_command_queue>(w.buf)))

USE(clGetCommandQueueInfo, every_parameter) {
  check_info([&](cl_uint what, std::size_t n, void* to,
                 std::size_t* size) { return clGetCommandQueueInfo(w.queue, what, n, to, size); },
             {{CL_QUEUE_CONTEXT, sizeof(cl_context)},
              {CL_QUEUE_DEVICE, sizeof(cl_device_id)},
              {CL_QUEUE_REFERENCE_COUNT, 4},
              {CL_QUEUE_PROPERTIES, sizeof(cl_command_queue_properties)},
              {CL_QUEUE_PROPERTIES_ARRAY, 0},
              {CL_QUEUE_DEVICE_DEFAULT, sizeof(cl_command_queue)}});
  cl_context ctx = nullptr;
  cl_device_id device = nullptr;
  OK(clGetCommandQueueInfo(w.queue, CL_QUEUE_CONTEXT, sizeof ctx, &ctx, nullptr));
  OK(clGetCommandQueueInfo(w.queue, CL_QUEUE_DEVICE, sizeof device, &device, nullptr));
  SAME(ctx, cl_context(w.ctx));
  SAME(device, w.device);
}
USE(clGetCommandQueueInfo, properties_as_given) {
  cl_queue_properties back[8] = {};
  std::size_t size = 0;
  OK(clGetCommandQueueInfo(w.queue, CL_QUEUE_PROPERTIES_ARRAY, sizeof back, back, &size));
  SAME(size, 3 * sizeof(cl_queue_properties));
  SAME(back[0], cl_queue_properties{CL_QUEUE_PROPERTIES});
  SAME(back[1], cl_queue_properties{CL_QUEUE_PROFILING_ENABLE});
  SAME(back[2], cl_queue_properties{0});
  cl_int e = 1;
  Queue plain(clCreateCommandQueueWithProperties(w.ctx, w.device, nullptr, &e));
  OK(clGetCommandQueueInfo(plain, CL_QUEUE_PROPERTIES_ARRAY, sizeof back, back, &size));
  SAME(size, std::size_t{0});
}
TABLE_FAULT(clGetCommandQueueInfo, null_queue, CL_INVALID_COMMAND_QUEUE,
            (nullptr, CL_QUEUE_CONTEXT, 0, nullptr, nullptr))
FAULT(clGetCommandQueueInfo, unknown_parameter, CL_INVALID_VALUE,
      (w.queue, 0x1, 0, nullptr, nullptr))
FAULT(clGetCommandQueueInfo, size_of_a_host_queue, CL_INVALID_COMMAND_QUEUE,
      (w.queue, CL_QUEUE_SIZE, 0, nullptr, nullptr))
FAULT(clGetCommandQueueInfo, wrong_kind, CL_INVALID_COMMAND_QUEUE,
      (as<cl_command_queue>(w.ctx), CL_QUEUE_CONTEXT, 0, nullptr, nullptr))

USE(clSetCommandQueueProperty, is_refused_since_1_1) {
  require_entry(w, w.table->clSetCommandQueueProperty != nullptr, "clSetCommandQueueProperty");
  cl_command_queue_properties old = 0;
  Queue made = new_queue(w);
  CODE(w.table->clSetCommandQueueProperty(made, CL_QUEUE_PROFILING_ENABLE, CL_TRUE, &old),
       ANY(CL_SUCCESS, CL_INVALID_OPERATION));
  OK(clFinish(made));
}
TABLE_FAULT(clSetCommandQueueProperty, null_queue,
            ANY(CL_INVALID_COMMAND_QUEUE, CL_INVALID_OPERATION),
            (nullptr, CL_QUEUE_PROFILING_ENABLE, CL_TRUE, nullptr))

USE(clFlush, and_the_command_completes) {
  Event event;
  const cl_uint seven = 7;
  OK(clEnqueueFillBuffer(w.queue, w.dst, &seven, 4, 0, kBytes, 0, nullptr, event.out()));
  OK(clFlush(w.queue));
  for (int i = 0; i < 20000 && status_of(event) != CL_COMPLETE; ++i) {
    OK(clWaitForEvents(1, w.done.at()));
    struct timespec pause = {0, 100000};
    nanosleep(&pause, nullptr);
  }
  SAME(status_of(event), CL_COMPLETE);
}
TABLE_FAULT(clFlush, null_queue, CL_INVALID_COMMAND_QUEUE, (nullptr))
FAULT(clFlush, wrong_kind, CL_INVALID_COMMAND_QUEUE, (as<cl_command_queue>(w.ctx)))

USE(clFinish, everything_is_done) {
  std::vector<Event> events(20);
  const cl_uint seven = 7;
  for (Event& event : events) {
    OK(clEnqueueFillBuffer(w.unordered, w.dst, &seven, 4, 0, kBytes, 0, nullptr, event.out()));
  }
  OK(clFinish(w.unordered));
  for (Event& event : events) SAME(status_of(event), CL_COMPLETE);
}
TABLE_FAULT(clFinish, null_queue, CL_INVALID_COMMAND_QUEUE, (nullptr))
FAULT(clFinish, wrong_kind, CL_INVALID_COMMAND_QUEUE, (as<cl_command_queue>(w.buf)))

}  // namespace
}  // namespace tessera::conformance

// SPDX-License-Identifier: Apache-2.0
#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

cl_context_properties as_property(const void* object) {
  return reinterpret_cast<cl_context_properties>(object);
}

Context plain_context(const World& w) {
  cl_int e = 1;
  Context made(clCreateContext(nullptr, 1, &w.device, nullptr, nullptr, &e));
  OK(e);
  return made;
}

void CL_CALLBACK ignore_notice(const char*, const void*, std::size_t, void*) {}

USE(clCreateContext, with_platform_property_and_notice) {
  cl_int e = 1;
  const cl_context_properties list[] = {CL_CONTEXT_PLATFORM, as_property(w.platform), 0};
  int user = 0;
  Context made(clCreateContext(list, 1, &w.device, ignore_notice, &user, &e));
  OK(e);
  cl_context_properties back[3] = {};
  std::size_t size = 0;
  OK(clGetContextInfo(made, CL_CONTEXT_PROPERTIES, sizeof back, back, &size));
  SAME(size, sizeof list);
  SAME(back[1], list[1]);
}
USE(clCreateContext, without_error_pointer) {
  Context made(clCreateContext(nullptr, 1, &w.device, nullptr, nullptr, nullptr));
  THAT(made != nullptr);
}
FAULT_NEW(clCreateContext, no_devices, CL_INVALID_VALUE,
          (nullptr, 0, &w.device, nullptr, nullptr, &e))
TABLE_FAULT_NEW(clCreateContext, null_device_list, CL_INVALID_VALUE,
                (nullptr, 1, nullptr, nullptr, nullptr, &e))
TABLE_FAULT_NEW(clCreateContext, null_device, CL_INVALID_DEVICE,
                (nullptr, 1, std::vector<cl_device_id>{nullptr}.data(), nullptr, nullptr, &e))
FAULT_NEW(clCreateContext, user_data_without_function, CL_INVALID_VALUE,
          (nullptr, 1, &w.device, nullptr, &w, &e))
FAULT_BODY(clCreateContext, unknown_property) {
  cl_int e = 1;
  const cl_context_properties list[] = {0x7777, 1, 0};
  CODE(creation_code(clCreateContext(list, 1, &w.device, nullptr, nullptr, &e), e),
       CL_INVALID_PROPERTY);
}
FAULT_BODY(clCreateContext, property_twice) {
  cl_int e = 1;
  const cl_context_properties list[] = {CL_CONTEXT_PLATFORM, as_property(w.platform),
                                        CL_CONTEXT_PLATFORM, as_property(w.platform), 0};
  CODE(creation_code(clCreateContext(list, 1, &w.device, nullptr, nullptr, &e), e),
       CL_INVALID_PROPERTY);
}
FAULT_BODY(clCreateContext, null_platform_property) {
  cl_int e = 1;
  const cl_context_properties list[] = {CL_CONTEXT_PLATFORM, 0, 0};
  CODE(creation_code(w.table->clCreateContext(list, 1, &w.device, nullptr, nullptr, &e), e),
       CL_INVALID_PLATFORM);
}
FAULT_BODY(clCreateContext, bad_interop_value) {
  cl_int e = 1;
  const cl_context_properties list[] = {CL_CONTEXT_INTEROP_USER_SYNC, 5, 0};
  CODE(creation_code(clCreateContext(list, 1, &w.device, nullptr, nullptr, &e), e),
       CL_INVALID_PROPERTY);
}

USE(clCreateContextFromType, all_and_default) {
  const cl_context_properties list[] = {CL_CONTEXT_PLATFORM, as_property(w.platform), 0};
  for (const cl_device_type type :
       {cl_device_type{CL_DEVICE_TYPE_ALL}, cl_device_type{CL_DEVICE_TYPE_DEFAULT}}) {
    cl_int e = 1;
    Context made(clCreateContextFromType(list, type, nullptr, nullptr, &e));
    OK(e);
    cl_uint count = 0;
    OK(clGetContextInfo(made, CL_CONTEXT_NUM_DEVICES, sizeof count, &count, nullptr));
    THAT(count >= 1);
  }
}
FAULT_BODY(clCreateContextFromType, none_of_that_type) {
  const cl_context_properties list[] = {CL_CONTEXT_PLATFORM, as_property(w.platform), 0};
  const auto type = device_fact<cl_device_type>(w, CL_DEVICE_TYPE);
  cl_int e = 1;
  CODE(creation_code(
           clCreateContextFromType(
               list,
               (type & CL_DEVICE_TYPE_CPU) != 0 ? CL_DEVICE_TYPE_ACCELERATOR : CL_DEVICE_TYPE_CPU,
               nullptr, nullptr, &e),
           e),
       CL_DEVICE_NOT_FOUND);
}
FAULT_BODY(clCreateContextFromType, bad_type) {
  const cl_context_properties list[] = {CL_CONTEXT_PLATFORM, as_property(w.platform), 0};
  cl_int e = 1;
  CODE(creation_code(clCreateContextFromType(list, 1u << 20, nullptr, nullptr, &e), e),
       CL_INVALID_DEVICE_TYPE);
}
FAULT_BODY(clCreateContextFromType, user_data_without_function) {
  const cl_context_properties list[] = {CL_CONTEXT_PLATFORM, as_property(w.platform), 0};
  cl_int e = 1;
  CODE(creation_code(clCreateContextFromType(list, CL_DEVICE_TYPE_ALL, nullptr, &w, &e), e),
       CL_INVALID_VALUE);
}
FAULT_BODY(clCreateContextFromType, unknown_property) {
  const cl_context_properties list[] = {CL_CONTEXT_PLATFORM, as_property(w.platform), 0x7777, 1, 0};
  cl_int e = 1;
  CODE(creation_code(clCreateContextFromType(list, CL_DEVICE_TYPE_ALL, nullptr, nullptr, &e), e),
       CL_INVALID_PROPERTY);
}

USE(clRetainContext, counts) {
  Context made = plain_context(w);
  SAME(reference_count(clGetContextInfo, cl_context(made), CL_CONTEXT_REFERENCE_COUNT), 1u);
  OK(clRetainContext(made));
  SAME(reference_count(clGetContextInfo, cl_context(made), CL_CONTEXT_REFERENCE_COUNT), 2u);
  OK(clReleaseContext(made));
  SAME(reference_count(clGetContextInfo, cl_context(made), CL_CONTEXT_REFERENCE_COUNT), 1u);
}
TABLE_FAULT(clRetainContext, null_context, CL_INVALID_CONTEXT, (nullptr))
FAULT(clRetainContext, wrong_kind, CL_INVALID_CONTEXT, (as<cl_context>(w.queue)))

USE(clReleaseContext, before_its_objects) {
  Context made = plain_context(w);
  cl_int e = 1;
  Queue queue(clCreateCommandQueueWithProperties(made, w.device, nullptr, &e));
  OK(e);
  Mem buffer(clCreateBuffer(made, 0, 64, nullptr, &e));
  OK(e);
  made.reset();
  const cl_uint five = 5;
  cl_uint got = 0;
  OK(clEnqueueFillBuffer(queue, buffer, &five, 4, 0, 64, 0, nullptr, nullptr));
  OK(clEnqueueReadBuffer(queue, buffer, CL_TRUE, 60, 4, &got, 0, nullptr, nullptr));
  SAME(got, 5u);
}
TABLE_FAULT(clReleaseContext, null_context, CL_INVALID_CONTEXT, (nullptr))
FAULT(clReleaseContext, wrong_kind, CL_INVALID_CONTEXT, (as<cl_context>(w.buf)))

USE(clGetContextInfo, every_parameter) {
  check_info([&](cl_uint what, std::size_t n, void* to,
                 std::size_t* size) { return clGetContextInfo(w.ctx, what, n, to, size); },
             {{CL_CONTEXT_REFERENCE_COUNT, 4},
              {CL_CONTEXT_NUM_DEVICES, 4},
              {CL_CONTEXT_DEVICES, sizeof(cl_device_id)},
              {CL_CONTEXT_PROPERTIES, 0}});
  cl_device_id device = nullptr;
  OK(clGetContextInfo(w.ctx, CL_CONTEXT_DEVICES, sizeof device, &device, nullptr));
  SAME(device, w.device);
}
TABLE_FAULT(clGetContextInfo, null_context, CL_INVALID_CONTEXT,
            (nullptr, CL_CONTEXT_NUM_DEVICES, 0, nullptr, nullptr))
FAULT(clGetContextInfo, unknown_parameter, CL_INVALID_VALUE, (w.ctx, 0x1, 0, nullptr, nullptr))
FAULT(clGetContextInfo, wrong_kind, CL_INVALID_CONTEXT,
      (as<cl_context>(w.queue), CL_CONTEXT_NUM_DEVICES, 0, nullptr, nullptr))

struct Order {
  std::vector<int>* seen;
  int place;
};
void CL_CALLBACK note_context(cl_context, void* user) {
  auto* order = static_cast<Order*>(user);
  order->seen->push_back(order->place);
}

USE(clSetContextDestructorCallback, called_in_reverse_order) {
  std::vector<int> seen;
  Order first{&seen, 1}, second{&seen, 2};
  Context made = plain_context(w);
  OK(clSetContextDestructorCallback(made, note_context, &first));
  OK(clSetContextDestructorCallback(made, note_context, &second));
  THAT(seen.empty());
  made.reset();
  SAME(seen.size(), std::size_t{2});
  SAME(seen[0], 2);
  SAME(seen[1], 1);
}
TABLE_FAULT(clSetContextDestructorCallback, null_context, CL_INVALID_CONTEXT,
            (nullptr, note_context, nullptr))
FAULT(clSetContextDestructorCallback, null_function, CL_INVALID_VALUE, (w.ctx, nullptr, nullptr))

}  // namespace
}  // namespace tessera::conformance

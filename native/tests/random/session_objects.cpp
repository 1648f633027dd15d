// SPDX-License-Identifier: Apache-2.0
//
// The objects of a program, from their creation to the end; and launches, which have kernels.
#include <sched.h>

#include "tests/random/session.h"

namespace tessera::random {
namespace {

constexpr cl_image_format kFormat{CL_RGBA, CL_UNSIGNED_INT8};

cl_mem made(cl_mem memory, cl_int code, const char* call) {
  expect_code(code, CL_SUCCESS, call);
  return memory;
}

}  // namespace

Session::Thread::~Thread() {
  for (cl_kernel kernel : kernels) {
    if (kernel != nullptr) clReleaseKernel(kernel);
  }
}

void Session::make_queues() {
  phase_ = "the creation of its queues";
  for (const Queue& queue : plan_.queues) {
    cl_command_queue_properties bits = 0;
    if (queue.unordered) bits |= CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE;
    if (queue.profiling) bits |= CL_QUEUE_PROFILING_ENABLE;
    const cl_queue_properties properties[] = {CL_QUEUE_PROPERTIES, bits, 0};
    cl_int code = CL_SUCCESS;
    queues_.push_back(
        clCreateCommandQueueWithProperties(device_.context, device_.id, properties, &code));
    expect_code(code, CL_SUCCESS, "clCreateCommandQueueWithProperties");
  }
}

void Session::make_object(int object) {
  const Object& o = plan_.objects[object];
  Live& live = live_[object];
  cl_int code = CL_SUCCESS;
  Bytes contents = o.parent < 0 ? first_contents(plan_, object) : Bytes();
  switch (o.kind) {
    case ObjectKind::host:
      live.host = std::move(contents);
      return;
    case ObjectKind::buffer: {
      const bool uses = o.flags == 1;
      live.host = std::move(contents);
      const cl_mem_flags flags = uses           ? CL_MEM_USE_HOST_PTR
                                 : o.flags == 2 ? CL_MEM_ALLOC_HOST_PTR | CL_MEM_COPY_HOST_PTR
                                                : CL_MEM_COPY_HOST_PTR;
      live.memory = made(clCreateBuffer(device_.context, flags | CL_MEM_READ_WRITE, o.size,
                                        live.host.data(), &code),
                         code, "clCreateBuffer");
      if (!uses) live.host.clear();
      break;
    }
    case ObjectKind::sub_buffer: {
      const cl_buffer_region region{o.offset, o.size};
      live.memory = made(clCreateSubBuffer(live_[o.parent].memory, CL_MEM_READ_WRITE,
                                           CL_BUFFER_CREATE_TYPE_REGION, &region, &code),
                         code, "clCreateSubBuffer");
      break;
    }
    case ObjectKind::image:
    case ObjectKind::buffer_image: {
      const bool flat = o.kind == ObjectKind::buffer_image;
      cl_image_desc shape{};
      shape.image_type = flat ? CL_MEM_OBJECT_IMAGE1D_BUFFER : CL_MEM_OBJECT_IMAGE2D;
      shape.image_width = o.width;
      shape.image_height = flat ? 0 : o.size / o.pitch();
      if (flat) shape.buffer = live_[o.parent].memory;
      const cl_mem_flags flags = CL_MEM_READ_WRITE | (flat ? 0 : CL_MEM_COPY_HOST_PTR);
      live.memory = made(clCreateImage(device_.context, flags, &kFormat, &shape,
                                       flat ? nullptr : contents.data(), &code),
                         code, "clCreateImage");
      break;
    }
    case ObjectKind::svm:
      live.svm = clSVMAlloc(device_.context, CL_MEM_READ_WRITE, o.size, 0);
      if (live.svm == nullptr) throw CallFailed("clSVMAlloc of " + std::to_string(o.size), 0, 1);
      OK(clEnqueueSVMMemcpy(queues_[0], CL_TRUE, live.svm, contents.data(), o.size, 0, nullptr,
                            nullptr));
      return;
    case ObjectKind::svm_buffer:
      live.memory = made(clCreateBuffer(device_.context, CL_MEM_USE_HOST_PTR | CL_MEM_READ_WRITE,
                                        o.size, live_[o.parent].svm, &code),
                         code, "clCreateBuffer over SVM");
      break;
  }
  if (o.destructor) OK(clSetMemObjectDestructorCallback(live.memory, on_destroyed, &live));
}

void Session::give_back(int object) {
  live_[object].released = true;
  OK(clReleaseMemObject(live_[object].memory));
}

cl_int Session::launch(Thread& thread, const Step& step, cl_uint count, const cl_event* waits,
                       cl_event* event) {
  cl_kernel& kernel = thread.kernels[static_cast<int>(step.kernel)];
  cl_int code = CL_SUCCESS;
  if (kernel == nullptr) {
    kernel = clCreateKernel(device_.program, kernel_name(step.kernel), &code);
    expect_code(code, CL_SUCCESS, "clCreateKernel");
  }
  cl_uint next = 0;
  const auto number = [&](std::size_t value) {
    const auto narrow = static_cast<cl_uint>(value);
    OK(clSetKernelArg(kernel, next++, sizeof narrow, &narrow));
  };
  const auto object = [&](int which, const Place& at) {
    if (plan_.objects[which].kind == ObjectKind::svm) {
      OK(clSetKernelArgSVMPointer(kernel, next++, live_[which].svm));
    } else {
      OK(clSetKernelArg(kernel, next++, sizeof(cl_mem), &live_[which].memory));
    }
    if (step.kernel != KernelKind::image_add) number(at.offset / 4);
  };
  if (step.from >= 0) object(step.from, step.from_at);
  object(step.to, step.to_at);
  if (step.kernel != KernelKind::image_add) number(step.row / 4);
  number(step.value);
  number(step.spin);
  const std::size_t one = 1;
  code = clEnqueueNDRangeKernel(queues_[step.queue], kernel, 1, nullptr, &one, &one, count, waits,
                                event);
  // A kernel may go as soon as it is enqueued.
  if (step.rect) {
    OK(clReleaseKernel(kernel));
    kernel = nullptr;
  }
  return code;
}

void Session::release_all() {
  phase_ = "the release of its objects";
  for (std::size_t i = 0; i < events_.size(); ++i) {
    if (events_[i] != nullptr && !given_back_[i]) OK(clReleaseEvent(events_[i]));
  }
  for (std::size_t i = live_.size(); i-- > 0;) {
    if (live_[i].memory != nullptr && !live_[i].released) give_back(static_cast<int>(i));
  }
  for (std::size_t i = 0; i < live_.size(); ++i) {
    while (plan_.objects[i].destructor && live_[i].memory != nullptr && !live_[i].destroyed) {
      sched_yield();
    }
    if (live_[i].svm != nullptr) clSVMFree(device_.context, live_[i].svm);
  }
  for (cl_command_queue queue : queues_) OK(clReleaseCommandQueue(queue));
}

}  // namespace tessera::random

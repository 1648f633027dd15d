// SPDX-License-Identifier: Apache-2.0
//
// Calls that return without waiting: no round trip.
#include <array>

#include "tests/conformance/roundtrips.h"

namespace tessera::conformance {
namespace {

constexpr cl_image_format kRgba8 = {CL_RGBA, CL_UNSIGNED_INT8};
constexpr std::size_t kOrigin[3] = {0, 0, 0};
constexpr std::size_t kRegion[3] = {8, 8, 1};
constexpr std::size_t kItems = 16;
constexpr std::size_t kOne = 1;

constexpr const char* kSource = R"(
kernel void every(global int* g, local int* l, int i, read_only image2d_t image, sampler_t s) {
  l[0] = i;
  g[0] = l[0] + (int)read_imageui(image, s, (int2)(0, 0)).x;
}
)";

unsigned char* room(World& w) {
  return stage(w).room.data();
}

void* svm(World& w) {
  if (stage(w).svm == nullptr) throw Skip("the device has no shared virtual memory");
  return stage(w).svm;
}

// The object's release is posted too, and counted with its creation.
template <class T, class Make>
void made(Make make) {
  cl_int e = 1;
  T object(make(&e));
  OK(e);
}

Event& kept_event() {
  static Event event;
  return event;
}
void make_event(World& w) {
  OK(clEnqueueMarkerWithWaitList(w.queue, 0, nullptr, kept_event().out()));
}
void CL_CALLBACK nothing(cl_event, cl_int, void*) {}
void CL_CALLBACK gone(cl_mem, void*) {}
Mem& watched() {
  static Mem memory;
  return memory;
}

void* mapped = nullptr;
void map_for_writing(World& w) {
  cl_int e = 1;
  mapped =
      clEnqueueMapBuffer(w.queue, w.dst, CL_TRUE, CL_MAP_WRITE, 0, kBytes, 0, nullptr, nullptr, &e);
  OK(e);
}

}  // namespace

Stage& stage(World& w) {
  static Stage* const only = [&w] {
    auto* s = new Stage;
    s->room.resize(1 << 20);
    s->source = new_program(w, kSource, "-cl-kernel-arg-info");
    s->kernel = new_kernel(s->source, "every");
    OK(clSetKernelArg(s->kernel, 0, sizeof(cl_mem), w.dst.at()));
    OK(clSetKernelArg(s->kernel, 1, 64, nullptr));
    const cl_int one = 1;
    OK(clSetKernelArg(s->kernel, 2, sizeof one, &one));
    OK(clSetKernelArg(s->kernel, 3, sizeof(cl_mem), w.image.at()));
    OK(clSetKernelArg(s->kernel, 4, sizeof(cl_sampler), w.sampler.at()));
    s->host_buffer = new_buffer(w, CL_MEM_USE_HOST_PTR, kBytes, s->room.data());
    if (w.svm_coarse) s->svm = clSVMAlloc(w.ctx, CL_MEM_READ_WRITE, kBytes, 0);
    return s;
  }();
  return *only;
}

std::vector<CountedCall> posted_objects() {
  return {
      {"clCreateContext", 0,
       [](World& w) {
         made<Context>([&](cl_int* e) {
           return clCreateContext(nullptr, 1, &w.device, nullptr, nullptr, e);
         });
       }},
      {"clCreateContextFromType", 0,
       [](World& w) {
         const cl_context_properties list[] = {
             CL_CONTEXT_PLATFORM, reinterpret_cast<cl_context_properties>(w.platform), 0};
         made<Context>([&](cl_int* e) {
           return clCreateContextFromType(list, CL_DEVICE_TYPE_ALL, nullptr, nullptr, e);
         });
       }},
      {"clReleaseContext", 0,
       [](World& w) {
         OK(clRetainContext(w.ctx));
         OK(clReleaseContext(w.ctx));
       }},
      {"clCreateCommandQueue", 0,
       [](World& w) {
         made<Queue>([&](cl_int* e) { return clCreateCommandQueue(w.ctx, w.device, 0, e); });
       }},
      {"clCreateCommandQueueWithProperties", 0,
       [](World& w) { new_queue(w, CL_QUEUE_PROFILING_ENABLE); }},
      {"clReleaseCommandQueue", 0, [](World& w) { new_queue(w).reset(); }},
      {"clCreateBuffer", 0, [](World& w) { new_buffer(w, CL_MEM_READ_WRITE, 1 << 20); }},
      {"clCreateBuffer:copied", 0,
       [](World& w) { new_buffer(w, CL_MEM_COPY_HOST_PTR, kBytes, room(w)); }},
      {"clCreateBufferWithProperties", 0,
       [](World& w) {
         made<Mem>([&](cl_int* e) {
           return clCreateBufferWithProperties(w.ctx, nullptr, CL_MEM_READ_WRITE, kBytes, nullptr,
                                               e);
         });
       }},
      {"clCreateSubBuffer", 0,
       [](World& w) {
         const cl_buffer_region region = {0, 1024};
         made<Mem>([&](cl_int* e) {
           return clCreateSubBuffer(w.buf, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, e);
         });
       }},
      {"clReleaseMemObject", 0, [](World& w) { new_buffer(w, 0, 64).reset(); }},
      {"clSetMemObjectDestructorCallback", 0,
       [](World&) { OK(clSetMemObjectDestructorCallback(watched(), gone, nullptr)); },
       [](World& w) { watched() = new_buffer(w, 0, 64); }, [](World&) { watched().reset(); }},
      {"clCreateImage", 0,
       [](World& w) { new_image(w, CL_MEM_READ_WRITE, kRgba8, image_2d(32, 32)); }},
      {"clCreateImage:copied", 0,
       [](World& w) { new_image(w, CL_MEM_COPY_HOST_PTR, kRgba8, image_2d(32, 32), room(w)); }},
      {"clCreateImageWithProperties", 0,
       [](World& w) {
         const auto desc = image_2d(8, 8);
         made<Mem>([&](cl_int* e) {
           return clCreateImageWithProperties(w.ctx, nullptr, CL_MEM_READ_WRITE, &kRgba8, &desc,
                                              nullptr, e);
         });
       }},
      {"clCreateImage2D", 0,
       [](World& w) {
         made<Mem>(
             [&](cl_int* e) { return clCreateImage2D(w.ctx, 0, &kRgba8, 8, 8, 0, nullptr, e); });
       }},
      {"clCreateImage3D", 0,
       [](World& w) {
         made<Mem>([&](cl_int* e) {
           return clCreateImage3D(w.ctx, 0, &kRgba8, 8, 8, 2, 0, 0, nullptr, e);
         });
       }},
      {"clCreateSampler", 0,
       [](World& w) {
         made<Sampler>([&](cl_int* e) {
           return clCreateSampler(w.ctx, CL_TRUE, CL_ADDRESS_NONE, CL_FILTER_NEAREST, e);
         });
       }},
      {"clCreateSamplerWithProperties", 0,
       [](World& w) {
         const cl_sampler_properties list[] = {CL_SAMPLER_FILTER_MODE, CL_FILTER_LINEAR, 0};
         made<Sampler>([&](cl_int* e) { return clCreateSamplerWithProperties(w.ctx, list, e); });
       }},
      {"clReleaseSampler", 0,
       [](World& w) {
         OK(clRetainSampler(w.sampler));
         OK(clReleaseSampler(w.sampler));
       }},
      {"clCreateProgramWithSource", 0,
       [](World& w) {
         made<Program>([&](cl_int* e) {
           return clCreateProgramWithSource(w.ctx, 1, const_cast<const char**>(&kSource), nullptr,
                                            e);
         });
       }},
      {"clReleaseProgram", 0,
       [](World& w) {
         OK(clRetainProgram(w.program));
         OK(clReleaseProgram(w.program));
       }},
      {"clCreateKernel", 0, [](World& w) { new_kernel(w.program, "scale"); }},
      {"clCreateKernelsInProgram", 0,
       [](World& w) {
         std::array<cl_kernel, 3> all{};
         OK(clCreateKernelsInProgram(w.program, 3, all.data(), nullptr));
         for (const cl_kernel one : all) OK(clReleaseKernel(one));
       }},
      {"clCloneKernel", 0,
       [](World& w) { made<Kernel>([&](cl_int* e) { return clCloneKernel(w.add_one, e); }); }},
      {"clReleaseKernel", 0, [](World& w) { new_kernel(w.program, "nothing").reset(); }},
      {"clSetKernelArg", 0,
       [](World& w) {
         const cl_int two = 2;
         cl_kernel kernel = stage(w).kernel;
         OK(clSetKernelArg(kernel, 0, sizeof(cl_mem), w.dst.at()));
         OK(clSetKernelArg(kernel, 1, 128, nullptr));
         OK(clSetKernelArg(kernel, 2, sizeof two, &two));
         OK(clSetKernelArg(kernel, 3, sizeof(cl_mem), w.image.at()));
         OK(clSetKernelArg(kernel, 4, sizeof(cl_sampler), w.sampler.at()));
       }},
      {"clSetKernelArg:refused", 0,
       [](World& w) {
         CODE(clSetKernelArg(stage(w).kernel, 9, 4, &kOne), CL_INVALID_ARG_INDEX);
         CODE(clSetKernelArg(stage(w).kernel, 2, 8, &kOne), CL_INVALID_ARG_SIZE);
       }},
      {"clSetKernelArgSVMPointer", 0,
       [](World& w) { OK(clSetKernelArgSVMPointer(w.scale, 0, svm(w))); }},
      {"clSetKernelExecInfo", 0,
       [](World& w) {
         const void* list[] = {svm(w)};
         OK(clSetKernelExecInfo(w.scale, CL_KERNEL_EXEC_INFO_SVM_PTRS, sizeof list, list));
       }},
      {"clCreateUserEvent", 0,
       [](World& w) { OK(clSetUserEventStatus(new_user_event(w), CL_COMPLETE)); }},
      {"clSetUserEventStatus", 0,
       [](World& w) { OK(clSetUserEventStatus(new_user_event(w), -1)); }},
      {"clSetEventCallback", 0,
       [](World&) { OK(clSetEventCallback(kept_event(), CL_COMPLETE, nothing, nullptr)); },
       make_event},
      {"clReleaseEvent", 0, [](World&) { kept_event().reset(); }, make_event},
      {"clSVMFree", 0, [](World& w) { clSVMFree(w.ctx, mapped); },
       [](World& w) {
         svm(w);
         mapped = clSVMAlloc(w.ctx, CL_MEM_READ_WRITE, 64, 0);
       }},
  };
}

std::vector<CountedCall> posted_commands() {
#define COMMAND(entry, ...)                                                            \
  {                                                                                    \
#entry, 0, [](World & w) { OK(entry(w.queue, __VA_ARGS__, 0, nullptr, nullptr)); } \
  }
  return {
      COMMAND(clEnqueueWriteBuffer, w.dst, CL_FALSE, 0, kBytes, room(w)),
      {"clEnqueueWriteBuffer:blocking", 0,
       [](World& w) {
         OK(clEnqueueWriteBuffer(w.queue, w.dst, CL_TRUE, 0, kBytes, room(w), 0, nullptr, nullptr));
       }},
      {"clEnqueueReadBuffer:not_blocking", 0,
       [](World& w) {
         OK(clEnqueueReadBuffer(w.queue, w.dst, CL_FALSE, 0, kBytes, room(w), 0, nullptr, nullptr));
       }},
      COMMAND(clEnqueueWriteBufferRect, w.dst, CL_FALSE, kOrigin, kOrigin, kRegion, 0, 0, 0, 0,
              room(w)),
      COMMAND(clEnqueueCopyBuffer, w.buf, w.dst, 0, 0, 64),
      COMMAND(clEnqueueCopyBufferRect, w.buf, w.dst, kOrigin, kOrigin, kRegion, 0, 0, 0, 0),
      COMMAND(clEnqueueFillBuffer, w.dst, &kOne, 4, 0, 64),
      COMMAND(clEnqueueWriteImage, w.dst_image, CL_FALSE, kOrigin, kRegion, 0, 0, room(w)),
      COMMAND(clEnqueueCopyImage, w.image, w.dst_image, kOrigin, kOrigin, kRegion),
      COMMAND(clEnqueueFillImage, w.dst_image, room(w), kOrigin, kRegion),
      COMMAND(clEnqueueCopyImageToBuffer, w.image, w.dst, kOrigin, kRegion, 0),
      COMMAND(clEnqueueCopyBufferToImage, w.buf, w.dst_image, 0, kOrigin, kRegion),
      {"clEnqueueUnmapMemObject", 0,
       [](World& w) { OK(clEnqueueUnmapMemObject(w.queue, w.dst, mapped, 0, nullptr, nullptr)); },
       map_for_writing},
      {"clEnqueueMapBuffer:overwriting",
       0,
       [](World& w) {
         cl_int e = 1;
         mapped = clEnqueueMapBuffer(w.queue, w.dst, CL_FALSE, CL_MAP_WRITE_INVALIDATE_REGION, 0,
                                     kBytes, 0, nullptr, nullptr, &e);
         OK(e);
       },
       {},
       [](World& w) { OK(clEnqueueUnmapMemObject(w.queue, w.dst, mapped, 0, nullptr, nullptr)); }},
      COMMAND(clEnqueueMigrateMemObjects, 1, w.dst.at(), 0),
      COMMAND(clEnqueueNDRangeKernel, w.add_one, 1, nullptr, &kItems, nullptr),
      COMMAND(clEnqueueTask, w.add_one),
      {"clEnqueueMarker", 0,
       [](World& w) {
         Event event;
         OK(clEnqueueMarker(w.queue, event.out()));
       }},
      {"clEnqueueWaitForEvents", 0,
       [](World& w) {
         if (!w.tessera) throw Skip("the embedded device does not implement it");
         OK(clEnqueueWaitForEvents(w.queue, 1, w.done.at()));
       }},
      {"clEnqueueBarrier", 0, [](World& w) { OK(clEnqueueBarrier(w.queue)); }},
      {"clEnqueueMarkerWithWaitList", 0,
       [](World& w) { OK(clEnqueueMarkerWithWaitList(w.queue, 1, w.done.at(), nullptr)); }},
      {"clEnqueueBarrierWithWaitList", 0,
       [](World& w) { OK(clEnqueueBarrierWithWaitList(w.queue, 1, w.done.at(), nullptr)); }},
      COMMAND(clEnqueueSVMMemFill, svm(w), &kOne, 4, 64),
      COMMAND(clEnqueueSVMMemcpy, CL_FALSE, svm(w), room(w), 64),
      {"clEnqueueSVMUnmap", 0,
       [](World& w) { OK(clEnqueueSVMUnmap(w.queue, svm(w), 0, nullptr, nullptr)); },
       [](World& w) {
         OK(clEnqueueSVMMap(w.queue, CL_TRUE, CL_MAP_WRITE, svm(w), 64, 0, nullptr, nullptr));
       }},
      {"clEnqueueSVMMigrateMem", 0,
       [](World& w) {
         const void* list[] = {svm(w)};
         OK(clEnqueueSVMMigrateMem(w.queue, 1, list, nullptr, 0, 0, nullptr, nullptr));
       }},
      {"clEnqueueSVMFree", 0,
       [](World& w) {
         OK(clEnqueueSVMFree(w.queue, 1, &mapped, nullptr, nullptr, 0, nullptr, nullptr));
       },
       [](World& w) {
         svm(w);
         mapped = clSVMAlloc(w.ctx, CL_MEM_READ_WRITE, 64, 0);
       }},
      {"clFlush", 0, [](World& w) { OK(clFlush(w.queue)); }},
  };
#undef COMMAND
}

}  // namespace tessera::conformance

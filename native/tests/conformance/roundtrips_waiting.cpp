// SPDX-License-Identifier: Apache-2.0
//
// Queries of what cannot change (no round trip), and calls that wait (one).
#include <array>

#include "tests/conformance/device_params.h"
#include "tests/conformance/roundtrips.h"

namespace tessera::conformance {
namespace {

constexpr std::size_t kOrigin[3] = {0, 0, 0};
constexpr std::size_t kRegion[3] = {8, 8, 1};
constexpr std::size_t kItems = 16;
constexpr int kDeep = 1000;

template <class Get>
void ask(Get get, std::initializer_list<cl_uint> what) {
  std::vector<unsigned char> room(65536);
  for (const cl_uint one : what) {
    std::size_t size = 0;
    OK(get(one, 0, nullptr, &size));
    OK(get(one, room.size(), room.data(), &size));
  }
}

#define ASK(call, object, ...)                                            \
  ask([&](cl_uint what, std::size_t n, void* to,                          \
          std::size_t* size) { return call(object, what, n, to, size); }, \
      {__VA_ARGS__})

void every_device_parameter(World& w) {
  std::vector<unsigned char> room(65536);
  for (const DeviceParam& param : device_params()) {
    std::size_t size = 0;
    OK(clGetDeviceInfo(w.device, param.name, room.size(), room.data(), &size));
  }
}

void arguments(World& w) {
  for (cl_uint i = 0; i < 5; ++i) {
    ask(
        [&](cl_uint what, std::size_t n, void* to, std::size_t* size) {
          return clGetKernelArgInfo(stage(w).kernel, i, what, n, to, size);
        },
        {CL_KERNEL_ARG_NAME, CL_KERNEL_ARG_TYPE_NAME, CL_KERNEL_ARG_ADDRESS_QUALIFIER,
         CL_KERNEL_ARG_ACCESS_QUALIFIER, CL_KERNEL_ARG_TYPE_QUALIFIER});
  }
}

void work_group(World& w) {
  ask(
      [&](cl_uint what, std::size_t n, void* to, std::size_t* size) {
        return clGetKernelWorkGroupInfo(stage(w).kernel, w.device, what, n, to, size);
      },
      {CL_KERNEL_WORK_GROUP_SIZE, CL_KERNEL_COMPILE_WORK_GROUP_SIZE, CL_KERNEL_LOCAL_MEM_SIZE,
       CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE, CL_KERNEL_PRIVATE_MEM_SIZE});
}

void build_facts(World& w) {
  ask(
      [&](cl_uint what, std::size_t n, void* to, std::size_t* size) {
        return clGetProgramBuildInfo(w.program, w.device, what, n, to, size);
      },
      {CL_PROGRAM_BUILD_STATUS, CL_PROGRAM_BUILD_OPTIONS, CL_PROGRAM_BUILD_LOG,
       CL_PROGRAM_BINARY_TYPE});
}

void formats(World& w) {
  cl_uint count = 0;
  OK(clGetSupportedImageFormats(w.ctx, CL_MEM_READ_WRITE, CL_MEM_OBJECT_IMAGE2D, 0, nullptr,
                                &count));
  std::vector<cl_image_format> list(count);
  OK(clGetSupportedImageFormats(w.ctx, CL_MEM_READ_WRITE, CL_MEM_OBJECT_IMAGE2D, count, list.data(),
                                nullptr));
}

void platforms_and_devices(World& w) {
  cl_platform_id platform = nullptr;
  cl_device_id device = nullptr;
  OK(clGetPlatformIDs(1, &platform, nullptr));
  OK(clGetDeviceIDs(w.platform, CL_DEVICE_TYPE_ALL, 1, &device, nullptr));
}

Event& finished() {
  static Event event;
  return event;
}
void finish_a_kernel(World& w) {
  OK(clEnqueueNDRangeKernel(w.queue, w.add_one, 1, nullptr, &kItems, nullptr, 0, nullptr,
                            finished().out()));
  OK(clFinish(w.queue));
}
void enqueue_a_kernel(World& w) {
  OK(clEnqueueNDRangeKernel(w.queue, w.add_one, 1, nullptr, &kItems, nullptr, 0, nullptr,
                            finished().out()));
}

void read_blocking(World& w, std::size_t size) {
  OK(clEnqueueReadBuffer(w.queue, w.dst, CL_TRUE, 0, size, stage(w).room.data(), 0, nullptr,
                         nullptr));
}

void chain_in_order(World& w) {
  for (int i = 0; i < kDeep; ++i) {
    OK(clEnqueueNDRangeKernel(w.queue, w.add_one, 1, nullptr, &kItems, nullptr, 0, nullptr,
                              nullptr));
  }
  OK(clFinish(w.queue));
}

void chain_by_events(World& w) {
  Event last;
  for (int i = 0; i < kDeep; ++i) {
    Event next;
    OK(clEnqueueNDRangeKernel(w.unordered, w.add_one, 1, nullptr, &kItems, nullptr,
                              last != nullptr ? 1 : 0, last != nullptr ? last.at() : nullptr,
                              next.out()));
    last = std::move(next);
  }
  OK(clFinish(w.unordered));
}

// What a training step looks like: arguments, launches, a write, and one blocking read of the loss.
void step_with_one_read(World& w, cl_bool blocking_writes) {
  const cl_float factor = 1;
  for (int i = 0; i < 100; ++i) {
    OK(clSetKernelArg(w.scale, 0, sizeof(cl_mem), w.dst.at()));
    OK(clSetKernelArg(w.scale, 1, sizeof factor, &factor));
    OK(clEnqueueNDRangeKernel(w.queue, w.scale, 1, nullptr, &kItems, nullptr, 0, nullptr, nullptr));
    Mem scratch = new_buffer(w, CL_MEM_READ_WRITE, kBytes);
    OK(clEnqueueWriteBuffer(w.queue, scratch, blocking_writes, 0, 64, stage(w).room.data(), 0,
                            nullptr, nullptr));
  }
  read_blocking(w, 4);
}

void CL_CALLBACK destroyed(cl_mem, void*) {}

// The kernel has ended when the call returns, and the program could see it if it had not.
void write_behind_a_kernel(World& w) {
  Event kernel;
  OK(clEnqueueNDRangeKernel(w.queue, w.add_one, 1, nullptr, &kItems, nullptr, 0, nullptr,
                            kernel.out()));
  OK(clEnqueueWriteBuffer(w.queue, w.dst, CL_TRUE, 0, 64, stage(w).room.data(), 0, nullptr,
                          nullptr));
}

void overwriting_map_behind_a_kernel(World& w) {
  Event kernel;
  OK(clEnqueueNDRangeKernel(w.queue, w.add_one, 1, nullptr, &kItems, nullptr, 0, nullptr,
                            kernel.out()));
  cl_int e = 1;
  void* at = clEnqueueMapBuffer(w.queue, w.dst, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION, 0, kBytes,
                                0, nullptr, nullptr, &e);
  OK(e);
  OK(clEnqueueUnmapMemObject(w.queue, w.dst, at, 0, nullptr, nullptr));
}

Mem& large() {
  static Mem buffer;
  return buffer;
}

}  // namespace

std::vector<CountedCall> immutable_queries() {
  return {
      {"clGetPlatformIDs", 0, platforms_and_devices},
      {"clGetPlatformInfo", 0,
       [](World& w) {
         ASK(clGetPlatformInfo, w.platform, CL_PLATFORM_NAME, CL_PLATFORM_VERSION,
             CL_PLATFORM_EXTENSIONS);
       }},
      {"clGetDeviceInfo", 0, every_device_parameter},
      {"clGetContextInfo", 0,
       [](World& w) {
         ASK(clGetContextInfo, w.ctx, CL_CONTEXT_DEVICES, CL_CONTEXT_REFERENCE_COUNT,
             CL_CONTEXT_PROPERTIES);
       }},
      {"clGetCommandQueueInfo", 0,
       [](World& w) {
         ASK(clGetCommandQueueInfo, w.queue, CL_QUEUE_CONTEXT, CL_QUEUE_DEVICE,
             CL_QUEUE_PROPERTIES);
       }},
      {"clGetMemObjectInfo", 0,
       [](World& w) {
         ASK(clGetMemObjectInfo, w.buf, CL_MEM_TYPE, CL_MEM_FLAGS, CL_MEM_SIZE, CL_MEM_HOST_PTR,
             CL_MEM_MAP_COUNT, CL_MEM_REFERENCE_COUNT, CL_MEM_CONTEXT, CL_MEM_OFFSET);
       }},
      {"clGetImageInfo", 0,
       [](World& w) {
         ASK(clGetImageInfo, w.image, CL_IMAGE_FORMAT, CL_IMAGE_ELEMENT_SIZE, CL_IMAGE_ROW_PITCH,
             CL_IMAGE_SLICE_PITCH, CL_IMAGE_WIDTH, CL_IMAGE_HEIGHT, CL_IMAGE_DEPTH);
       }},
      {"clGetSamplerInfo", 0,
       [](World& w) {
         ASK(clGetSamplerInfo, w.sampler, CL_SAMPLER_CONTEXT, CL_SAMPLER_ADDRESSING_MODE,
             CL_SAMPLER_FILTER_MODE);
       }},
      {"clGetSupportedImageFormats", 0, formats},
      {"clGetProgramInfo", 0,
       [](World& w) {
         ASK(clGetProgramInfo, w.program, CL_PROGRAM_NUM_KERNELS, CL_PROGRAM_KERNEL_NAMES,
             CL_PROGRAM_SOURCE, CL_PROGRAM_DEVICES, CL_PROGRAM_REFERENCE_COUNT);
       }},
      {"clGetProgramBuildInfo", 0, build_facts},
      {"clGetKernelInfo", 0,
       [](World& w) {
         ASK(clGetKernelInfo, stage(w).kernel, CL_KERNEL_FUNCTION_NAME, CL_KERNEL_NUM_ARGS,
             CL_KERNEL_ATTRIBUTES, CL_KERNEL_PROGRAM);
       }},
      {"clGetKernelArgInfo", 0, arguments},
      {"clGetKernelWorkGroupInfo", 0, work_group},
      {"clGetEventInfo", 0,
       [](World&) {
         ASK(clGetEventInfo, finished(), CL_EVENT_COMMAND_TYPE, CL_EVENT_CONTEXT,
             CL_EVENT_COMMAND_EXECUTION_STATUS, CL_EVENT_REFERENCE_COUNT);
       },
       finish_a_kernel},
      {"clGetEventInfo:of_a_command_under_way", 0,
       [](World&) { ASK(clGetEventInfo, finished(), CL_EVENT_COMMAND_EXECUTION_STATUS); },
       enqueue_a_kernel},
      {"clGetEventProfilingInfo", 0,
       [](World&) {
         ASK(clGetEventProfilingInfo, finished(), CL_PROFILING_COMMAND_QUEUED,
             CL_PROFILING_COMMAND_SUBMIT, CL_PROFILING_COMMAND_START, CL_PROFILING_COMMAND_END);
       },
       finish_a_kernel},
  };
}

std::vector<CountedCall> waiting_calls() {
  return {
      {"clFinish", 1, [](World& w) { OK(clFinish(w.queue)); }, enqueue_a_kernel},
      {"clWaitForEvents", 1, [](World&) { OK(clWaitForEvents(1, finished().at())); },
       enqueue_a_kernel},
      {"clEnqueueReadBuffer", 1, [](World& w) { read_blocking(w, kBytes); }, enqueue_a_kernel},
      {"clEnqueueReadBuffer:40_MiB", 1,
       [](World& w) {
         std::vector<unsigned char> room(40u << 20);
         OK(clEnqueueReadBuffer(w.queue, large(), CL_TRUE, 0, room.size(), room.data(), 0, nullptr,
                                nullptr));
       },
       [](World& w) { large() = new_buffer(w, CL_MEM_READ_WRITE, 40u << 20); },
       [](World&) { large().reset(); }},
      {"clEnqueueReadBufferRect", 1,
       [](World& w) {
         OK(clEnqueueReadBufferRect(w.queue, w.dst, CL_TRUE, kOrigin, kOrigin, kRegion, 0, 0, 0, 0,
                                    stage(w).room.data(), 0, nullptr, nullptr));
       }},
      {"clEnqueueReadImage", 1,
       [](World& w) {
         OK(clEnqueueReadImage(w.queue, w.image, CL_TRUE, kOrigin, kRegion, 0, 0,
                               stage(w).room.data(), 0, nullptr, nullptr));
       }},
      {"clEnqueueMapBuffer", 1,
       [](World& w) {
         cl_int e = 1;
         void* at = clEnqueueMapBuffer(w.queue, w.dst, CL_TRUE, CL_MAP_READ, 0, kBytes, 0, nullptr,
                                       nullptr, &e);
         OK(e);
         OK(clEnqueueUnmapMemObject(w.queue, w.dst, at, 0, nullptr, nullptr));
       }},
      {"clEnqueueMapImage", 1,
       [](World& w) {
         cl_int e = 1;
         std::size_t row = 0;
         void* at = clEnqueueMapImage(w.queue, w.image, CL_TRUE, CL_MAP_READ, kOrigin, kRegion,
                                      &row, nullptr, 0, nullptr, nullptr, &e);
         OK(e);
         OK(clEnqueueUnmapMemObject(w.queue, w.image, at, 0, nullptr, nullptr));
       }},
      {"clSVMAlloc", 1,
       [](World& w) {
         if (!w.svm_coarse) throw Skip("the device has no shared virtual memory");
         clSVMFree(w.ctx, clSVMAlloc(w.ctx, CL_MEM_READ_WRITE, 64, 0));
       }},
      {"clEnqueueSVMMap", 1,
       [](World& w) {
         if (!w.svm_coarse) throw Skip("the device has no shared virtual memory");
         OK(clEnqueueSVMMap(w.queue, CL_TRUE, CL_MAP_READ, stage(w).svm, 64, 0, nullptr, nullptr));
         OK(clEnqueueSVMUnmap(w.queue, stage(w).svm, 0, nullptr, nullptr));
       }},
      {"clBuildProgram", 1,
       [](World& w) { new_program(w, "kernel void k(global int* p) { *p = 1; }"); }},
      // A binary is made when it is first asked for, and only then has a size.
      {"clGetProgramInfo:binary_sizes", 1,
       [](World& w) { ASK(clGetProgramInfo, w.program, CL_PROGRAM_BINARY_SIZES); }},
      {"clGetProgramInfo:binaries", 1,
       [](World& w) {
         std::size_t size = 0;
         OK(clGetProgramInfo(w.program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, nullptr));
         std::vector<unsigned char> bytes(size);
         unsigned char* to = bytes.data();
         OK(clGetProgramInfo(w.program, CL_PROGRAM_BINARIES, sizeof to, &to, nullptr));
       }},
      {"chain:1000_kernels_in_order", 2, chain_in_order},
      {"chain:1000_kernels_by_events", 2, chain_by_events},
      // Nothing uses the object, so its callbacks are called before the release returns.
      {"clReleaseMemObject:with_a_destructor_callback", 1,
       [](World& w) {
         Mem memory = new_buffer(w, 0, 64);
         OK(clSetMemObjectDestructorCallback(memory, destroyed, nullptr));
       }},
      {"clEnqueueWriteBuffer:behind_a_kernel", 1, write_behind_a_kernel},
      {"clEnqueueMapBuffer:overwriting_behind_a_kernel", 1, overwriting_map_behind_a_kernel},
      {"clEnqueueSVMMemcpy:blocking", 1,
       [](World& w) {
         if (!w.svm_coarse) throw Skip("the device has no shared virtual memory");
         OK(clEnqueueSVMMemcpy(w.queue, CL_TRUE, stage(w).svm, stage(w).room.data(), 64, 0, nullptr,
                               nullptr));
       }},
      {"step:one_blocking_read", 1, [](World& w) { step_with_one_read(w, CL_FALSE); }},
      // Each waits for the kernel before it, as on the bare device: this program could see it run.
      {"step:100_blocking_writes", 101, [](World& w) { step_with_one_read(w, CL_TRUE); }},
  };
}

}  // namespace tessera::conformance

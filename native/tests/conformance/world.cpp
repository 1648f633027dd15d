// SPDX-License-Identifier: Apache-2.0
#include "tests/conformance/world.h"

#include <cstring>

namespace tessera::conformance {
namespace {

constexpr const char* kSource = R"(
kernel void nothing(void) {}
kernel void add_one(global int* p) { p[get_global_id(0)] += 1; }
kernel void scale(global float* p, float factor) { p[get_global_id(0)] *= factor; }
)";

void pick_device(World& w) {
  OK(clGetPlatformIDs(1, &w.platform, nullptr));
  OK(clGetDeviceIDs(w.platform, CL_DEVICE_TYPE_ALL, 1, &w.device, nullptr));
  // The first word of every object is its driver's table: the ICD contract.
  std::memcpy(&w.table, static_cast<const void*>(w.platform), sizeof w.table);
  // A lease may bear another platform's name; its driver's own function is there all the same.
  w.tessera = clGetExtensionFunctionAddressForPlatform(w.platform, "clGetSessionCountersTESSERA") !=
              nullptr;
  cl_device_svm_capabilities svm = 0;
  OK(clGetDeviceInfo(w.device, CL_DEVICE_SVM_CAPABILITIES, sizeof svm, &svm, nullptr));
  w.svm_coarse = (svm & CL_DEVICE_SVM_COARSE_GRAIN_BUFFER) != 0;
  w.svm_fine = (svm & CL_DEVICE_SVM_FINE_GRAIN_BUFFER) != 0;
}

Context make_context(const World& w) {
  cl_int e = 1;
  Context made(clCreateContext(nullptr, 1, &w.device, nullptr, nullptr, &e));
  OK(e);
  return made;
}

Queue make_queue(cl_context ctx, cl_device_id device, cl_command_queue_properties properties) {
  cl_int e = 1;
  const cl_queue_properties list[] = {CL_QUEUE_PROPERTIES, properties, 0};
  Queue made(clCreateCommandQueueWithProperties(ctx, device, list, &e));
  OK(e);
  return made;
}

Mem make_buffer(cl_context ctx, cl_mem_flags flags, std::size_t size, void* host) {
  cl_int e = 1;
  Mem made(clCreateBuffer(ctx, flags, size, host, &e));
  OK(e);
  return made;
}

Mem make_image(cl_context ctx, cl_mem_flags flags, cl_image_format format, cl_image_desc desc,
               void* host) {
  cl_int e = 1;
  Mem made(clCreateImage(ctx, flags, &format, &desc, host, &e));
  OK(e);
  return made;
}

Program make_program(cl_context ctx, const std::string& source, const char* options) {
  cl_int e = 1;
  const char* text = source.c_str();
  Program made(clCreateProgramWithSource(ctx, 1, &text, nullptr, &e));
  OK(e);
  OK(clBuildProgram(made, 0, nullptr, options, nullptr, nullptr));
  return made;
}

Event make_done(cl_command_queue queue) {
  Event made;
  OK(clEnqueueMarkerWithWaitList(queue, 0, nullptr, made.out()));
  OK(clFinish(queue));
  return made;
}

Sampler make_sampler(cl_context ctx) {
  cl_int e = 1;
  const cl_sampler_properties list[] = {CL_SAMPLER_NORMALIZED_COORDS,
                                        CL_FALSE,
                                        CL_SAMPLER_ADDRESSING_MODE,
                                        CL_ADDRESS_CLAMP_TO_EDGE,
                                        CL_SAMPLER_FILTER_MODE,
                                        CL_FILTER_NEAREST,
                                        0};
  Sampler made(clCreateSamplerWithProperties(ctx, list, &e));
  OK(e);
  return made;
}

void fill(World& w) {
  pick_device(w);
  const cl_image_format rgba8 = {CL_RGBA, CL_UNSIGNED_INT8};
  const cl_image_desc square = image_2d(kImageSide, kImageSide);
  w.ctx = make_context(w);
  w.other_ctx = make_context(w);
  w.queue = make_queue(w.ctx, w.device, CL_QUEUE_PROFILING_ENABLE);
  w.unordered = make_queue(w.ctx, w.device,
                           CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE | CL_QUEUE_PROFILING_ENABLE);
  w.unprofiled = make_queue(w.ctx, w.device, 0);
  w.other_queue = make_queue(w.other_ctx, w.device, 0);
  w.buf = make_buffer(w.ctx, CL_MEM_READ_WRITE, kBytes, nullptr);
  w.dst = make_buffer(w.ctx, CL_MEM_READ_WRITE, kBytes, nullptr);
  w.other_buf = make_buffer(w.other_ctx, CL_MEM_READ_WRITE, kBytes, nullptr);
  w.image = make_image(w.ctx, CL_MEM_READ_WRITE, rgba8, square, nullptr);
  w.dst_image = make_image(w.ctx, CL_MEM_READ_WRITE, rgba8, square, nullptr);
  w.other_image = make_image(w.other_ctx, CL_MEM_READ_WRITE, rgba8, square, nullptr);
  w.sampler = make_sampler(w.ctx);
  w.other_sampler = make_sampler(w.other_ctx);
  w.program = make_program(w.ctx, kSource, "-cl-kernel-arg-info");
  w.other_program = make_program(w.other_ctx, kSource, "");
  w.add_one = new_kernel(w.program, "add_one");
  w.scale = new_kernel(w.program, "scale");
  w.nothing = new_kernel(w.program, "nothing");
  OK(clSetKernelArg(w.add_one, 0, sizeof(cl_mem), w.buf.at()));
  w.done = make_done(w.queue);
  w.other_done = make_done(w.other_queue);
}

}  // namespace

World& world() {
  // Never destroyed: a driver may already be unloading when static destructors run.
  static World* const only = [] {
    auto made = std::make_unique<World>();
    fill(*made);
    return made.release();
  }();
  return *only;
}

std::string platform_name(cl_platform_id platform) {
  std::size_t size = 0;
  OK(clGetPlatformInfo(platform, CL_PLATFORM_NAME, 0, nullptr, &size));
  std::string name(size, '\0');
  OK(clGetPlatformInfo(platform, CL_PLATFORM_NAME, size, name.data(), nullptr));
  return name.c_str();
}

std::string device_text(cl_device_id device, cl_device_info what) {
  std::size_t size = 0;
  OK(clGetDeviceInfo(device, what, 0, nullptr, &size));
  std::string text(size, '\0');
  OK(clGetDeviceInfo(device, what, size, text.data(), nullptr));
  return text.c_str();
}

Mem new_buffer(const World& w, cl_mem_flags flags, std::size_t size, void* host) {
  return make_buffer(w.ctx, flags, size, host);
}

Queue new_queue(const World& w, cl_command_queue_properties properties) {
  return make_queue(w.ctx, w.device, properties);
}

Program new_program(const World& w, const std::string& source, const char* options) {
  return make_program(w.ctx, source, options);
}

Kernel new_kernel(cl_program program, const char* name) {
  cl_int e = 1;
  Kernel made(clCreateKernel(program, name, &e));
  OK(e);
  return made;
}

Event new_user_event(const World& w) {
  cl_int e = 1;
  Event made(clCreateUserEvent(w.ctx, &e));
  OK(e);
  return made;
}

Mem new_image(const World& w, cl_mem_flags flags, cl_image_format format, cl_image_desc desc,
              void* host) {
  return make_image(w.ctx, flags, format, desc, host);
}

cl_image_desc image_2d(std::size_t width, std::size_t height) {
  cl_image_desc desc{};
  desc.image_type = CL_MEM_OBJECT_IMAGE2D;
  desc.image_width = width;
  desc.image_height = height;
  return desc;
}

std::vector<unsigned char> pattern(std::size_t bytes, unsigned seed) {
  std::vector<unsigned char> out(bytes);
  unsigned state = seed * 2654435761u + 12345u;
  for (unsigned char& byte : out) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<unsigned char>(state >> 24);
  }
  return out;
}

void zero(const World& w, cl_mem buffer, std::size_t bytes) {
  const cl_uchar nothing = 0;
  OK(clEnqueueFillBuffer(w.queue, buffer, &nothing, 1, 0, bytes, 0, nullptr, nullptr));
  OK(clFinish(w.queue));
}

cl_int status_of(cl_event event) {
  cl_int status = 1;
  OK(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, nullptr));
  return status;
}

}  // namespace tessera::conformance

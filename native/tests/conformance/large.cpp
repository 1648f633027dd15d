// SPDX-License-Identifier: Apache-2.0
//
// What the API sets no bound to, past whatever a message of the driver may carry.
#include <vector>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

constexpr std::size_t kObjects = 9000;
constexpr const char* kKernel = "kernel void k(global int* p) { p[get_global_id(0)] = 41; }\n";

Program from_source(const World& w, const std::string& source) {
  const char* text = source.c_str();
  cl_int e = 1;
  Program made(clCreateProgramWithSource(w.ctx, 1, &text, nullptr, &e));
  OK(e);
  return made;
}

std::string build_log(const World& w, cl_program program) {
  std::size_t size = 0;
  OK(clGetProgramBuildInfo(program, w.device, CL_PROGRAM_BUILD_LOG, 0, nullptr, &size));
  std::string log(size, '\0');
  OK(clGetProgramBuildInfo(program, w.device, CL_PROGRAM_BUILD_LOG, size, log.data(), nullptr));
  return log.c_str();
}

USE(clCreateProgramWithSource, of_17_MiB) {
  const std::string source = kKernel + ("//" + std::string(17 << 20, 'x')) + '\n';
  Program made = from_source(w, source);
  OK(clBuildProgram(made, 1, &w.device, "", nullptr, nullptr));
  Kernel kernel = new_kernel(made, "k");
  OK(clSetKernelArg(kernel, 0, sizeof(cl_mem), w.dst.at()));
  const std::size_t items = 8;
  OK(clEnqueueNDRangeKernel(w.queue, kernel, 1, nullptr, &items, nullptr, 0, nullptr, nullptr));
  SAME(read_all<cl_int>(w, w.dst, items)[items - 1], 41);
  std::size_t size = 0;
  OK(clGetProgramInfo(made, CL_PROGRAM_SOURCE, 0, nullptr, &size));
  SAME(size, source.size() + 1);
}

USE(clBuildProgram, options_of_100_KB) {
  std::string options = "-DVALUE=41";
  for (int i = 0; options.size() < 100'000; ++i) options += " -DNAME_" + std::to_string(i);
  Program made = from_source(w, "kernel void k(global int* p) { p[get_global_id(0)] = VALUE; }");
  OK(clBuildProgram(made, 1, &w.device, options.c_str(), nullptr, nullptr));
  std::size_t size = 0;
  OK(clGetProgramBuildInfo(made, w.device, CL_PROGRAM_BUILD_OPTIONS, 0, nullptr, &size));
  THAT(size > options.size());
}

USE(clGetProgramBuildInfo, a_log_of_several_MiB_is_whole) {
  constexpr int kWarnings = 20'000;
  std::string source;
  for (int i = 0; i < kWarnings; ++i) {
    source += "#warning \"number " + std::to_string(i) + " of a long log\"\n";
  }
  // A kernel of no other case: a cache of built programs may know them by what is preprocessed, and
  // return the log that the first one had.
  Program made = from_source(w, source + "kernel void warned(global int* p) { p[0] = 41; }\n");
  OK(clBuildProgram(made, 1, &w.device, "", nullptr, nullptr));
  const std::string log = build_log(w, made);
  if (log.find("number ") == log.npos) throw Skip("the compiler tells no warnings");
  // Every tenth, in order.
  std::size_t at = 0;
  for (int i = 0; i < kWarnings; i += 10) {
    at = log.find("number " + std::to_string(i) + " of a long log", at);
    THAT(at != log.npos);
  }
}

USE(clEnqueueMigrateMemObjects, nine_thousand_objects) {
  std::vector<Mem> held;
  std::vector<cl_mem> objects;
  for (std::size_t i = 0; i < kObjects; ++i) {
    held.push_back(new_buffer(w, CL_MEM_READ_WRITE, 16));
    objects.push_back(held.back());
  }
  Event done;
  OK(clEnqueueMigrateMemObjects(w.queue, kObjects, objects.data(), 0, 0, nullptr, done.out()));
  OK(clWaitForEvents(1, done.at()));
  SAME(status_of(done), CL_COMPLETE);
}

USE(clWaitForEvents, nine_thousand_events) {
  std::vector<Event> held(kObjects);
  std::vector<cl_event> events;
  for (Event& event : held) {
    OK(clEnqueueMarkerWithWaitList(w.queue, 0, nullptr, event.out()));
    events.push_back(event);
  }
  OK(clWaitForEvents(kObjects, events.data()));
  for (const cl_event event : events) SAME(status_of(event), CL_COMPLETE);
}

USE(clSetKernelExecInfo, nine_thousand_pointers) {
  if (!w.svm_coarse) throw Skip("the device has no shared virtual memory");
  void* const memory = clSVMAlloc(w.ctx, CL_MEM_READ_WRITE, 64, 0);
  THAT(memory != nullptr);
  Program made = from_source(w, kKernel);
  OK(clBuildProgram(made, 1, &w.device, "", nullptr, nullptr));
  Kernel kernel = new_kernel(made, "k");
  const std::vector<void*> pointers(kObjects, memory);
  OK(clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_SVM_PTRS, kObjects * sizeof(void*),
                         pointers.data()));
  OK(clSetKernelArgSVMPointer(kernel, 0, memory));
  const std::size_t items = 16;
  OK(clEnqueueNDRangeKernel(w.queue, kernel, 1, nullptr, &items, nullptr, 0, nullptr, nullptr));
  OK(clFinish(w.queue));
  kernel.reset();
  clSVMFree(w.ctx, memory);
}

}  // namespace
}  // namespace tessera::conformance

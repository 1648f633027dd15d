// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

constexpr const char* kArgs = R"(
typedef struct { int a; float b; long c; uchar d[8]; } record;
kernel void every(global int* g, constant int* c, local int* l, int i, read_only image2d_t image,
                  sampler_t s, record r, global const float* restrict q) {
  l[0] = i;
  g[0] = c[0] + l[0] + r.a + (int)r.c + r.d[7] + (int)read_imageui(image, s, (int2)(1, 1)).x + (int)q[0];
}
kernel void vectors(global int* g, int4 four, char2 two, double d) {
  g[0] = four.x + four.w + two.y + (int)d;
}
kernel void shared_sum(global const int* in, global int* out, local int* room) {
  size_t me = get_local_id(0);
  room[me] = in[get_global_id(0)];
  barrier(CLK_LOCAL_MEM_FENCE);
  int sum = 0;
  for (size_t i = 0; i < get_local_size(0); ++i) sum += room[i];
  out[get_global_id(0)] = sum;
}
kernel void if_null(global int* maybe, global int* out) { out[0] = maybe == 0 ? 5 : 6; }
__attribute__((reqd_work_group_size(4, 2, 1))) kernel void fixed(global int* p) { *p = 1; }
)";

struct Record {
  cl_int a;
  cl_float b;
  cl_long c;
  cl_uchar d[8];
};

cl_program args_program(const World& w) {
  static Program* const made = new Program(new_program(w, kArgs, "-cl-kernel-arg-info"));
  return *made;
}
Kernel every(const World& w) {
  return new_kernel(args_program(w), "every");
}

void run_once(const World& w, cl_kernel kernel) {
  const std::size_t one = 1;
  OK(clEnqueueNDRangeKernel(w.queue, kernel, 1, nullptr, &one, nullptr, 0, nullptr, nullptr));
}

USE(clCreateKernel, by_name) {
  Kernel made = every(w);
  char name[16] = {};
  OK(clGetKernelInfo(made, CL_KERNEL_FUNCTION_NAME, sizeof name, name, nullptr));
  SAME(std::string(name), std::string("every"));
}
TABLE_FAULT_NEW(clCreateKernel, null_program, CL_INVALID_PROGRAM, (nullptr, "k", &e))
FAULT_NEW(clCreateKernel, null_name, CL_INVALID_VALUE, (w.program, nullptr, &e))
FAULT_NEW(clCreateKernel, unknown_name, CL_INVALID_KERNEL_NAME, (w.program, "no_such", &e))
FAULT_NEW(clCreateKernel, wrong_kind, CL_INVALID_PROGRAM, (as<cl_program>(w.ctx), "k", &e))
FAULT_BODY(clCreateKernel, before_the_build) {
  const char* text = "kernel void k(void) {}";
  cl_int e = 1;
  Program raw(clCreateProgramWithSource(w.ctx, 1, &text, nullptr, &e));
  CODE(creation_code(clCreateKernel(raw, "k", &e), e), CL_INVALID_PROGRAM_EXECUTABLE);
}

USE(clCreateKernelsInProgram, all_of_them) {
  cl_uint count = 0;
  OK(clCreateKernelsInProgram(w.program, 0, nullptr, &count));
  SAME(count, 3u);
  std::array<cl_kernel, 3> kernels{};
  OK(clCreateKernelsInProgram(w.program, 3, kernels.data(), nullptr));
  std::vector<std::string> names;
  for (const cl_kernel kernel : kernels) {
    char name[16] = {};
    OK(clGetKernelInfo(kernel, CL_KERNEL_FUNCTION_NAME, sizeof name, name, nullptr));
    names.emplace_back(name);
    OK(clReleaseKernel(kernel));
  }
  std::sort(names.begin(), names.end());
  THAT((names == std::vector<std::string>{"add_one", "nothing", "scale"}));
}
TABLE_FAULT(clCreateKernelsInProgram, null_program, CL_INVALID_PROGRAM,
            (nullptr, 0, nullptr, nullptr))
FAULT_BODY(clCreateKernelsInProgram, list_too_short) {
  std::array<cl_kernel, 1> room{};
  CODE(clCreateKernelsInProgram(w.program, 1, room.data(), nullptr), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateKernelsInProgram, before_the_build) {
  const char* text = "kernel void k(void) {}";
  cl_int e = 1;
  Program raw(clCreateProgramWithSource(w.ctx, 1, &text, nullptr, &e));
  cl_uint count = 0;
  CODE(clCreateKernelsInProgram(raw, 0, nullptr, &count), CL_INVALID_PROGRAM_EXECUTABLE);
}

USE(clRetainKernel, counts) {
  Kernel made = every(w);
  OK(clRetainKernel(made));
  SAME(reference_count(clGetKernelInfo, cl_kernel(made), CL_KERNEL_REFERENCE_COUNT), 2u);
  OK(clReleaseKernel(made));
  SAME(reference_count(clGetKernelInfo, cl_kernel(made), CL_KERNEL_REFERENCE_COUNT), 1u);
}
TABLE_FAULT(clRetainKernel, null_kernel, CL_INVALID_KERNEL, (nullptr))
FAULT(clRetainKernel, wrong_kind, CL_INVALID_KERNEL, (as<cl_kernel>(w.queue)))
USE(clReleaseKernel, right_after_the_launch) {
  zero(w, w.dst, kBytes);
  const std::size_t items = kBytes / 4;
  for (int i = 0; i < 10; ++i) {
    Kernel made = new_kernel(w.program, "add_one");
    OK(clSetKernelArg(made, 0, sizeof(cl_mem), w.dst.at()));
    OK(clEnqueueNDRangeKernel(w.queue, made, 1, nullptr, &items, nullptr, 0, nullptr, nullptr));
  }
  SAME(read_all<cl_int>(w, w.dst, items)[5], 10);
}
TABLE_FAULT(clReleaseKernel, null_kernel, CL_INVALID_KERNEL, (nullptr))
FAULT(clReleaseKernel, wrong_kind, CL_INVALID_KERNEL, (as<cl_kernel>(w.ctx)))

USE(clSetKernelArg, every_kind) {
  Kernel made = every(w);
  const cl_int two = 2, three = 3;
  const cl_float four = 4;
  const cl_uint five[4] = {5, 5, 5, 5};
  Record record{10, 0, 100, {0, 0, 0, 0, 0, 0, 0, 200}};
  Mem constant =
      new_buffer(w, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, 4, const_cast<cl_int*>(&two));
  Mem floats =
      new_buffer(w, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, 4, const_cast<cl_float*>(&four));
  const std::size_t origin[3] = {0, 0, 0}, region[3] = {kImageSide, kImageSide, 1};
  OK(clEnqueueFillImage(w.queue, w.image, five, origin, region, 0, nullptr, nullptr));
  OK(clSetKernelArg(made, 0, sizeof(cl_mem), w.dst.at()));
  OK(clSetKernelArg(made, 1, sizeof(cl_mem), constant.at()));
  OK(clSetKernelArg(made, 2, 64, nullptr));
  OK(clSetKernelArg(made, 3, sizeof three, &three));
  OK(clSetKernelArg(made, 4, sizeof(cl_mem), w.image.at()));
  OK(clSetKernelArg(made, 5, sizeof(cl_sampler), w.sampler.at()));
  OK(clSetKernelArg(made, 6, sizeof record, &record));
  OK(clSetKernelArg(made, 7, sizeof(cl_mem), floats.at()));
  run_once(w, made);
  SAME(read_all<cl_int>(w, w.dst, 1)[0], 2 + 3 + 10 + 100 + 200 + 5 + 4);
}
USE(clSetKernelArg, vectors_and_doubles) {
  Kernel made = new_kernel(args_program(w), "vectors");
  const cl_int4 four = {{1, 2, 3, 40}};
  const cl_char2 two = {{9, -7}};
  const cl_double d = 500.5;
  OK(clSetKernelArg(made, 0, sizeof(cl_mem), w.dst.at()));
  OK(clSetKernelArg(made, 1, sizeof four, &four));
  OK(clSetKernelArg(made, 2, sizeof two, &two));
  OK(clSetKernelArg(made, 3, sizeof d, &d));
  run_once(w, made);
  SAME(read_all<cl_int>(w, w.dst, 1)[0], 1 + 40 - 7 + 500);
}
USE(clSetKernelArg, value_is_taken_at_the_call) {
  Kernel made = new_kernel(w.program, "scale");
  const std::vector<cl_float> ones(8, 1.0f);
  write_all(w, w.dst, ones);
  cl_float factor = 3;
  OK(clSetKernelArg(made, 0, sizeof(cl_mem), w.dst.at()));
  OK(clSetKernelArg(made, 1, sizeof factor, &factor));
  factor = 100;
  const std::size_t items = 8;
  OK(clEnqueueNDRangeKernel(w.queue, made, 1, nullptr, &items, nullptr, 0, nullptr, nullptr));
  factor = 5;
  OK(clSetKernelArg(made, 1, sizeof factor, &factor));
  OK(clEnqueueNDRangeKernel(w.queue, made, 1, nullptr, &items, nullptr, 0, nullptr, nullptr));
  SAME(read_all<cl_float>(w, w.dst, items)[7], 15.0f);
}
USE(clSetKernelArg, local_memory_of_a_work_group) {
  Kernel made = new_kernel(args_program(w), "shared_sum");
  std::vector<cl_int> in(64);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<cl_int>(i);
  Mem source = new_buffer(w, CL_MEM_COPY_HOST_PTR, 256, in.data());
  OK(clSetKernelArg(made, 0, sizeof(cl_mem), source.at()));
  OK(clSetKernelArg(made, 1, sizeof(cl_mem), w.dst.at()));
  OK(clSetKernelArg(made, 2, 16 * 4, nullptr));
  const std::size_t global = 64, local = 16;
  OK(clEnqueueNDRangeKernel(w.queue, made, 1, nullptr, &global, &local, 0, nullptr, nullptr));
  const auto out = read_all<cl_int>(w, w.dst, 64);
  SAME(out[0], 120);
  SAME(out[63], 120 + 16 * 48);
}
USE(clSetKernelArg, null_buffer) {
  Kernel made = new_kernel(args_program(w), "if_null");
  const cl_mem none = nullptr;
  OK(clSetKernelArg(made, 1, sizeof(cl_mem), w.dst.at()));
  OK(clSetKernelArg(made, 0, sizeof(cl_mem), nullptr));
  run_once(w, made);
  SAME(read_all<cl_int>(w, w.dst, 1)[0], 5);
  OK(clSetKernelArg(made, 0, sizeof(cl_mem), w.buf.at()));
  run_once(w, made);
  SAME(read_all<cl_int>(w, w.dst, 1)[0], 6);
  OK(clSetKernelArg(made, 0, sizeof(cl_mem), &none));
  run_once(w, made);
  SAME(read_all<cl_int>(w, w.dst, 1)[0], 5);
}
TABLE_FAULT(clSetKernelArg, null_kernel, CL_INVALID_KERNEL,
            (nullptr, 0, sizeof(cl_mem), w.buf.at()))
FAULT(clSetKernelArg, wrong_kind, CL_INVALID_KERNEL,
      (as<cl_kernel>(w.ctx), 0, sizeof(cl_mem), w.buf.at()))
FAULT(clSetKernelArg, index_past_the_last, CL_INVALID_ARG_INDEX, (w.scale, 2, 4, &kBytes))
FAULT(clSetKernelArg, scalar_too_large, CL_INVALID_ARG_SIZE, (w.scale, 1, 8, &kBytes))
FAULT(clSetKernelArg, scalar_too_small, CL_INVALID_ARG_SIZE, (w.scale, 1, 2, &kBytes))
FAULT(clSetKernelArg, memory_of_wrong_size, CL_INVALID_ARG_SIZE, (w.scale, 0, 4, w.buf.at()))
FAULT(clSetKernelArg, null_scalar, CL_INVALID_ARG_VALUE, (w.scale, 1, 4, nullptr))
FAULT_BODY(clSetKernelArg, other_object_as_memory) {
  CODE(clSetKernelArg(every(w), 0, sizeof(cl_mem), w.queue.at()),
       ANY(CL_INVALID_MEM_OBJECT, CL_INVALID_ARG_VALUE));
}
FAULT_BODY(clSetKernelArg, buffer_as_image) {
  CODE(clSetKernelArg(every(w), 4, sizeof(cl_mem), w.buf.at()),
       ANY(CL_INVALID_MEM_OBJECT, CL_INVALID_ARG_VALUE));
}
FAULT_BODY(clSetKernelArg, null_sampler) {
  const cl_sampler none = nullptr;
  CODE(clSetKernelArg(every(w), 5, sizeof none, &none),
       ANY(CL_INVALID_SAMPLER, CL_INVALID_ARG_VALUE));
}
FAULT_BODY(clSetKernelArg, local_without_bytes) {
  CODE(clSetKernelArg(every(w), 2, 0, nullptr), CL_INVALID_ARG_SIZE);
}
FAULT_BODY(clSetKernelArg, local_with_a_value) {
  CODE(clSetKernelArg(every(w), 2, 64, &kBytes), CL_INVALID_ARG_VALUE);
}
USE(clGetKernelInfo, every_parameter) {
  Kernel made = every(w);
  check_info([&](cl_uint what, std::size_t n, void* to,
                 std::size_t* size) { return clGetKernelInfo(made, what, n, to, size); },
             {{CL_KERNEL_FUNCTION_NAME, 6},
              {CL_KERNEL_NUM_ARGS, 4},
              {CL_KERNEL_REFERENCE_COUNT, 4},
              {CL_KERNEL_CONTEXT, 8},
              {CL_KERNEL_PROGRAM, 8},
              {CL_KERNEL_ATTRIBUTES, 0}});
  cl_uint count = 0;
  cl_program program = nullptr;
  OK(clGetKernelInfo(made, CL_KERNEL_NUM_ARGS, sizeof count, &count, nullptr));
  OK(clGetKernelInfo(made, CL_KERNEL_PROGRAM, sizeof program, &program, nullptr));
  SAME(count, 8u);
  SAME(program, args_program(w));
}
TABLE_FAULT(clGetKernelInfo, null_kernel, CL_INVALID_KERNEL,
            (nullptr, CL_KERNEL_NUM_ARGS, 0, nullptr, nullptr))
FAULT(clGetKernelInfo, unknown_parameter, CL_INVALID_VALUE, (w.scale, 0x1, 0, nullptr, nullptr))
FAULT(clGetKernelInfo, wrong_kind, CL_INVALID_KERNEL,
      (as<cl_kernel>(w.ctx), CL_KERNEL_NUM_ARGS, 0, nullptr, nullptr))

template <class T>
T arg_fact(cl_kernel kernel, cl_uint index, cl_kernel_arg_info what) {
  T value{};
  OK(clGetKernelArgInfo(kernel, index, what, sizeof value, &value, nullptr));
  return value;
}
std::string arg_text(cl_kernel kernel, cl_uint index, cl_kernel_arg_info what) {
  char text[64] = {};
  OK(clGetKernelArgInfo(kernel, index, what, sizeof text, text, nullptr));
  return text;
}

USE(clGetKernelArgInfo, every_parameter) {
  Kernel made = every(w);
  for (cl_uint i = 0; i < 8; ++i) {
    check_info([&](cl_uint what, std::size_t n, void* to,
                   std::size_t* size) { return clGetKernelArgInfo(made, i, what, n, to, size); },
               {{CL_KERNEL_ARG_ADDRESS_QUALIFIER, 4},
                {CL_KERNEL_ARG_ACCESS_QUALIFIER, 4},
                {CL_KERNEL_ARG_TYPE_NAME, 0},
                {CL_KERNEL_ARG_TYPE_QUALIFIER, 8},
                {CL_KERNEL_ARG_NAME, 0}});
  }
}
USE(clGetKernelArgInfo, says_what_the_source_says) {
  Kernel made = every(w);
  SAME(arg_text(made, 0, CL_KERNEL_ARG_NAME), std::string("g"));
  SAME(arg_text(made, 0, CL_KERNEL_ARG_TYPE_NAME), std::string("int*"));
  SAME(arg_text(made, 3, CL_KERNEL_ARG_TYPE_NAME), std::string("int"));
  SAME(arg_text(made, 6, CL_KERNEL_ARG_TYPE_NAME), std::string("record"));
  using Address = cl_kernel_arg_address_qualifier;
  SAME(arg_fact<Address>(made, 0, CL_KERNEL_ARG_ADDRESS_QUALIFIER),
       Address{CL_KERNEL_ARG_ADDRESS_GLOBAL});
  SAME(arg_fact<Address>(made, 1, CL_KERNEL_ARG_ADDRESS_QUALIFIER),
       Address{CL_KERNEL_ARG_ADDRESS_CONSTANT});
  SAME(arg_fact<Address>(made, 2, CL_KERNEL_ARG_ADDRESS_QUALIFIER),
       Address{CL_KERNEL_ARG_ADDRESS_LOCAL});
  SAME(arg_fact<Address>(made, 3, CL_KERNEL_ARG_ADDRESS_QUALIFIER),
       Address{CL_KERNEL_ARG_ADDRESS_PRIVATE});
  using Access = cl_kernel_arg_access_qualifier;
  SAME(arg_fact<Access>(made, 4, CL_KERNEL_ARG_ACCESS_QUALIFIER),
       Access{CL_KERNEL_ARG_ACCESS_READ_ONLY});
  SAME(arg_fact<Access>(made, 0, CL_KERNEL_ARG_ACCESS_QUALIFIER),
       Access{CL_KERNEL_ARG_ACCESS_NONE});
  using Type = cl_kernel_arg_type_qualifier;
  SAME(arg_fact<Type>(made, 7, CL_KERNEL_ARG_TYPE_QUALIFIER),
       Type{CL_KERNEL_ARG_TYPE_CONST | CL_KERNEL_ARG_TYPE_RESTRICT});
}
FAULT_BODY(clGetKernelArgInfo, not_kept_by_the_last_build) {
  Program made =
      new_program(w, "kernel void named(global int* to) { *to = 1; }", "-cl-kernel-arg-info");
  for (const char* options : {"", "-w"}) {
    OK(clBuildProgram(made, 0, nullptr, options, nullptr, nullptr));
    cl_int e = 1;
    Kernel kernel(clCreateKernel(made, "named", &e));
    OK(e);
    char text[64] = {};
    CODE(clGetKernelArgInfo(kernel, 0, CL_KERNEL_ARG_NAME, sizeof text, text, nullptr),
         CL_KERNEL_ARG_INFO_NOT_AVAILABLE);
    CODE(clGetKernelArgInfo(kernel, 1, CL_KERNEL_ARG_NAME, sizeof text, text, nullptr),
         CL_INVALID_ARG_INDEX);
  }
}
TABLE_FAULT(clGetKernelArgInfo, null_kernel, CL_INVALID_KERNEL,
            (nullptr, 0, CL_KERNEL_ARG_NAME, 0, nullptr, nullptr))
FAULT(clGetKernelArgInfo, index_past_the_last, CL_INVALID_ARG_INDEX,
      (w.scale, 2, CL_KERNEL_ARG_NAME, 0, nullptr, nullptr))
FAULT(clGetKernelArgInfo, unknown_parameter, CL_INVALID_VALUE,
      (w.scale, 0, 0x1, 0, nullptr, nullptr))

}  // namespace
}  // namespace tessera::conformance

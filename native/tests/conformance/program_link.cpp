// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

constexpr const char* kUsesHeader =
    "#include \"inner/value.h\"\nkernel void fill(global int* p) { p[get_global_id(0)] = value(); "
    "}";
constexpr const char* kHeader = "inline int value(void) { return 77; }\n";
constexpr const char* kCaller =
    "int value(void); kernel void fill(global int* p) { p[get_global_id(0)] = value(); }";
constexpr const char* kCallee = "int value(void) { return 78; }";

Program source(const World& w, const char* text) {
  cl_int e = 1;
  Program made(clCreateProgramWithSource(w.ctx, 1, &text, nullptr, &e));
  OK(e);
  return made;
}

Program compiled(const World& w, const char* text) {
  Program made = source(w, text);
  OK(clCompileProgram(made, 0, nullptr, "", 0, nullptr, nullptr, nullptr, nullptr));
  return made;
}

cl_int link(const World& w, const std::vector<cl_program>& inputs, Program* out = nullptr,
            const char* options = "") {
  cl_int e = 1;
  Program made(clLinkProgram(w.ctx, 0, nullptr, options, static_cast<cl_uint>(inputs.size()),
                             inputs.data(), nullptr, nullptr, &e));
  if (out != nullptr) *out = std::move(made);
  return e;
}

int run_fill(const World& w, cl_program program) {
  Kernel kernel = new_kernel(program, "fill");
  OK(clSetKernelArg(kernel, 0, sizeof(cl_mem), w.dst.at()));
  const std::size_t items = 16;
  OK(clEnqueueNDRangeKernel(w.queue, kernel, 1, nullptr, &items, nullptr, 0, nullptr, nullptr));
  return read_all<cl_int>(w, w.dst, items)[15];
}

cl_program_binary_type type_of(const World& w, cl_program program) {
  cl_program_binary_type type = 0;
  OK(clGetProgramBuildInfo(program, w.device, CL_PROGRAM_BINARY_TYPE, sizeof type, &type, nullptr));
  return type;
}

struct Noted {
  std::atomic<int> calls{0};
};
void CL_CALLBACK note(cl_program, void* user) {
  static_cast<Noted*>(user)->calls += 1;
}
void wait_for_call(const Noted& noted) {
  for (int i = 0; i < 10000 && noted.calls == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  SAME(noted.calls.load(), 1);
}

USE(clCompileProgram, with_headers_then_link_and_run) {
  Program header = source(w, kHeader);
  Program user = source(w, kUsesHeader);
  const cl_program headers[] = {header};
  const char* names[] = {"inner/value.h"};
  OK(clCompileProgram(user, 0, nullptr, "", 1, headers, names, nullptr, nullptr));
  SAME(type_of(w, user), cl_program_binary_type{CL_PROGRAM_BINARY_TYPE_COMPILED_OBJECT});
  Program linked;
  OK(link(w, {user}, &linked));
  SAME(run_fill(w, linked), 77);
}
USE(clCompileProgram, tells_its_callback) {
  Program made = source(w, kCallee);
  Noted noted;
  OK(clCompileProgram(made, 1, &w.device, nullptr, 0, nullptr, nullptr, note, &noted));
  wait_for_call(noted);
}
TABLE_FAULT(clCompileProgram, null_program, CL_INVALID_PROGRAM,
            (nullptr, 0, nullptr, "", 0, nullptr, nullptr, nullptr, nullptr))
FAULT(clCompileProgram, wrong_kind, CL_INVALID_PROGRAM,
      (as<cl_program>(w.ctx), 0, nullptr, "", 0, nullptr, nullptr, nullptr, nullptr))
FAULT_BODY(clCompileProgram, broken_source) {
  Program made = source(w, "kernel void broken(");
  CODE(clCompileProgram(made, 0, nullptr, "", 0, nullptr, nullptr, nullptr, nullptr),
       CL_COMPILE_PROGRAM_FAILURE);
}
FAULT_BODY(clCompileProgram, missing_header) {
  Program made = source(w, kUsesHeader);
  CODE(clCompileProgram(made, 0, nullptr, "", 0, nullptr, nullptr, nullptr, nullptr),
       CL_COMPILE_PROGRAM_FAILURE);
}
FAULT_BODY(clCompileProgram, count_without_list) {
  Program made = source(w, kCallee);
  CODE(clCompileProgram(made, 1, nullptr, "", 0, nullptr, nullptr, nullptr, nullptr),
       CL_INVALID_VALUE);
}
FAULT_BODY(clCompileProgram, headers_without_names) {
  Program made = source(w, kUsesHeader), header = source(w, kHeader);
  CODE(clCompileProgram(made, 0, nullptr, "", 1, header.at(), nullptr, nullptr, nullptr),
       CL_INVALID_VALUE);
}
FAULT_BODY(clCompileProgram, names_without_headers) {
  Program made = source(w, kUsesHeader);
  const char* names[] = {"inner/value.h"};
  CODE(clCompileProgram(made, 0, nullptr, "", 0, nullptr, names, nullptr, nullptr),
       CL_INVALID_VALUE);
}
FAULT_BODY(clCompileProgram, user_data_without_function) {
  Program made = source(w, kCallee);
  CODE(clCompileProgram(made, 0, nullptr, "", 0, nullptr, nullptr, nullptr, &made),
       CL_INVALID_VALUE);
}
FAULT_BODY(clCompileProgram, unknown_option) {
  Program made = source(w, kCallee);
  CODE(clCompileProgram(made, 0, nullptr, "-cl-no-such-option", 0, nullptr, nullptr, nullptr,
                        nullptr),
       CL_INVALID_COMPILER_OPTIONS);
}
FAULT_BODY(clCompileProgram, while_a_kernel_is_attached) {
  Program made = new_program(w, "kernel void k(global int* p) { *p = 1; }");
  Kernel kernel = new_kernel(made, "k");
  CODE(clCompileProgram(made, 0, nullptr, "", 0, nullptr, nullptr, nullptr, nullptr),
       CL_INVALID_OPERATION);
}

USE(clLinkProgram, two_objects) {
  Program caller = compiled(w, kCaller), callee = compiled(w, kCallee), linked;
  OK(link(w, {caller, callee}, &linked));
  SAME(type_of(w, linked), cl_program_binary_type{CL_PROGRAM_BINARY_TYPE_EXECUTABLE});
  SAME(run_fill(w, linked), 78);
}
USE(clLinkProgram, a_library_first) {
  Program callee = compiled(w, kCallee), library, linked, caller = compiled(w, kCaller);
  OK(link(w, {callee}, &library, "-create-library"));
  SAME(type_of(w, library), cl_program_binary_type{CL_PROGRAM_BINARY_TYPE_LIBRARY});
  OK(link(w, {caller, library}, &linked));
  SAME(run_fill(w, linked), 78);
}
USE(clLinkProgram, tells_its_callback) {
  Program caller = compiled(w, kCaller), callee = compiled(w, kCallee);
  const cl_program inputs[] = {caller, callee};
  Noted noted;
  cl_int e = 1;
  Program linked(clLinkProgram(w.ctx, 1, &w.device, "", 2, inputs, note, &noted, &e));
  OK(e);
  wait_for_call(noted);
  SAME(run_fill(w, linked), 78);
}
// Compiled and linked without -cl-kernel-arg-info, so nothing tells what its arguments are.
constexpr const char* kManyArguments = R"(
kernel void many(global long* out, constant long* in, local long* room, long a, double b, char c, long2 d) {
  room[0] = a;
  out[0] = in[0] + room[0] + (long)b + c + d.y;
}
)";

cl_long run_many(const World& w, cl_program program) {
  Kernel kernel = new_kernel(program, "many");
  cl_long in = 1, a = 1l << 40;
  const cl_double b = 100;
  const cl_char c = 7;
  const cl_long2 d = {{5, 1000}};
  Mem constant = new_buffer(w, CL_MEM_COPY_HOST_PTR, sizeof in, &in);
  OK(clSetKernelArg(kernel, 0, sizeof(cl_mem), w.dst.at()));
  OK(clSetKernelArg(kernel, 1, sizeof(cl_mem), constant.at()));
  OK(clSetKernelArg(kernel, 2, 64, nullptr));
  OK(clSetKernelArg(kernel, 3, sizeof a, &a));
  OK(clSetKernelArg(kernel, 4, sizeof b, &b));
  OK(clSetKernelArg(kernel, 5, sizeof c, &c));
  OK(clSetKernelArg(kernel, 6, sizeof d, &d));
  const std::size_t one = 1;
  OK(clEnqueueNDRangeKernel(w.queue, kernel, 1, nullptr, &one, nullptr, 0, nullptr, nullptr));
  return read_all<cl_long>(w, w.dst, 1)[0];
}

USE(clLinkProgram, arguments_of_every_kind) {
  Program object = compiled(w, kManyArguments), linked;
  OK(link(w, {object}, &linked));
  SAME(run_many(w, linked), (1l << 40) + 1108);
}
USE(clCreateProgramWithBinary, of_a_linked_program) {
  Program object = compiled(w, kManyArguments), linked;
  OK(link(w, {object}, &linked));
  std::size_t size = 0;
  OK(clGetProgramInfo(linked, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, nullptr));
  std::vector<unsigned char> bytes(size);
  unsigned char* to = bytes.data();
  OK(clGetProgramInfo(linked, CL_PROGRAM_BINARIES, sizeof to, &to, nullptr));
  const unsigned char* from = bytes.data();
  cl_int e = 1;
  Program again(clCreateProgramWithBinary(w.ctx, 1, &w.device, &size, &from, nullptr, &e));
  OK(e);
  OK(clBuildProgram(again, 0, nullptr, "", nullptr, nullptr));
  SAME(run_many(w, again), (1l << 40) + 1108);
}
TABLE_FAULT_NEW(clLinkProgram, null_context, CL_INVALID_CONTEXT,
                (nullptr, 0, nullptr, "", 1, w.program.at(), nullptr, nullptr, &e))
FAULT_NEW(clLinkProgram, no_programs, CL_INVALID_VALUE,
          (w.ctx, 0, nullptr, "", 0, nullptr, nullptr, nullptr, &e))
FAULT_NEW(clLinkProgram, count_without_programs, CL_INVALID_VALUE,
          (w.ctx, 0, nullptr, "", 1, nullptr, nullptr, nullptr, &e))
FAULT_BODY(clLinkProgram, null_program) {
  cl_int e = 1;
  const cl_program none = nullptr;
  CODE(creation_code(w.table->clLinkProgram(w.ctx, 0, nullptr, "", 1, &none, nullptr, nullptr, &e),
                     e),
       CL_INVALID_PROGRAM);
}
FAULT_BODY(clLinkProgram, count_without_devices) {
  Program callee = compiled(w, kCallee);
  cl_int e = 1;
  CODE(creation_code(clLinkProgram(w.ctx, 1, nullptr, "", 1, callee.at(), nullptr, nullptr, &e), e),
       CL_INVALID_VALUE);
}
FAULT_BODY(clLinkProgram, user_data_without_function) {
  Program callee = compiled(w, kCallee);
  cl_int e = 1;
  CODE(creation_code(clLinkProgram(w.ctx, 0, nullptr, "", 1, callee.at(), nullptr, &callee, &e), e),
       CL_INVALID_VALUE);
}
FAULT_BODY(clLinkProgram, not_compiled) {
  Program raw = source(w, kCallee);
  CODE(link(w, {raw}), CL_INVALID_OPERATION);
}
FAULT_BODY(clLinkProgram, unknown_option) {
  Program callee = compiled(w, kCallee);
  CODE(link(w, {callee}, nullptr, "-no-such-option"), CL_INVALID_LINKER_OPTIONS);
}
FAULT_BODY(clLinkProgram, name_that_is_nowhere) {
  Program caller = compiled(w, kCaller);
  CODE(link(w, {caller}), CL_LINK_PROGRAM_FAILURE);
}

USE(clGetProgramInfo, every_parameter) {
  check_info([&](cl_uint what, std::size_t n, void* to,
                 std::size_t* size) { return clGetProgramInfo(w.program, what, n, to, size); },
             {{CL_PROGRAM_REFERENCE_COUNT, 4},
              {CL_PROGRAM_CONTEXT, 8},
              {CL_PROGRAM_NUM_DEVICES, 4},
              {CL_PROGRAM_DEVICES, 8},
              {CL_PROGRAM_SOURCE, 0},
              {CL_PROGRAM_BINARY_SIZES, 8},
              {CL_PROGRAM_NUM_KERNELS, 8},
              {CL_PROGRAM_KERNEL_NAMES, 0},
              {CL_PROGRAM_IL, 0},
              {CL_PROGRAM_SCOPE_GLOBAL_CTORS_PRESENT, 4},
              {CL_PROGRAM_SCOPE_GLOBAL_DTORS_PRESENT, 4}});
}
USE(clGetProgramInfo, names_of_the_kernels) {
  std::size_t count = 0;
  OK(clGetProgramInfo(w.program, CL_PROGRAM_NUM_KERNELS, sizeof count, &count, nullptr));
  SAME(count, std::size_t{3});
  char names[256] = {};
  OK(clGetProgramInfo(w.program, CL_PROGRAM_KERNEL_NAMES, sizeof names, names, nullptr));
  std::vector<std::string> list;
  for (char* one = std::strtok(names, ";"); one != nullptr; one = std::strtok(nullptr, ";")) {
    list.emplace_back(one);
  }
  std::sort(list.begin(), list.end());
  THAT((list == std::vector<std::string>{"add_one", "nothing", "scale"}));
}
TABLE_FAULT(clGetProgramInfo, null_program, CL_INVALID_PROGRAM,
            (nullptr, CL_PROGRAM_CONTEXT, 0, nullptr, nullptr))
FAULT(clGetProgramInfo, unknown_parameter, CL_INVALID_VALUE, (w.program, 0x1, 0, nullptr, nullptr))
FAULT(clGetProgramInfo, wrong_kind, CL_INVALID_PROGRAM,
      (as<cl_program>(w.ctx), CL_PROGRAM_CONTEXT, 0, nullptr, nullptr))
FAULT_BODY(clGetProgramInfo, kernels_before_the_build) {
  Program raw = source(w, kCallee);
  std::size_t count = 0;
  CODE(clGetProgramInfo(raw, CL_PROGRAM_NUM_KERNELS, sizeof count, &count, nullptr),
       CL_INVALID_PROGRAM_EXECUTABLE);
  CODE(clGetProgramInfo(raw, CL_PROGRAM_KERNEL_NAMES, 0, nullptr, &count),
       CL_INVALID_PROGRAM_EXECUTABLE);
}

USE(clGetProgramBuildInfo, every_parameter) {
  check_info(
      [&](cl_uint what, std::size_t n, void* to, std::size_t* size) {
        return clGetProgramBuildInfo(w.program, w.device, what, n, to, size);
      },
      {{CL_PROGRAM_BUILD_STATUS, 4},
       {CL_PROGRAM_BUILD_OPTIONS, 0},
       {CL_PROGRAM_BUILD_LOG, 0},
       {CL_PROGRAM_BINARY_TYPE, 4},
       {CL_PROGRAM_BUILD_GLOBAL_VARIABLE_TOTAL_SIZE, 8}});
}
USE(clGetProgramBuildInfo, before_any_build) {
  Program raw = source(w, kCallee);
  cl_build_status status = 1;
  OK(clGetProgramBuildInfo(raw, w.device, CL_PROGRAM_BUILD_STATUS, sizeof status, &status,
                           nullptr));
  SAME(status, cl_build_status{CL_BUILD_NONE});
  SAME(type_of(w, raw), cl_program_binary_type{CL_PROGRAM_BINARY_TYPE_NONE});
}
TABLE_FAULT(clGetProgramBuildInfo, null_program, CL_INVALID_PROGRAM,
            (nullptr, w.device, CL_PROGRAM_BUILD_STATUS, 0, nullptr, nullptr))
FAULT(clGetProgramBuildInfo, null_device, CL_INVALID_DEVICE,
      (w.program, nullptr, CL_PROGRAM_BUILD_STATUS, 0, nullptr, nullptr))
FAULT(clGetProgramBuildInfo, unknown_parameter, CL_INVALID_VALUE,
      (w.program, w.device, 0x1, 0, nullptr, nullptr))
FAULT(clGetProgramBuildInfo, wrong_kind, CL_INVALID_PROGRAM,
      (as<cl_program>(w.ctx), w.device, CL_PROGRAM_BUILD_STATUS, 0, nullptr, nullptr))

USE(clSetProgramReleaseCallback, is_deprecated_and_may_refuse) {
  Program made = source(w, kCallee);
  CODE(clSetProgramReleaseCallback(made, note, nullptr), ANY(CL_INVALID_OPERATION, CL_SUCCESS));
}
TABLE_FAULT(clSetProgramReleaseCallback, null_program,
            ANY(CL_INVALID_PROGRAM, CL_INVALID_OPERATION), (nullptr, note, nullptr))
FAULT(clSetProgramReleaseCallback, null_function, ANY(CL_INVALID_VALUE, CL_INVALID_OPERATION),
      (w.program, nullptr, nullptr))
USE(clSetProgramSpecializationConstant, refused_for_a_source_program) {
  Program made = source(w, kCallee);
  const cl_int one = 1;
  const bool takes_il = !device_text(w.device, CL_DEVICE_IL_VERSION).empty();
  CODE(clSetProgramSpecializationConstant(made, 0, sizeof one, &one),
       takes_il ? CL_INVALID_PROGRAM : CL_INVALID_OPERATION);
}
TABLE_FAULT(clSetProgramSpecializationConstant, null_program, CL_INVALID_PROGRAM,
            (nullptr, 0, 4, &kBytes))
FAULT(clSetProgramSpecializationConstant, null_value,
      ANY(CL_INVALID_VALUE, CL_INVALID_PROGRAM, CL_INVALID_OPERATION), (w.program, 0, 4, nullptr))

}  // namespace
}  // namespace tessera::conformance

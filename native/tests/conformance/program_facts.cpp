// SPDX-License-Identifier: Apache-2.0
//
// What a program says of itself that depends on how it came to be: made from a binary and not built
// yet, built with or without the facts about arguments, not built for its options.
#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

constexpr const char* kSource = "kernel void k(global int* out) { *out = 1; }";
constexpr const char* kArgInfo = "-cl-kernel-arg-info";

Program from_source(const World& w, const char* text = kSource) {
  cl_int e = 1;
  Program made(clCreateProgramWithSource(w.ctx, 1, &text, nullptr, &e));
  OK(e);
  return made;
}

Program compiled(const World& w, const char* options = "") {
  Program made = from_source(w);
  OK(clCompileProgram(made, 1, &w.device, options, 0, nullptr, nullptr, nullptr, nullptr));
  return made;
}

Program linked(const World& w, const Program& input, const char* options = "") {
  cl_int e = 1;
  Program made(clLinkProgram(w.ctx, 1, &w.device, options, 1, input.at(), nullptr, nullptr, &e));
  OK(e);
  return made;
}

Program from_binary_of(const World& w, cl_program program) {
  std::size_t size = 0;
  OK(clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, nullptr));
  std::vector<unsigned char> bytes(size);
  unsigned char* place = bytes.data();
  OK(clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof place, &place, nullptr));
  const unsigned char* at = bytes.data();
  cl_int status = 1, e = 1;
  Program made(clCreateProgramWithBinary(w.ctx, 1, &w.device, &size, &at, &status, &e));
  OK(e);
  OK(status);
  return made;
}

template <class T>
T build_fact(const World& w, cl_program program, cl_program_build_info what) {
  T value{};
  OK(clGetProgramBuildInfo(program, w.device, what, sizeof value, &value, nullptr));
  return value;
}

cl_program_binary_type type_of(const World& w, cl_program program) {
  return build_fact<cl_program_binary_type>(w, program, CL_PROGRAM_BINARY_TYPE);
}

std::string log_of(const World& w, cl_program program) {
  std::size_t size = 0;
  OK(clGetProgramBuildInfo(program, w.device, CL_PROGRAM_BUILD_LOG, 0, nullptr, &size));
  std::string log(size, '\0');
  OK(clGetProgramBuildInfo(program, w.device, CL_PROGRAM_BUILD_LOG, size, log.data(), nullptr));
  return log.c_str();
}

// Its binary, before it is built, is of the same kind; nothing else is there yet.
void check_binary_of(const World& w, cl_program program, cl_program_binary_type type) {
  SAME(type_of(w, program), type);
  Program made = from_binary_of(w, program);
  SAME(type_of(w, made), type);
  SAME(build_fact<cl_build_status>(w, made, CL_PROGRAM_BUILD_STATUS),
       cl_build_status{CL_BUILD_NONE});
  std::size_t kernels = 0;
  CODE(clGetProgramInfo(made, CL_PROGRAM_NUM_KERNELS, sizeof kernels, &kernels, nullptr),
       CL_INVALID_PROGRAM_EXECUTABLE);
}

USE(clCreateProgramWithBinary, of_a_compiled_object_is_one) {
  check_binary_of(w, compiled(w), CL_PROGRAM_BINARY_TYPE_COMPILED_OBJECT);
}
USE(clCreateProgramWithBinary, of_a_library_is_one) {
  check_binary_of(w, linked(w, compiled(w), "-create-library"), CL_PROGRAM_BINARY_TYPE_LIBRARY);
}
USE(clCreateProgramWithBinary, of_an_executable_is_one) {
  check_binary_of(w, linked(w, compiled(w)), CL_PROGRAM_BINARY_TYPE_EXECUTABLE);
  check_binary_of(w, new_program(w, kSource), CL_PROGRAM_BINARY_TYPE_EXECUTABLE);
}
USE(clLinkProgram, of_a_binary_that_was_not_built) {
  Program object = from_binary_of(w, compiled(w));
  SAME(type_of(w, linked(w, object)), cl_program_binary_type{CL_PROGRAM_BINARY_TYPE_EXECUTABLE});
}
FAULT_BODY(clLinkProgram, executable_from_a_binary) {
  Program executable = from_binary_of(w, new_program(w, kSource));
  cl_int e = 1;
  CODE(creation_code(
           clLinkProgram(w.ctx, 1, &w.device, "", 1, executable.at(), nullptr, nullptr, &e), e),
       CL_INVALID_OPERATION);
}

void check_refusal(const World& w, cl_program program) {
  SAME(build_fact<cl_build_status>(w, program, CL_PROGRAM_BUILD_STATUS),
       cl_build_status{CL_BUILD_ERROR});
  THAT(log_of(w, program).find("-no-such-option") != std::string::npos);
}
FAULT_BODY(clBuildProgram, refused_option_is_in_the_log) {
  Program made = from_source(w);
  CODE(clBuildProgram(made, 1, &w.device, "-no-such-option", nullptr, nullptr),
       CL_INVALID_BUILD_OPTIONS);
  check_refusal(w, made);
  OK(clBuildProgram(made, 1, &w.device, "", nullptr, nullptr));
  SAME(log_of(w, made).find("-no-such-option"), std::string::npos);
}
FAULT_BODY(clCompileProgram, refused_option_is_in_the_log) {
  Program made = from_source(w);
  CODE(clCompileProgram(made, 1, &w.device, "-DA -no-such-option -DB", 0, nullptr, nullptr, nullptr,
                        nullptr),
       CL_INVALID_COMPILER_OPTIONS);
  check_refusal(w, made);
}

cl_int arg_info(cl_program program) {
  Kernel kernel = new_kernel(program, "k");
  char name[16] = {};
  return clGetKernelArgInfo(kernel, 0, CL_KERNEL_ARG_NAME, sizeof name, name, nullptr);
}

FAULT_BODY(clGetKernelArgInfo, not_asked_for_by_the_build) {
  CODE(arg_info(new_program(w, kSource)), CL_KERNEL_ARG_INFO_NOT_AVAILABLE);
  CODE(arg_info(new_program(w, kSource, "-DA=1 -g")), CL_KERNEL_ARG_INFO_NOT_AVAILABLE);
  CODE(arg_info(linked(w, compiled(w))), CL_KERNEL_ARG_INFO_NOT_AVAILABLE);
}
FAULT_BODY(clGetKernelArgInfo, index_past_the_last_without_them) {
  Program made = new_program(w, kSource);
  Kernel kernel = new_kernel(made, "k");
  CODE(clGetKernelArgInfo(kernel, 1, CL_KERNEL_ARG_NAME, 0, nullptr, nullptr),
       CL_INVALID_ARG_INDEX);
}
USE(clGetKernelArgInfo, as_the_last_build_asked) {
  Program made = new_program(w, kSource, kArgInfo);
  CODE(arg_info(made), CL_SUCCESS);
  OK(clBuildProgram(made, 1, &w.device, "", nullptr, nullptr));
  CODE(arg_info(made), CL_KERNEL_ARG_INFO_NOT_AVAILABLE);
  OK(clBuildProgram(made, 1, &w.device, "-DA -cl-kernel-arg-info", nullptr, nullptr));
  CODE(arg_info(made), CL_SUCCESS);
}
USE(clGetKernelArgInfo, of_a_binary_as_its_own_build_asked) {
  for (const char* first : {"", kArgInfo}) {
    Program source = new_program(w, kSource, first);
    Program made = from_binary_of(w, source);
    OK(clBuildProgram(made, 1, &w.device, "", nullptr, nullptr));
    CODE(arg_info(made), CL_KERNEL_ARG_INFO_NOT_AVAILABLE);
    Program again = from_binary_of(w, source);
    OK(clBuildProgram(again, 1, &w.device, kArgInfo, nullptr, nullptr));
    CODE(arg_info(again), CL_SUCCESS);
  }
}
USE(clGetKernelArgInfo, of_a_linked_program_as_the_link_asked) {
  CODE(arg_info(linked(w, compiled(w, kArgInfo), kArgInfo)), CL_SUCCESS);
  CODE(arg_info(linked(w, compiled(w), kArgInfo)), CL_SUCCESS);
}

}  // namespace
}  // namespace tessera::conformance

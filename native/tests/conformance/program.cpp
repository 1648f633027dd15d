// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cstring>
#include <thread>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

constexpr const char* kFill = "kernel void fill(global int* p, int v) { p[get_global_id(0)] = v; }";

Program from_source(const World& w, const std::string& source) {
  const char* text = source.c_str();
  cl_int e = 1;
  Program made(clCreateProgramWithSource(w.ctx, 1, &text, nullptr, &e));
  OK(e);
  return made;
}

std::string build_text(const World& w, cl_program program, cl_program_build_info what) {
  std::size_t size = 0;
  OK(clGetProgramBuildInfo(program, w.device, what, 0, nullptr, &size));
  std::string text(size, '\0');
  OK(clGetProgramBuildInfo(program, w.device, what, size, text.data(), nullptr));
  return text.c_str();
}

template <class T>
T build_fact(const World& w, cl_program program, cl_program_build_info what) {
  T value{};
  OK(clGetProgramBuildInfo(program, w.device, what, sizeof value, &value, nullptr));
  return value;
}

int value_it_fills(const World& w, cl_program program, const char* name = "fill", cl_int v = 41) {
  Kernel kernel = new_kernel(program, name);
  OK(clSetKernelArg(kernel, 0, sizeof(cl_mem), w.dst.at()));
  OK(clSetKernelArg(kernel, 1, sizeof v, &v));
  const std::size_t items = 64;
  OK(clEnqueueNDRangeKernel(w.queue, kernel, 1, nullptr, &items, nullptr, 0, nullptr, nullptr));
  return read_all<cl_int>(w, w.dst, items)[items - 1];
}

std::vector<unsigned char> binary_of(cl_program program) {
  std::size_t size = 0;
  OK(clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, nullptr));
  THAT(size > 0);
  std::vector<unsigned char> bytes(size);
  unsigned char* to = bytes.data();
  OK(clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof to, &to, nullptr));
  return bytes;
}

USE(clCreateProgramWithSource, several_strings_with_lengths) {
  const char* parts[] = {"kernel void fill(global int* p, XXXX", "int v) ",
                         "{ p[get_global_id(0)] = v + 1; }"};
  const std::size_t lengths[] = {std::strlen(parts[0]) - 4, 0, std::strlen(parts[2])};
  cl_int e = 1;
  Program made(clCreateProgramWithSource(w.ctx, 3, parts, lengths, &e));
  OK(e);
  OK(clBuildProgram(made, 1, &w.device, nullptr, nullptr, nullptr));
  SAME(value_it_fills(w, made), 42);
}
USE(clCreateProgramWithSource, source_comes_back) {
  Program made = from_source(w, kFill);
  std::size_t size = 0;
  OK(clGetProgramInfo(made, CL_PROGRAM_SOURCE, 0, nullptr, &size));
  std::string text(size, '\0');
  OK(clGetProgramInfo(made, CL_PROGRAM_SOURCE, size, text.data(), nullptr));
  SAME(std::string(text.c_str()), std::string(kFill));
}
TABLE_FAULT_NEW(clCreateProgramWithSource, null_context, CL_INVALID_CONTEXT,
                (nullptr, 1, std::vector<const char*>{kFill}.data(), nullptr, &e))
FAULT_NEW(clCreateProgramWithSource, no_strings, CL_INVALID_VALUE,
          (w.ctx, 0, std::vector<const char*>{kFill}.data(), nullptr, &e))
FAULT_NEW(clCreateProgramWithSource, null_list, CL_INVALID_VALUE, (w.ctx, 1, nullptr, nullptr, &e))
FAULT_NEW(clCreateProgramWithSource, null_string, CL_INVALID_VALUE,
          (w.ctx, 2, std::vector<const char*>{kFill, nullptr}.data(), nullptr, &e))
FAULT_NEW(clCreateProgramWithSource, wrong_kind, CL_INVALID_CONTEXT,
          (as<cl_context>(w.buf), 1, std::vector<const char*>{kFill}.data(), nullptr, &e))

USE(clCreateProgramWithBinary, round_trip) {
  Program first = new_program(w, kFill);
  SAME(value_it_fills(w, first), 41);
  const auto bytes = binary_of(first);
  const std::size_t size = bytes.size();
  const unsigned char* at = bytes.data();
  cl_int status = 1, e = 1;
  Program second(clCreateProgramWithBinary(w.ctx, 1, &w.device, &size, &at, &status, &e));
  OK(e);
  OK(status);
  OK(clBuildProgram(second, 0, nullptr, nullptr, nullptr, nullptr));
  SAME(value_it_fills(w, second), 41);
  SAME(build_fact<cl_program_binary_type>(w, second, CL_PROGRAM_BINARY_TYPE),
       cl_program_binary_type{CL_PROGRAM_BINARY_TYPE_EXECUTABLE});
}
TABLE_FAULT_NEW(
    clCreateProgramWithBinary, null_context, CL_INVALID_CONTEXT,
    (nullptr, 1, &w.device, std::vector<std::size_t>{4}.data(),
     std::vector<const unsigned char*>{reinterpret_cast<const unsigned char*>("abcd")}.data(),
     nullptr, &e))

struct BinaryFault {
  cl_uint count = 1;
  const cl_device_id* devices = nullptr;
  std::size_t size = 4;
  const unsigned char* bytes = reinterpret_cast<const unsigned char*>("abcd");
  bool sizes = true, list = true;
};
cl_int binary(const World& w, const BinaryFault& f) {
  cl_int status = 1, e = 1;
  const unsigned char* at = f.bytes;
  Program made(w.table->clCreateProgramWithBinary(
      w.ctx, f.count, f.devices, f.sizes ? &f.size : nullptr, f.list ? &at : nullptr, &status, &e));
  return creation_code(cl_program(made), e);
}
FAULT_BODY(clCreateProgramWithBinary, no_devices) {
  CODE(binary(w, {.count = 0, .devices = &w.device}), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateProgramWithBinary, null_device_list) {
  CODE(binary(w, {.devices = nullptr}), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateProgramWithBinary, null_device) {
  const cl_device_id none = nullptr;
  CODE(binary(w, {.devices = &none}), CL_INVALID_DEVICE);
}
FAULT_BODY(clCreateProgramWithBinary, null_lengths) {
  CODE(binary(w, {.devices = &w.device, .sizes = false}), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateProgramWithBinary, null_binaries) {
  CODE(binary(w, {.devices = &w.device, .list = false}), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateProgramWithBinary, null_binary) {
  CODE(binary(w, {.devices = &w.device, .bytes = nullptr}), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateProgramWithBinary, empty_binary) {
  CODE(binary(w, {.devices = &w.device, .size = 0}), CL_INVALID_VALUE);
}
FAULT_BODY(clCreateProgramWithBinary, garbage) {
  const auto bytes = pattern(4096);
  CODE(binary(w, {.devices = &w.device, .size = bytes.size(), .bytes = bytes.data()}),
       CL_INVALID_BINARY);
}

USE(clCreateProgramWithBuiltInKernels, the_devices_own) {
  const std::string names = device_text(w.device, CL_DEVICE_BUILT_IN_KERNELS);
  if (names.empty()) throw Skip("the device has no built-in kernels");
  const std::string first = names.substr(0, names.find(';'));
  cl_int e = 1;
  Program made(clCreateProgramWithBuiltInKernels(w.ctx, 1, &w.device, first.c_str(), &e));
  OK(e);
  cl_uint count = 0;
  OK(clGetProgramInfo(made, CL_PROGRAM_NUM_DEVICES, sizeof count, &count, nullptr));
  SAME(count, 1u);
}
TABLE_FAULT_NEW(clCreateProgramWithBuiltInKernels, null_context, CL_INVALID_CONTEXT,
                (nullptr, 1, &w.device, "x", &e))
FAULT_NEW(clCreateProgramWithBuiltInKernels, null_names, CL_INVALID_VALUE,
          (w.ctx, 1, &w.device, nullptr, &e))
FAULT_NEW(clCreateProgramWithBuiltInKernels, unknown_name, CL_INVALID_VALUE,
          (w.ctx, 1, &w.device, "no.such.kernel", &e))
FAULT_NEW(clCreateProgramWithBuiltInKernels, no_devices, CL_INVALID_VALUE,
          (w.ctx, 0, &w.device, "x", &e))

bool takes_il(const World& w) {
  return !device_text(w.device, CL_DEVICE_IL_VERSION).empty();
}

USE(clCreateProgramWithIL, refused_where_the_device_takes_none) {
  if (takes_il(w)) throw Skip("the device takes an intermediate language");
  cl_int e = 1;
  CODE(creation_code(clCreateProgramWithIL(w.ctx, "\x03\x02\x23\x07", 4, &e), e),
       CL_INVALID_OPERATION);
}
TABLE_FAULT_NEW(clCreateProgramWithIL, null_context, CL_INVALID_CONTEXT, (nullptr, "abcd", 4, &e))
FAULT_NEW(clCreateProgramWithIL, null_il,
          (takes_il(w) ? Want(CL_INVALID_VALUE) : ANY(CL_INVALID_VALUE, CL_INVALID_OPERATION)),
          (w.ctx, nullptr, 4, &e))
FAULT_NEW(clCreateProgramWithIL, no_bytes,
          (takes_il(w) ? Want(CL_INVALID_VALUE) : ANY(CL_INVALID_VALUE, CL_INVALID_OPERATION)),
          (w.ctx, "abcd", 0, &e))

USE(clRetainProgram, counts) {
  Program made = from_source(w, kFill);
  OK(clRetainProgram(made));
  SAME(reference_count(clGetProgramInfo, cl_program(made), CL_PROGRAM_REFERENCE_COUNT), 2u);
  OK(clReleaseProgram(made));
  SAME(reference_count(clGetProgramInfo, cl_program(made), CL_PROGRAM_REFERENCE_COUNT), 1u);
}
TABLE_FAULT(clRetainProgram, null_program, CL_INVALID_PROGRAM, (nullptr))
FAULT(clRetainProgram, wrong_kind, CL_INVALID_PROGRAM, (as<cl_program>(w.queue)))
USE(clReleaseProgram, before_its_kernel_runs) {
  Program made = new_program(w, kFill);
  Kernel kernel = new_kernel(made, "fill");
  made.reset();
  const cl_int v = 17;
  OK(clSetKernelArg(kernel, 0, sizeof(cl_mem), w.dst.at()));
  OK(clSetKernelArg(kernel, 1, sizeof v, &v));
  const std::size_t items = 8;
  OK(clEnqueueNDRangeKernel(w.queue, kernel, 1, nullptr, &items, nullptr, 0, nullptr, nullptr));
  SAME(read_all<cl_int>(w, w.dst, items)[7], 17);
}
TABLE_FAULT(clReleaseProgram, null_program, CL_INVALID_PROGRAM, (nullptr))
FAULT(clReleaseProgram, wrong_kind, CL_INVALID_PROGRAM, (as<cl_program>(w.ctx)))

USE(clBuildProgram, options_reach_the_compiler) {
  Program made =
      new_program(w, "kernel void fill(global int* p, int v) { p[get_global_id(0)] = v * FACTOR; }",
                  "-DFACTOR=3 -cl-fast-relaxed-math");
  SAME(value_it_fills(w, made), 123);
  SAME(build_text(w, made, CL_PROGRAM_BUILD_OPTIONS),
       std::string("-DFACTOR=3 -cl-fast-relaxed-math"));
  SAME(build_fact<cl_build_status>(w, made, CL_PROGRAM_BUILD_STATUS),
       cl_build_status{CL_BUILD_SUCCESS});
}
USE(clBuildProgram, again_with_other_options) {
  Program made =
      from_source(w, "kernel void fill(global int* p, int v) { p[get_global_id(0)] = v * N; }");
  OK(clBuildProgram(made, 0, nullptr, "-DN=1", nullptr, nullptr));
  OK(clBuildProgram(made, 0, nullptr, "-DN=2", nullptr, nullptr));
  SAME(value_it_fills(w, made), 82);
}

struct Built {
  std::atomic<int> calls{0};
  std::atomic<cl_program> program{nullptr};
};
void CL_CALLBACK note_build(cl_program program, void* user) {
  auto* built = static_cast<Built*>(user);
  built->program = program;
  built->calls += 1;
}
void wait_for_call(const Built& built) {
  for (int i = 0; i < 10000 && built.calls == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  SAME(built.calls.load(), 1);
}

USE(clBuildProgram, tells_its_callback) {
  Program made = from_source(w, kFill);
  Built built;
  OK(clBuildProgram(made, 0, nullptr, "", note_build, &built));
  wait_for_call(built);
  SAME(built.program.load(), cl_program(made));
  SAME(value_it_fills(w, made), 41);
}
USE(clBuildProgram, tells_its_callback_of_a_failure) {
  Program made = from_source(w, "kernel void broken(");
  Built built;
  CODE(clBuildProgram(made, 0, nullptr, "", note_build, &built),
       ANY(CL_SUCCESS, CL_BUILD_PROGRAM_FAILURE));
  wait_for_call(built);
  SAME(build_fact<cl_build_status>(w, made, CL_PROGRAM_BUILD_STATUS),
       cl_build_status{CL_BUILD_ERROR});
}
FAULT_BODY(clBuildProgram, broken_source_has_a_log) {
  Program made = from_source(w, "kernel void broken(global int* p) { p[0] = no_such_name; }");
  CODE(clBuildProgram(made, 0, nullptr, "", nullptr, nullptr), CL_BUILD_PROGRAM_FAILURE);
  SAME(build_fact<cl_build_status>(w, made, CL_PROGRAM_BUILD_STATUS),
       cl_build_status{CL_BUILD_ERROR});
  THAT(build_text(w, made, CL_PROGRAM_BUILD_LOG).find("no_such_name") != std::string::npos);
}
TABLE_FAULT(clBuildProgram, null_program, CL_INVALID_PROGRAM,
            (nullptr, 0, nullptr, "", nullptr, nullptr))
FAULT(clBuildProgram, wrong_kind, CL_INVALID_PROGRAM,
      (as<cl_program>(w.ctx), 0, nullptr, "", nullptr, nullptr))
FAULT_BODY(clBuildProgram, count_without_list) {
  Program made = from_source(w, kFill);
  CODE(clBuildProgram(made, 1, nullptr, "", nullptr, nullptr), CL_INVALID_VALUE);
}
FAULT_BODY(clBuildProgram, list_without_count) {
  Program made = from_source(w, kFill);
  CODE(clBuildProgram(made, 0, &w.device, "", nullptr, nullptr), CL_INVALID_VALUE);
}
FAULT_BODY(clBuildProgram, null_device) {
  Program made = from_source(w, kFill);
  const cl_device_id none = nullptr;
  CODE(clBuildProgram(made, 1, &none, "", nullptr, nullptr), CL_INVALID_DEVICE);
}
FAULT_BODY(clBuildProgram, user_data_without_function) {
  Program made = from_source(w, kFill);
  CODE(clBuildProgram(made, 0, nullptr, "", nullptr, &made), CL_INVALID_VALUE);
}
FAULT_BODY(clBuildProgram, unknown_option) {
  Program made = from_source(w, kFill);
  CODE(clBuildProgram(made, 0, nullptr, "-cl-no-such-option", nullptr, nullptr),
       CL_INVALID_BUILD_OPTIONS);
}
FAULT_BODY(clBuildProgram, while_a_kernel_is_attached) {
  Program made = new_program(w, kFill);
  Kernel kernel = new_kernel(made, "fill");
  CODE(clBuildProgram(made, 0, nullptr, "", nullptr, nullptr), CL_INVALID_OPERATION);
}

}  // namespace
}  // namespace tessera::conformance

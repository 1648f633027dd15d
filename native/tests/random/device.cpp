// SPDX-License-Identifier: Apache-2.0
#include "tests/random/device.h"

namespace tessera::random {
namespace {

// One work item does all, so that the embedded device compiles each kernel once.
constexpr const char* kSource = R"(
#define COMPUTE(to)                                                        \
  {                                                                        \
    uint z = spin;                                                         \
    for (uint j = 0; j < spin; ++j) z = z * 1664525u + 1013904223u;        \
    if (z == 77u && n == 0u) to = z;                                       \
  }
kernel void add(global uint *to, uint to_at, uint n, uint value, uint spin) {
  COMPUTE(to[0])
  for (uint i = 0; i < n; ++i) to[to_at + i] += value;
}
kernel void mix_in(global const uint *from, uint from_at, global uint *to, uint to_at, uint n,
                   uint value, uint spin) {
  COMPUTE(to[0])
  for (uint i = 0; i < n; ++i) to[to_at + i] += from[from_at + i] * value;
}
kernel void say(global uint *to, uint to_at, uint n, uint value, uint spin) {
  COMPUTE(to[0])
  to[to_at] += value;
  printf("%08x\n", value);
}
kernel void image_add(read_only image2d_t from, write_only image2d_t to, uint value, uint spin) {
  const sampler_t plain = CLK_NORMALIZED_COORDS_FALSE | CLK_ADDRESS_NONE | CLK_FILTER_NEAREST;
  uint n = 1;
  uint kept = 0;
  COMPUTE(kept)
  const int2 size = get_image_dim(to);
  for (int y = 0; y < size.y; ++y) {
    for (int x = 0; x < size.x; ++x) {
      const int2 at = (int2)(x, y);
      write_imageui(to, at, (read_imageui(from, plain, at) + value + kept) & 255u);
    }
  }
}
)";

Device make() {
  Device d;
  cl_int code = CL_SUCCESS;
  OK(clGetPlatformIDs(1, &d.platform, nullptr));
  OK(clGetDeviceIDs(d.platform, CL_DEVICE_TYPE_ALL, 1, &d.id, nullptr));
  d.context = clCreateContext(nullptr, 1, &d.id, nullptr, nullptr, &code);
  expect_code(code, CL_SUCCESS, "clCreateContext");
  const char* source = kSource;
  d.program = clCreateProgramWithSource(d.context, 1, &source, nullptr, &code);
  expect_code(code, CL_SUCCESS, "clCreateProgramWithSource");
  OK(clBuildProgram(d.program, 1, &d.id, "", nullptr, nullptr));
  return d;
}

}  // namespace

CallFailed::CallFailed(const std::string& call, cl_int got, cl_int want)
    : std::runtime_error(call + " gave " + std::to_string(got) + ", not " + std::to_string(want)) {}

void expect_code(cl_int got, cl_int want, const char* call) {
  if (got != want) throw CallFailed(call, got, want);
}

Device& Device::get() {
  static Device device = make();
  return device;
}

const char* kernel_name(KernelKind kind) {
  switch (kind) {
    case KernelKind::add:
      return "add";
    case KernelKind::mix:
      return "mix_in";
    case KernelKind::say:
      return "say";
    case KernelKind::image_add:
      return "image_add";
  }
  return "";
}

void rebuild(const Device& device, unsigned variant) {
  const std::string source =
      "kernel void other(global uint *a) { a[0] += " + std::to_string(variant % 4) + "u; }";
  const char* text = source.c_str();
  cl_int code = CL_SUCCESS;
  cl_program program = clCreateProgramWithSource(device.context, 1, &text, nullptr, &code);
  expect_code(code, CL_SUCCESS, "clCreateProgramWithSource");
  OK(clBuildProgram(program, 1, &device.id, "", nullptr, nullptr));
  OK(clBuildProgram(program, 1, &device.id, "", nullptr, nullptr));
  cl_kernel kernel = clCreateKernel(program, "other", &code);
  expect_code(code, CL_SUCCESS, "clCreateKernel");
  OK(clReleaseKernel(kernel));
  OK(clReleaseProgram(program));
}

}  // namespace tessera::random

// SPDX-License-Identifier: Apache-2.0
//
// The pure parts of programs, kernels and images: what decides which bytes reach the driver.
#include <map>

#include "check.h"
#include "opencl/worker/image_shape.h"
#include "opencl/worker/kernel_facts.h"
#include "opencl/worker/nd_range.h"
#include "opencl/worker/probe_json.h"
#include "opencl/worker/program_options.h"

namespace tessera::test {
namespace {

using worker::ArgFacts;
using worker::Probe;

constexpr std::uint64_t kMaxParameter = 1024;

// A driver that answers by tables; what is in none is CL_INVALID_ARG_SIZE.
Probe driver(std::map<std::size_t, cl_int> zeros, std::map<std::size_t, cl_int> null,
             cl_int buffer = CL_INVALID_ARG_VALUE) {
  const auto answer = [](const std::map<std::size_t, cl_int>& table, std::size_t size) {
    const auto at = table.find(size);
    return at == table.end() ? cl_int{CL_INVALID_ARG_SIZE} : at->second;
  };
  return {[zeros, answer](std::size_t size) { return answer(zeros, size); },
          [null, answer](std::size_t size) { return answer(null, size); },
          [buffer] { return buffer; }};
}

// As PoCL does for a type that it does not know.
Probe takes_everything() {
  return {[](std::size_t) { return cl_int{CL_SUCCESS}; },
          [](std::size_t) { return cl_int{CL_INVALID_ARG_VALUE}; },
          [] { return cl_int{CL_SUCCESS}; }};
}

ArgFacts classified(const std::string& type, cl_kernel_arg_address_qualifier address,
                    const Probe& probe,
                    cl_kernel_arg_access_qualifier access = CL_KERNEL_ARG_ACCESS_NONE) {
  ArgFacts arg;
  arg.type_name = type;
  arg.address = address;
  arg.access = access;
  worker::classify(arg, true, probe, kMaxParameter);
  return arg;
}

void scalars() {
  CHECK(worker::scalar_size("int") == 4);
  CHECK(worker::scalar_size("float3") == 16);
  CHECK(worker::scalar_size("ulong16") == 128);
  CHECK(worker::scalar_size("unsigned int") == 4);
  CHECK(worker::scalar_size("int5") == 0);
  CHECK(worker::scalar_size("integer") == 0);
  CHECK(worker::scalar_size("sampler_t") == 0);
}

void described_arguments() {
  const Probe exact8 = driver({{8, CL_SUCCESS}}, {});
  CHECK(classified("float*", CL_KERNEL_ARG_ADDRESS_GLOBAL, exact8).kind == ArgKind::buffer);
  CHECK(classified("float*", CL_KERNEL_ARG_ADDRESS_CONSTANT, exact8).kind == ArgKind::buffer);
  CHECK(classified("float*", CL_KERNEL_ARG_ADDRESS_LOCAL, exact8).kind == ArgKind::local);
  CHECK(classified("image2d_t", CL_KERNEL_ARG_ADDRESS_GLOBAL, exact8).kind == ArgKind::image);
  CHECK(classified("hidden", CL_KERNEL_ARG_ADDRESS_GLOBAL, exact8, CL_KERNEL_ARG_ACCESS_READ_ONLY)
            .kind == ArgKind::image);
  CHECK(classified("sampler_t", CL_KERNEL_ARG_ADDRESS_PRIVATE, exact8).kind == ArgKind::sampler);
  const ArgFacts number = classified("int", CL_KERNEL_ARG_ADDRESS_PRIVATE, takes_everything());
  CHECK(number.kind == ArgKind::value && number.size == 4);
  const ArgFacts structure =
      classified("particle", CL_KERNEL_ARG_ADDRESS_PRIVATE, driver({{20, CL_SUCCESS}}, {}));
  CHECK(structure.kind == ArgKind::value && structure.size == 20);
  const ArgFacts any = classified("particle", CL_KERNEL_ARG_ADDRESS_PRIVATE, takes_everything());
  CHECK(any.kind == ArgKind::value && any.size == 0);
}

// A handle is no value, whatever the source calls its type.
void hidden_handles() {
  const Probe takes_null = driver({{8, CL_SUCCESS}}, {{8, CL_SUCCESS}});
  CHECK(classified("number_t", CL_KERNEL_ARG_ADDRESS_PRIVATE, takes_null).kind == ArgKind::sampler);
  const Probe refuses_zero = driver({{8, CL_INVALID_SAMPLER}}, {});
  CHECK(classified("number_t", CL_KERNEL_ARG_ADDRESS_PRIVATE, refuses_zero).kind ==
        ArgKind::sampler);
  CHECK(classified("queue_t", CL_KERNEL_ARG_ADDRESS_PRIVATE, takes_null).kind == ArgKind::unknown);
}

void undescribed_arguments() {
  const auto kind = [](const Probe& probe) {
    ArgFacts arg;
    worker::classify(arg, false, probe, kMaxParameter);
    return arg.kind;
  };
  CHECK(kind(driver({}, {{24, CL_SUCCESS}, {8, CL_SUCCESS}})) == ArgKind::local);
  CHECK(kind(driver({{8, CL_SUCCESS}}, {{8, CL_SUCCESS}})) == ArgKind::buffer);
  CHECK(kind(driver({{8, CL_INVALID_MEM_OBJECT}}, {})) == ArgKind::image);
  CHECK(kind(driver({{8, CL_INVALID_SAMPLER}}, {})) == ArgKind::sampler);
  CHECK(kind(driver({{4, CL_SUCCESS}}, {})) == ArgKind::value);
  // Eight bytes could be a handle all the same, unless any eight bytes are taken.
  CHECK(kind(driver({{8, CL_SUCCESS}}, {})) == ArgKind::unknown);
  CHECK(kind(driver({{8, CL_SUCCESS}}, {}, CL_SUCCESS)) == ArgKind::value);
  CHECK(kind(takes_everything()) == ArgKind::unknown);
}

void values() {
  ArgFacts arg;
  const auto check = [&](std::uint64_t bytes) {
    return worker::check_value(arg, bytes, kMaxParameter);
  };
  for (const ArgKind kind : {ArgKind::buffer, ArgKind::local, ArgKind::image, ArgKind::sampler}) {
    arg.kind = kind;
    CHECK(check(8) == CL_INVALID_ARG_VALUE);
    CHECK(check(4) == CL_INVALID_ARG_VALUE);
  }
  arg.kind = ArgKind::unknown;
  CHECK(check(8) == CL_INVALID_ARG_VALUE);
  CHECK(check(4) == CL_SUCCESS);
  arg.kind = ArgKind::value;
  CHECK(check(0) == CL_INVALID_ARG_SIZE);
  CHECK(check(kMaxParameter) == CL_SUCCESS);
  CHECK(check(kMaxParameter + 1) == CL_INVALID_ARG_SIZE);
  arg.size = 16;
  arg.type_name = "float3";
  CHECK(check(16) == CL_SUCCESS);
  CHECK(check(12) == CL_SUCCESS);
  CHECK(check(8) == CL_INVALID_ARG_SIZE);
}

void options() {
  const auto passed = [](std::string_view text) { return worker::options_for_driver(text); };
  CHECK(passed("") == "");
  CHECK(passed("-cl-std=CL3.0  -D N=3") == "-cl-std=CL3.0 -D N=3");
  CHECK(passed("-DTEXT='a b'") == "-DTEXT='a b'");
  CHECK(passed("-I /usr/include -I/opt -I . -Iinclude -I \"a b\" -w") == "-w");
  CHECK(passed("-create-library") == "-create-library");
  CHECK(worker::with_kernel_arg_info("") == "-cl-kernel-arg-info");
  CHECK(worker::with_kernel_arg_info("-w") == "-w -cl-kernel-arg-info");
  CHECK(worker::with_kernel_arg_info("-cl-kernel-arg-info -w") == "-cl-kernel-arg-info -w");
  for (const char* refused :
       {"-include /etc/passwd", "-Xclang -load", "-o /tmp/x", "--sysroot=/", "-fplugin=x.so",
        "-isystem /", "@file", "-Wa,--listing", "-Wl,-o", "-D", "-I", "-x c", "-DX='open",
        "source.cl", "\"-include\" /etc/passwd"}) {
    CHECK(!passed(refused));
  }
}

void nd_ranges() {
  wire::EnqueueNdRange m;
  m.work_dim = 2;
  m.global = {64, 64, 0};
  CHECK(worker::check_nd_range(m, 256) == CL_SUCCESS);
  m.work_dim = 0;
  CHECK(worker::check_nd_range(m, 256) == CL_INVALID_WORK_DIMENSION);
  m.work_dim = 4;
  CHECK(worker::check_nd_range(m, 256) == CL_INVALID_WORK_DIMENSION);
  m.work_dim = 3;
  m.global = {UINT64_MAX, 2, 1};
  CHECK(worker::check_nd_range(m, 256) == CL_INVALID_GLOBAL_WORK_SIZE);
  m.global = {8, 8, 8};
  m.given = worker::kOffsetGiven;
  m.offset = {UINT64_MAX, 0, 0};
  CHECK(worker::check_nd_range(m, 256) == CL_INVALID_GLOBAL_OFFSET);
  m.given = worker::kLocalGiven;
  m.local = {8, 0, 1};
  CHECK(worker::check_nd_range(m, 256) == CL_INVALID_WORK_GROUP_SIZE);
  m.local = {8, 8, 8};
  CHECK(worker::check_nd_range(m, 256) == CL_INVALID_WORK_GROUP_SIZE);
  CHECK(worker::check_nd_range(m, 512) == CL_SUCCESS);
  m.local = {UINT64_MAX, UINT64_MAX, 2};
  CHECK(worker::check_nd_range(m, 512) == CL_INVALID_WORK_GROUP_SIZE);
}

void images() {
  wire::CreateImage m;
  m.channel_order = CL_RGBA;
  m.channel_type = CL_FLOAT;
  m.image_type = CL_MEM_OBJECT_IMAGE2D_ARRAY;
  m.extent = {4, 5, 0};
  m.array_size = 3;
  worker::MemShape shape;
  CHECK(worker::shape_of(m, shape) == CL_SUCCESS);
  CHECK(shape.element == 16 && shape.size == 16 * 4 * 5 * 3);
  CHECK((shape.pixels == std::array<std::uint64_t, 3>{4, 5, 3}));
  m.extent = {UINT64_MAX, UINT64_MAX, 0};
  CHECK(worker::shape_of(m, shape) == CL_INVALID_IMAGE_DESCRIPTOR);
  m.image_type = CL_MEM_OBJECT_BUFFER;
  CHECK(worker::shape_of(m, shape) == CL_INVALID_IMAGE_DESCRIPTOR);
  m.channel_order = 1;
  CHECK(worker::shape_of(m, shape) == CL_INVALID_IMAGE_FORMAT_DESCRIPTOR);
  CHECK(worker::pixel_bytes(CL_RGB, CL_UNORM_INT_101010) == 4);
  CHECK(worker::pixel_bytes(CL_RG, CL_HALF_FLOAT) == 4);
}

void json() {
  using probe::json_string;
  CHECK(json_string("a \"b\" \\") == R"("a \"b\" \\")");
  CHECK(json_string("\n\x01") == R"("\u000a\u0001")");
  CHECK(json_string("caf\xc3\xa9") == "\"caf\xc3\xa9\"");
  CHECK(json_string("\xc3") == "\"\xef\xbf\xbd\"");
  CHECK(json_string("\xed\xa0\x80x") == "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx\"");
  CHECK(json_string(std::string_view("cut\0off", 7)) == "\"cut\"");
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  scalars();
  described_arguments();
  hidden_handles();
  undescribed_arguments();
  values();
  options();
  nd_ranges();
  images();
  json();
}

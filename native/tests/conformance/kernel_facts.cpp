// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

template <class T>
T group_fact(const World& w, cl_kernel kernel, cl_kernel_work_group_info what) {
  T value{};
  OK(clGetKernelWorkGroupInfo(kernel, w.device, what, sizeof value, &value, nullptr));
  return value;
}

USE(clGetKernelWorkGroupInfo, every_parameter) {
  check_info(
      [&](cl_uint what, std::size_t n, void* to, std::size_t* size) {
        return clGetKernelWorkGroupInfo(w.add_one, w.device, what, n, to, size);
      },
      {{CL_KERNEL_WORK_GROUP_SIZE, 8},
       {CL_KERNEL_COMPILE_WORK_GROUP_SIZE, 24},
       {CL_KERNEL_LOCAL_MEM_SIZE, 8},
       {CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE, 8},
       {CL_KERNEL_PRIVATE_MEM_SIZE, 8}});
  THAT(group_fact<std::size_t>(w, w.add_one, CL_KERNEL_WORK_GROUP_SIZE) <=
       device_fact<std::size_t>(w, CL_DEVICE_MAX_WORK_GROUP_SIZE));
}
USE(clGetKernelWorkGroupInfo, device_may_be_left_out) {
  std::size_t size = 0;
  OK(clGetKernelWorkGroupInfo(w.add_one, nullptr, CL_KERNEL_WORK_GROUP_SIZE, sizeof size, &size,
                              nullptr));
  SAME(size, group_fact<std::size_t>(w, w.add_one, CL_KERNEL_WORK_GROUP_SIZE));
}
USE(clGetKernelWorkGroupInfo, required_group) {
  Program program = new_program(w,
                                "__attribute__((reqd_work_group_size(4, 2, 1))) kernel void "
                                "fixed(global int* p) { *p = 1; }");
  Kernel kernel = new_kernel(program, "fixed");
  const auto sizes =
      group_fact<std::array<std::size_t, 3>>(w, kernel, CL_KERNEL_COMPILE_WORK_GROUP_SIZE);
  THAT((sizes == std::array<std::size_t, 3>{4, 2, 1}));
}
USE(clGetKernelWorkGroupInfo, local_memory_grows_with_the_argument) {
  Program program =
      new_program(w, "kernel void l(global int* p, local int* t) { t[0] = 1; p[0] = t[0]; }");
  Kernel kernel = new_kernel(program, "l");
  const auto before = group_fact<cl_ulong>(w, kernel, CL_KERNEL_LOCAL_MEM_SIZE);
  OK(clSetKernelArg(kernel, 1, 512, nullptr));
  THAT(group_fact<cl_ulong>(w, kernel, CL_KERNEL_LOCAL_MEM_SIZE) >= before + 512);
}
TABLE_FAULT(clGetKernelWorkGroupInfo, null_kernel, CL_INVALID_KERNEL,
            (nullptr, w.device, CL_KERNEL_WORK_GROUP_SIZE, 0, nullptr, nullptr))
FAULT(clGetKernelWorkGroupInfo, unknown_parameter, CL_INVALID_VALUE,
      (w.add_one, w.device, 0x1, 0, nullptr, nullptr))
FAULT_BODY(clGetKernelWorkGroupInfo, global_size_of_an_ordinary_kernel) {
  std::size_t sizes[3];
  CODE(clGetKernelWorkGroupInfo(w.add_one, w.device, CL_KERNEL_GLOBAL_WORK_SIZE, sizeof sizes,
                                sizes, nullptr),
       CL_INVALID_VALUE);
}
FAULT(clGetKernelWorkGroupInfo, wrong_kind, CL_INVALID_KERNEL,
      (as<cl_kernel>(w.ctx), w.device, CL_KERNEL_WORK_GROUP_SIZE, 0, nullptr, nullptr))

bool has_subgroups(const World& w) {
  return device_fact<cl_uint>(w, CL_DEVICE_MAX_NUM_SUB_GROUPS) != 0;
}
Want unless_without_subgroups(const World& w, cl_int code) {
  return has_subgroups(w) ? Want(code) : Want{code, CL_INVALID_OPERATION};
}
constexpr std::size_t kGroup[3] = {8, 1, 1};

USE(clGetKernelSubGroupInfo, answers_or_says_there_are_none) {
  std::size_t value = 0;
  CODE(clGetKernelSubGroupInfo(w.add_one, w.device, CL_KERNEL_MAX_SUB_GROUP_SIZE_FOR_NDRANGE,
                               sizeof kGroup, kGroup, sizeof value, &value, nullptr),
       unless_without_subgroups(w, CL_SUCCESS));
}
TABLE_FAULT(clGetKernelSubGroupInfo, null_kernel, unless_without_subgroups(w, CL_INVALID_KERNEL),
            (nullptr, w.device, CL_KERNEL_MAX_SUB_GROUP_SIZE_FOR_NDRANGE, sizeof kGroup, kGroup, 0,
             nullptr, nullptr))
FAULT(clGetKernelSubGroupInfo, unknown_parameter, unless_without_subgroups(w, CL_INVALID_VALUE),
      (w.add_one, w.device, 0x1, sizeof kGroup, kGroup, 0, nullptr, nullptr))
USE(clGetKernelSubGroupInfoKHR, answers_or_says_there_are_none) {
  require_entry(w, w.table->clGetKernelSubGroupInfoKHR != nullptr, "clGetKernelSubGroupInfoKHR");
  std::size_t value = 0;
  CODE(w.table->clGetKernelSubGroupInfoKHR(w.add_one, w.device,
                                           CL_KERNEL_MAX_SUB_GROUP_SIZE_FOR_NDRANGE, sizeof kGroup,
                                           kGroup, sizeof value, &value, nullptr),
       unless_without_subgroups(w, CL_SUCCESS));
}
TABLE_FAULT(clGetKernelSubGroupInfoKHR, null_kernel, unless_without_subgroups(w, CL_INVALID_KERNEL),
            (nullptr, w.device, CL_KERNEL_MAX_SUB_GROUP_SIZE_FOR_NDRANGE, sizeof kGroup, kGroup, 0,
             nullptr, nullptr))

USE(clCloneKernel, carries_the_arguments) {
  zero(w, w.dst, kBytes);
  Kernel first = new_kernel(w.program, "add_one");
  OK(clSetKernelArg(first, 0, sizeof(cl_mem), w.dst.at()));
  cl_int e = 1;
  Kernel second(clCloneKernel(first, &e));
  OK(e);
  OK(clSetKernelArg(first, 0, sizeof(cl_mem), w.buf.at()));
  first.reset();
  const std::size_t items = 16;
  OK(clEnqueueNDRangeKernel(w.queue, second, 1, nullptr, &items, nullptr, 0, nullptr, nullptr));
  SAME(read_all<cl_int>(w, w.dst, 16)[15], 1);
  SAME(reference_count(clGetKernelInfo, cl_kernel(second), CL_KERNEL_REFERENCE_COUNT), 1u);
}
TABLE_FAULT_NEW(clCloneKernel, null_kernel, CL_INVALID_KERNEL, (nullptr, &e))
FAULT_NEW(clCloneKernel, wrong_kind, CL_INVALID_KERNEL, (as<cl_kernel>(w.ctx), &e))

}  // namespace
}  // namespace tessera::conformance

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "tests/conformance/device_params.h"
#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

cl_device_type other_type(const World& w) {
  const auto type = device_fact<cl_device_type>(w, CL_DEVICE_TYPE);
  return (type & CL_DEVICE_TYPE_CPU) != 0 ? CL_DEVICE_TYPE_ACCELERATOR : CL_DEVICE_TYPE_CPU;
}

USE(clGetDeviceIDs, of_every_kind) {
  for (const cl_device_type type :
       {device_fact<cl_device_type>(w, CL_DEVICE_TYPE) & 0xEul,
        cl_device_type{CL_DEVICE_TYPE_DEFAULT}, cl_device_type{CL_DEVICE_TYPE_ALL}}) {
    cl_uint count = 0;
    OK(clGetDeviceIDs(w.platform, type, 0, nullptr, &count));
    THAT(count >= 1);
    std::vector<cl_device_id> list(count);
    OK(clGetDeviceIDs(w.platform, type, count, list.data(), nullptr));
    THAT(std::find(list.begin(), list.end(), w.device) != list.end());
  }
}
FAULT_BODY(clGetDeviceIDs, none_of_that_type) {
  cl_uint count = 0;
  CODE(clGetDeviceIDs(w.platform, other_type(w), 0, nullptr, &count), CL_DEVICE_NOT_FOUND);
}
FAULT(clGetDeviceIDs, bad_type, CL_INVALID_DEVICE_TYPE,
      (w.platform, 1u << 20, 1, &w.device, nullptr))
FAULT(clGetDeviceIDs, zero_type, CL_INVALID_DEVICE_TYPE, (w.platform, 0, 1, &w.device, nullptr))
FAULT(clGetDeviceIDs, list_without_room, CL_INVALID_VALUE,
      (w.platform, CL_DEVICE_TYPE_ALL, 0, &w.device, nullptr))
FAULT(clGetDeviceIDs, nothing_asked, CL_INVALID_VALUE,
      (w.platform, CL_DEVICE_TYPE_ALL, 0, nullptr, nullptr))
FAULT(clGetDeviceIDs, wrong_kind, CL_INVALID_PLATFORM,
      (as<cl_platform_id>(w.ctx), CL_DEVICE_TYPE_ALL, 1, &w.device, nullptr))

USE(clGetDeviceInfo, every_parameter) {
  for (const DeviceParam& param : device_params()) {
    try {
      check_info([&](cl_uint what, std::size_t n, void* to,
                     std::size_t* size) { return clGetDeviceInfo(w.device, what, n, to, size); },
                 {{param.name, param.size}});
    } catch (const Failure& failure) {
      throw Failure(failure.what(), "the standard's answer", param.text);
    }
  }
}
USE(clGetDeviceInfo, consistent) {
  SAME(device_fact<cl_platform_id>(w, CL_DEVICE_PLATFORM), w.platform);
  SAME(device_fact<cl_device_id>(w, CL_DEVICE_PARENT_DEVICE), static_cast<cl_device_id>(nullptr));
  SAME(device_fact<cl_uint>(w, CL_DEVICE_REFERENCE_COUNT), 1u);
  SAME(device_text(w.device, CL_DEVICE_VERSION).substr(0, 10), std::string("OpenCL 3.0"));
  SAME(device_text(w.device, CL_DEVICE_PROFILE), std::string("FULL_PROFILE"));
  THAT(device_fact<cl_ulong>(w, CL_DEVICE_MAX_MEM_ALLOC_SIZE) <=
       device_fact<cl_ulong>(w, CL_DEVICE_GLOBAL_MEM_SIZE));
  SAME(device_fact<cl_bool>(w, CL_DEVICE_AVAILABLE), CL_TRUE);
  std::size_t sizes[3] = {};
  OK(clGetDeviceInfo(w.device, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof sizes, sizes, nullptr));
  THAT(sizes[0] >= 1 && sizes[1] >= 1 && sizes[2] >= 1);
}
USE(clGetDeviceInfo, extensions_agree_with_versions) {
  const std::string text = device_text(w.device, CL_DEVICE_EXTENSIONS) + " ";
  std::size_t size = 0;
  OK(clGetDeviceInfo(w.device, CL_DEVICE_EXTENSIONS_WITH_VERSION, 0, nullptr, &size));
  std::vector<cl_name_version> list(size / sizeof(cl_name_version));
  OK(clGetDeviceInfo(w.device, CL_DEVICE_EXTENSIONS_WITH_VERSION, size, list.data(), nullptr));
  for (const auto& one : list) THAT(text.find(std::string(one.name) + " ") != std::string::npos);
}
USE(clGetDeviceInfo, room_larger_than_the_value) {
  cl_ulong room[4] = {~0ul, ~0ul, ~0ul, ~0ul};
  std::size_t size = 0;
  OK(clGetDeviceInfo(w.device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof room, room, &size));
  SAME(size, sizeof(cl_ulong));
  SAME(room[1], ~0ul);
}
TABLE_FAULT(clGetDeviceInfo, null_device, CL_INVALID_DEVICE,
            (nullptr, CL_DEVICE_NAME, 0, nullptr, nullptr))
FAULT(clGetDeviceInfo, unknown_parameter, CL_INVALID_VALUE, (w.device, 0x1, 0, nullptr, nullptr))
FAULT(clGetDeviceInfo, wrong_kind, CL_INVALID_DEVICE,
      (as<cl_device_id>(w.queue), CL_DEVICE_NAME, 0, nullptr, nullptr))

USE(clRetainDevice, of_a_root_device_changes_nothing) {
  OK(clRetainDevice(w.device));
  SAME(device_fact<cl_uint>(w, CL_DEVICE_REFERENCE_COUNT), 1u);
}
TABLE_FAULT(clRetainDevice, null_device, CL_INVALID_DEVICE, (nullptr))
USE(clReleaseDevice, of_a_root_device_changes_nothing) {
  OK(clReleaseDevice(w.device));
  OK(clReleaseDevice(w.device));
  SAME(device_fact<cl_uint>(w, CL_DEVICE_REFERENCE_COUNT), 1u);
}
TABLE_FAULT(clReleaseDevice, null_device, CL_INVALID_DEVICE, (nullptr))
FAULT(clReleaseDevice, wrong_kind, CL_INVALID_DEVICE, (as<cl_device_id>(w.queue)))

USE(clSetDefaultDeviceCommandQueue, refused_without_device_queues) {
  if (device_fact<cl_uint>(w, CL_DEVICE_MAX_ON_DEVICE_QUEUES) != 0) throw Skip("it has them");
  CODE(clSetDefaultDeviceCommandQueue(w.ctx, w.device, w.queue), CL_INVALID_OPERATION);
}
TABLE_FAULT(clSetDefaultDeviceCommandQueue, null_context,
            ANY(CL_INVALID_CONTEXT, CL_INVALID_OPERATION), (nullptr, w.device, w.queue))
TABLE_FAULT(clSetDefaultDeviceCommandQueue, null_device,
            ANY(CL_INVALID_DEVICE, CL_INVALID_OPERATION), (w.ctx, nullptr, w.queue))
TABLE_FAULT(clSetDefaultDeviceCommandQueue, null_queue,
            ANY(CL_INVALID_COMMAND_QUEUE, CL_INVALID_OPERATION), (w.ctx, w.device, nullptr))

}  // namespace
}  // namespace tessera::conformance

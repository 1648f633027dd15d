// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "tests/conformance/world.h"

namespace tessera::conformance {
namespace {

std::string platform_text(const World& w, cl_platform_info what) {
  std::size_t size = 0;
  OK(clGetPlatformInfo(w.platform, what, 0, nullptr, &size));
  std::string text(size, '\0');
  OK(clGetPlatformInfo(w.platform, what, size, text.data(), nullptr));
  return text.c_str();
}

USE(clGetPlatformIDs, count_and_list) {
  cl_uint count = 0;
  OK(clGetPlatformIDs(0, nullptr, &count));
  THAT(count >= 1);
  std::vector<cl_platform_id> list(count);
  OK(clGetPlatformIDs(count, list.data(), nullptr));
  for (const cl_platform_id one : list) THAT(one != nullptr);
}
USE(clGetPlatformIDs, one_platform_through_a_lease) {
  if (!w.tessera) throw Skip("no lease");
  cl_uint count = 0;
  OK(clGetPlatformIDs(0, nullptr, &count));
  SAME(count, 1u);
}
FAULT(clGetPlatformIDs, list_without_room, CL_INVALID_VALUE, (0, &w.platform, nullptr))
FAULT(clGetPlatformIDs, nothing_asked, CL_INVALID_VALUE, (0, nullptr, nullptr))
TABLE_FAULT(clGetPlatformIDs, driver_nothing_asked, CL_INVALID_VALUE, (0, nullptr, nullptr))

USE(clGetPlatformInfo, every_parameter) {
  check_info([&](cl_uint what, std::size_t n, void* to,
                 std::size_t* size) { return clGetPlatformInfo(w.platform, what, n, to, size); },
             {{CL_PLATFORM_PROFILE, 0},
              {CL_PLATFORM_VERSION, 0},
              {CL_PLATFORM_NUMERIC_VERSION, sizeof(cl_version)},
              {CL_PLATFORM_NAME, 0},
              {CL_PLATFORM_VENDOR, 0},
              {CL_PLATFORM_EXTENSIONS, 0},
              {CL_PLATFORM_EXTENSIONS_WITH_VERSION, 0},
              {CL_PLATFORM_HOST_TIMER_RESOLUTION, sizeof(cl_ulong)},
              {CL_PLATFORM_ICD_SUFFIX_KHR, 0}});
}
USE(clGetPlatformInfo, version_and_extensions) {
  SAME(platform_text(w, CL_PLATFORM_VERSION).substr(0, 11), std::string("OpenCL 3.0 "));
  THAT(platform_text(w, CL_PLATFORM_EXTENSIONS).find("cl_khr_icd") != std::string::npos);
  cl_version version = 0;
  OK(clGetPlatformInfo(w.platform, CL_PLATFORM_NUMERIC_VERSION, sizeof version, &version, nullptr));
  SAME(CL_VERSION_MAJOR(version), 3u);
}
USE(clGetPlatformInfo, extensions_agree_with_versions) {
  const std::string text = platform_text(w, CL_PLATFORM_EXTENSIONS) + " ";
  std::size_t size = 0;
  OK(clGetPlatformInfo(w.platform, CL_PLATFORM_EXTENSIONS_WITH_VERSION, 0, nullptr, &size));
  std::vector<cl_name_version> list(size / sizeof(cl_name_version));
  OK(clGetPlatformInfo(w.platform, CL_PLATFORM_EXTENSIONS_WITH_VERSION, size, list.data(),
                       nullptr));
  for (const auto& one : list) THAT(text.find(std::string(one.name) + " ") != std::string::npos);
}
FAULT(clGetPlatformInfo, unknown_parameter, CL_INVALID_VALUE,
      (w.platform, 0x1, 0, nullptr, nullptr))
FAULT(clGetPlatformInfo, wrong_kind, CL_INVALID_PLATFORM,
      (as<cl_platform_id>(w.queue), CL_PLATFORM_NAME, 0, nullptr, nullptr))

USE(clGetExtensionFunctionAddress, unknown_name) {
  SAME(clGetExtensionFunctionAddress("clNoSuchFunctionXYZ"), static_cast<void*>(nullptr));
}
USE(clGetExtensionFunctionAddress, icd_entry) {
  THAT(w.table->clGetExtensionFunctionAddress != nullptr);
  THAT(w.table->clGetExtensionFunctionAddress("clIcdGetPlatformIDsKHR") != nullptr);
}
USE(clGetExtensionFunctionAddressForPlatform, unknown_name) {
  SAME(clGetExtensionFunctionAddressForPlatform(w.platform, "clNoSuchFunctionXYZ"),
       static_cast<void*>(nullptr));
}
USE(clGetExtensionFunctionAddressForPlatform, icd_entry_lists_the_platform) {
  using IcdGet = cl_int (*)(cl_uint, cl_platform_id*, cl_uint*);
  void* address =
      w.table->clGetExtensionFunctionAddressForPlatform(w.platform, "clIcdGetPlatformIDsKHR");
  THAT(address != nullptr);
  cl_platform_id found = nullptr;
  OK(reinterpret_cast<IcdGet>(address)(1, &found, nullptr));
  SAME(found, w.platform);
}
FAULT_BODY(clGetExtensionFunctionAddressForPlatform, null_platform) {
  SAME(w.table->clGetExtensionFunctionAddressForPlatform(nullptr, "clNoSuchFunctionXYZ"),
       static_cast<void*>(nullptr));
}

USE(clUnloadPlatformCompiler, and_build_again) {
  OK(clUnloadPlatformCompiler(w.platform));
  new_program(w, "kernel void after_unload(global int* p) { *p = 7; }");
}
TABLE_FAULT(clUnloadPlatformCompiler, null_platform, CL_INVALID_PLATFORM, (nullptr))
USE(clUnloadCompiler, and_build_again) {
  require_entry(w, w.table->clUnloadCompiler != nullptr, "clUnloadCompiler");
  OK(w.table->clUnloadCompiler());
  new_program(w, "kernel void after_old_unload(global int* p) { *p = 8; }");
}

// A platform whose timer resolution is 0 has no timers and says so.
bool has_timers(const World& w) {
  cl_ulong resolution = 0;
  OK(clGetPlatformInfo(w.platform, CL_PLATFORM_HOST_TIMER_RESOLUTION, sizeof resolution,
                       &resolution, nullptr));
  return resolution != 0;
}
Want unless_without_timers(const World& w, cl_int code) {
  return has_timers(w) ? Want(code) : Want{code, CL_INVALID_OPERATION};
}

USE(clGetHostTimer, moves_forward) {
  cl_ulong first = 0, second = 0;
  if (!has_timers(w)) {
    CODE(clGetHostTimer(w.device, &first), CL_INVALID_OPERATION);
    return;
  }
  OK(clGetHostTimer(w.device, &first));
  OK(clGetHostTimer(w.device, &second));
  THAT(first > 0);
  THAT(second >= first);
}
TABLE_FAULT(clGetHostTimer, null_device, unless_without_timers(w, CL_INVALID_DEVICE),
            (nullptr, nullptr))
FAULT(clGetHostTimer, null_value, unless_without_timers(w, CL_INVALID_VALUE), (w.device, nullptr))

USE(clGetDeviceAndHostTimer, agrees_with_host_timer) {
  cl_ulong before = 0, device = 0, host = 0, after = 0;
  if (!has_timers(w)) {
    CODE(clGetDeviceAndHostTimer(w.device, &device, &host), CL_INVALID_OPERATION);
    return;
  }
  OK(clGetHostTimer(w.device, &before));
  OK(clGetDeviceAndHostTimer(w.device, &device, &host));
  OK(clGetHostTimer(w.device, &after));
  THAT(device > 0);
  THAT(before <= host);
  THAT(host <= after);
}
TABLE_FAULT(clGetDeviceAndHostTimer, null_device, unless_without_timers(w, CL_INVALID_DEVICE),
            (nullptr, nullptr, nullptr))
FAULT(clGetDeviceAndHostTimer, null_values, unless_without_timers(w, CL_INVALID_VALUE),
      (w.device, nullptr, nullptr))

}  // namespace
}  // namespace tessera::conformance

// SPDX-License-Identifier: Apache-2.0
//
// An announced extension is a promise to answer its queries: each is answered as the driver answers
// it, and what the driver leaves unanswered is not announced.
#include <CL/cl_ext.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "check.h"
#include "client/client_pair.h"
#include "opencl/client/extensions.h"
#include "opencl/extension_table.h"

namespace tessera::test {
namespace {

namespace api = client::entry;

std::vector<std::byte> answer(cl_device_id device, cl_device_info query) {
  std::size_t size = 0;
  CHECK(api::clGetDeviceInfo(device, query, 0, nullptr, &size) == CL_SUCCESS);
  std::vector<std::byte> value(size);
  CHECK(api::clGetDeviceInfo(device, query, size, value.data(), nullptr) == CL_SUCCESS);
  return value;
}

std::vector<std::byte> driver_answer(cl_device_id device, cl_device_info query) {
  std::size_t size = 0;
  CHECK(clGetDeviceInfo(device, query, 0, nullptr, &size) == CL_SUCCESS);
  std::vector<std::byte> value(size);
  CHECK(clGetDeviceInfo(device, query, size, value.data(), nullptr) == CL_SUCCESS);
  return value;
}

cl_device_id driver_device() {
  cl_platform_id platform = nullptr;
  cl_device_id device = nullptr;
  CHECK(clGetPlatformIDs(1, &platform, nullptr) == CL_SUCCESS);
  CHECK(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, nullptr) == CL_SUCCESS);
  return device;
}

std::set<std::string> announced(cl_device_id device) {
  const std::vector<std::byte> value = answer(device, CL_DEVICE_EXTENSIONS);
  std::string text(reinterpret_cast<const char*>(value.data()));
  std::set<std::string> names;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    names.insert(text.substr(0, end));
    text.erase(0, end + 1);
  }
  return names;
}

std::set<std::string> announced_with_version(cl_device_id device) {
  const std::vector<std::byte> value = answer(device, CL_DEVICE_EXTENSIONS_WITH_VERSION);
  std::vector<cl_name_version> entries(value.size() / sizeof(cl_name_version));
  std::memcpy(entries.data(), value.data(), value.size());
  std::set<std::string> names;
  for (const auto& entry : entries) names.insert(entry.name);
  return names;
}

void every_query_of_what_is_announced_is_answered() {
  ClientPair pair(TransportKind::shm);
  const cl_device_id driver = driver_device();
  const std::set<std::string> names = announced(pair.device());
  for (const char* name :
       {"cl_arm_core_id", "cl_ext_float_atomics", "cl_intel_device_attribute_query",
        "cl_intel_subgroups", "cl_intel_unified_shared_memory", "cl_khr_fp64",
        "cl_khr_pci_bus_info", "cl_khr_spir", "cl_khr_suggested_local_work_size"}) {
    CHECK(names.contains(name));
  }
  std::size_t asked = 0;
  for (const auto& each : extension::kAnnounceable) {
    if (!names.contains(std::string(each.name))) continue;
    if (each.name == "cl_intel_unified_shared_memory") continue;
    for (const cl_device_info query : each.asks) {
      CHECK(answer(pair.device(), query) == driver_answer(driver, query));
      ++asked;
    }
  }
  CHECK(asked >= 14);
  // Of a later revision, and this driver has it.
  CHECK(answer(pair.device(), 0x4108) == driver_answer(driver, 0x4108));
}

// Of unified memory only what the program does not look at: the device shares no pages with it.
void what_memory_cannot_be_shared_is_not_announced() {
  ClientPair pair(TransportKind::shm);
  const auto can = [&](cl_device_info query) {
    cl_device_unified_shared_memory_capabilities_intel value = 0;
    CHECK(api::clGetDeviceInfo(pair.device(), query, sizeof value, &value, nullptr) == CL_SUCCESS);
    return value;
  };
  CHECK(can(CL_DEVICE_DEVICE_MEM_CAPABILITIES_INTEL) == CL_UNIFIED_SHARED_MEMORY_ACCESS_INTEL);
  for (const cl_device_info query : {CL_DEVICE_HOST_MEM_CAPABILITIES_INTEL,
                                     CL_DEVICE_SINGLE_DEVICE_SHARED_MEM_CAPABILITIES_INTEL,
                                     CL_DEVICE_CROSS_DEVICE_SHARED_MEM_CAPABILITIES_INTEL,
                                     CL_DEVICE_SHARED_SYSTEM_MEM_CAPABILITIES_INTEL}) {
    CHECK(can(query) == 0);
  }
}

void what_is_not_answered_is_not_announced() {
  ClientPair pair(TransportKind::shm);
  for (const auto& names : {announced(pair.device()), announced_with_version(pair.device())}) {
    CHECK(names.contains("cl_khr_pci_bus_info"));
    CHECK(!names.contains("cl_khr_kernel_clock"));
    CHECK(names.contains("cl_khr_command_buffer"));
    CHECK(!names.contains("cl_khr_command_buffer_mutable_dispatch"));
  }
}

cl_version announced_version(cl_device_id device, const std::string& name) {
  return client::version_of(name, answer(device, CL_DEVICE_EXTENSIONS_WITH_VERSION));
}

// The driver has a later revision than what is carried.
void a_later_revision_is_announced_as_the_one_that_is_carried() {
  ClientPair pair(TransportKind::shm);
  CHECK(announced_version(pair.device(), "cl_khr_command_buffer") == CL_MAKE_VERSION(0, 9, 3));
  CHECK(announced_version(pair.device(), "cl_khr_fp64") == CL_MAKE_VERSION(3, 0, 0));
}

// Functions of the same names with other parameters, or nobody knows which.
void revisions_with_other_parameters_are_not_announced() {
  const auto facts_with = [](cl_version version) {
    cl_name_version entry{.version = version, .name = "cl_khr_command_buffer"};
    const auto bytes = std::as_bytes(std::span(&entry, 1));
    client::DeviceFacts facts;
    for (const cl_device_info query : extension::kCommandBuffers) facts[query] = {};
    if (version != 0) {
      facts[CL_DEVICE_EXTENSIONS_WITH_VERSION].assign(bytes.begin(), bytes.end());
    }
    return facts;
  };
  const auto passes = [&](cl_version version) {
    return client::extension_passes("cl_khr_command_buffer", facts_with(version));
  };
  CHECK(passes(CL_MAKE_VERSION(0, 9, 0)) && passes(CL_MAKE_VERSION(0, 9, 4)));
  CHECK(!passes(CL_MAKE_VERSION(0, 9, 5)) && !passes(CL_MAKE_VERSION(1, 0, 0)));
  CHECK(!passes(0));
}

// A program asks by name, and its own header says what the parameters are.
void functions_are_found_by_name() {
  ClientPair pair(TransportKind::shm);
  for (const char* name : {"clCreateCommandBufferKHR", "clCommandNDRangeKernelKHR",
                           "clEnqueueCommandBufferKHR", "clGetCommandBufferInfoKHR"}) {
    CHECK(api::clGetExtensionFunctionAddress(name) != nullptr);
  }
  CHECK(api::clGetExtensionFunctionAddress("clCommandSVMMemcpyKHR") == nullptr);
  CHECK(api::clGetExtensionFunctionAddress("clUpdateMutableCommandsKHR") == nullptr);
}

}  // namespace
}  // namespace tessera::test

int main() {
  tessera::test::every_query_of_what_is_announced_is_answered();
  tessera::test::what_memory_cannot_be_shared_is_not_announced();
  tessera::test::what_is_not_answered_is_not_announced();
  tessera::test::a_later_revision_is_announced_as_the_one_that_is_carried();
  tessera::test::revisions_with_other_parameters_are_not_announced();
  tessera::test::functions_are_found_by_name();
  return 0;
}

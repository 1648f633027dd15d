// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <span>

#include "opencl/null/device_memory.h"
#include "opencl/null/objects.h"

namespace tessera::null {
namespace {

constexpr cl_version kVersion = CL_MAKE_VERSION(3, 0, 0);
constexpr std::array kExtensionNames = {
    "cl_khr_icd",
    "cl_khr_byte_addressable_store",
    "cl_khr_global_int32_base_atomics",
    "cl_khr_fp64",
    // With queries outside of the core's numbers.
    "cl_arm_core_id",
    "cl_ext_float_atomics",
    "cl_intel_device_attribute_query",
    "cl_intel_subgroups",
    "cl_khr_pci_bus_info",
    "cl_khr_spir",
    // Announced, and its query is not answered.
    "cl_khr_kernel_clock",
    // Needs calls of its own.
    "cl_khr_command_buffer",
};

std::string extension_names() {
  std::string names;
  for (const char* name : kExtensionNames) names.append(names.empty() ? "" : " ").append(name);
  return names;
}

struct Host {
  _cl_platform_id platform;
  std::array<_cl_device_id, 2> all;
  std::span<_cl_device_id> devices;
  cl_device_type type;
};

Host& host() {
  static Host* const instance = [] {
    auto* const made = new Host;
    register_handle(&made->platform, Kind::platform);
    const bool gpu = has_device_memory();
    made->type = gpu ? CL_DEVICE_TYPE_GPU : CL_DEVICE_TYPE_ACCELERATOR;
    // As one that computes on the cores of the host.
    if (std::getenv("TESSERA_NULL_CPU") != nullptr) made->type = CL_DEVICE_TYPE_CPU;
    made->all[0].memory = gpu ? cl_ulong{kDeviceMemory} : cl_ulong{1} << 30;
    made->all[1].memory = cl_ulong{256} << 20;
    made->devices = std::span(made->all).first(gpu ? 1 : 2);
    for (std::size_t i = 0; i < made->devices.size(); ++i) {
      made->devices[i].index = i;
      register_handle(&made->devices[i], Kind::device);
    }
    return made;
  }();
  return *instance;
}

cl_name_version named(const char* name) {
  cl_name_version entry{};
  entry.version = kVersion;
  std::strncpy(entry.name, name, sizeof entry.name - 1);
  return entry;
}

std::vector<cl_name_version> extension_list() {
  std::vector<cl_name_version> list;
  for (const char* name : kExtensionNames) list.push_back(named(name));
  return list;
}

cl_int text_info(cl_device_id device, cl_device_info what, const Query& query) {
  switch (what) {
    case CL_DEVICE_NAME:
      return query.text("Null device " + std::to_string(device->index));
    case CL_DEVICE_VENDOR:
      return query.text("Tessera project");
    case CL_DRIVER_VERSION:
      return query.text("1.0");
    case CL_DEVICE_PROFILE:
      return query.text("FULL_PROFILE");
    case CL_DEVICE_VERSION:
      return query.text("OpenCL 3.0 null");
    case CL_DEVICE_OPENCL_C_VERSION:
      return query.text("OpenCL C 1.2 null");
    case CL_DEVICE_EXTENSIONS:
      return query.text(extension_names());
    case CL_DEVICE_SPIR_VERSIONS:
      return query.text("1.2");
    case CL_DEVICE_LATEST_CONFORMANCE_VERSION_PASSED:
    case CL_DEVICE_BUILT_IN_KERNELS:
    case CL_DEVICE_IL_VERSION:
      return query.text("");
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int list_info(cl_device_info what, const Query& query) {
  switch (what) {
    case CL_DEVICE_MAX_WORK_ITEM_SIZES:
      return query.list(std::vector<std::size_t>{1024, 1024, 64});
    case CL_DEVICE_PARTITION_PROPERTIES:
    case CL_DEVICE_PARTITION_TYPE:
      return query.list(std::vector<cl_device_partition_property>{0});
    case CL_DEVICE_EXTENSIONS_WITH_VERSION:
      return query.list(extension_list());
    case CL_DEVICE_ILS_WITH_VERSION:
    case CL_DEVICE_BUILT_IN_KERNELS_WITH_VERSION:
      return query.list(std::vector<cl_name_version>{});
    case CL_DEVICE_OPENCL_C_ALL_VERSIONS:
      return query.list(std::vector<cl_name_version>{named("OpenCL C")});
    case CL_DEVICE_OPENCL_C_FEATURES:
      return query.list(std::vector<cl_name_version>{named("__opencl_c_images")});
    default:
      return CL_INVALID_VALUE;
  }
}

// Of the extensions: each value is its query's number.
cl_int extension_info(cl_device_info what, const Query& query) {
  switch (what) {
    case 0x4231:  // CL_DEVICE_SINGLE_FP_ATOMIC_CAPABILITIES_EXT, _DOUBLE_, _HALF_
    case 0x4232:
    case 0x4233:
    case CL_DEVICE_COMPUTE_UNITS_BITFIELD_ARM:
    case CL_DEVICE_FEATURE_CAPABILITIES_INTEL:
      return query.one(cl_bitfield{what});
    case CL_DEVICE_IP_VERSION_INTEL:
    case CL_DEVICE_ID_INTEL:
    case CL_DEVICE_NUM_SLICES_INTEL:
    case CL_DEVICE_NUM_SUB_SLICES_PER_SLICE_INTEL:
    case CL_DEVICE_NUM_EUS_PER_SUB_SLICE_INTEL:
    case CL_DEVICE_NUM_THREADS_PER_EU_INTEL:
      return query.one(cl_uint{what});
    case 0x4108:  // CL_DEVICE_SUB_GROUP_SIZES_INTEL
      return query.list(std::vector<std::size_t>{8, 16});
    case CL_DEVICE_PCI_BUS_INFO_KHR:
      return query.one(cl_device_pci_bus_info_khr{1, 2, 3, 4});
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int size_info(cl_device_info what, const Query& query) {
  switch (what) {
    case CL_DEVICE_MAX_WORK_GROUP_SIZE:
    case CL_DEVICE_MAX_PARAMETER_SIZE:
      return query.one(std::size_t{1024});
    case CL_DEVICE_IMAGE2D_MAX_WIDTH:
    case CL_DEVICE_IMAGE2D_MAX_HEIGHT:
      return query.one(std::size_t{8192});
    case CL_DEVICE_IMAGE3D_MAX_WIDTH:
    case CL_DEVICE_IMAGE3D_MAX_HEIGHT:
    case CL_DEVICE_IMAGE3D_MAX_DEPTH:
    case CL_DEVICE_IMAGE_MAX_ARRAY_SIZE:
      return query.one(std::size_t{2048});
    case CL_DEVICE_IMAGE_MAX_BUFFER_SIZE:
      return query.one(std::size_t{65536});
    case CL_DEVICE_PRINTF_BUFFER_SIZE:
      return query.one(std::size_t{1} << 20);
    case CL_DEVICE_PROFILING_TIMER_RESOLUTION:
      return query.one(std::size_t{1});
    case CL_DEVICE_PREFERRED_WORK_GROUP_SIZE_MULTIPLE:
      return query.one(std::size_t{8});
    case CL_DEVICE_GLOBAL_VARIABLE_PREFERRED_TOTAL_SIZE:
    case CL_DEVICE_MAX_GLOBAL_VARIABLE_SIZE:
      return query.one(std::size_t{0});
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int ulong_info(cl_device_id device, cl_device_info what, const Query& query) {
  switch (what) {
    case CL_DEVICE_TYPE:
      return query.one(host().type);
    case CL_DEVICE_GLOBAL_MEM_SIZE:
      return query.one(device->memory);
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
      return query.one(device->memory / 2);
    case CL_DEVICE_GLOBAL_MEM_CACHE_SIZE:
    case CL_DEVICE_MAX_CONSTANT_BUFFER_SIZE:
    case CL_DEVICE_LOCAL_MEM_SIZE:
      return query.one(cl_ulong{65536});
    case CL_DEVICE_SINGLE_FP_CONFIG:
    case CL_DEVICE_DOUBLE_FP_CONFIG:
      return query.one(cl_device_fp_config{CL_FP_ROUND_TO_NEAREST | CL_FP_INF_NAN | CL_FP_FMA});
    case CL_DEVICE_HALF_FP_CONFIG:
      return query.one(cl_device_fp_config{0});
    case CL_DEVICE_QUEUE_ON_HOST_PROPERTIES:
      return query.one(cl_command_queue_properties{CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE |
                                                   CL_QUEUE_PROFILING_ENABLE});
    case CL_DEVICE_SVM_CAPABILITIES:
      return query.one(cl_device_svm_capabilities{CL_DEVICE_SVM_COARSE_GRAIN_BUFFER |
                                                  CL_DEVICE_SVM_FINE_GRAIN_BUFFER});
    case CL_DEVICE_EXECUTION_CAPABILITIES:
      return query.one(cl_device_exec_capabilities{CL_EXEC_KERNEL});
    case CL_DEVICE_PARTITION_AFFINITY_DOMAIN:
    case CL_DEVICE_DEVICE_ENQUEUE_CAPABILITIES:
    case CL_DEVICE_QUEUE_ON_DEVICE_PROPERTIES:
      return query.one(cl_ulong{0});
    case CL_DEVICE_ATOMIC_MEMORY_CAPABILITIES:
    case CL_DEVICE_ATOMIC_FENCE_CAPABILITIES:
      return query.one(cl_device_atomic_capabilities{CL_DEVICE_ATOMIC_ORDER_RELAXED |
                                                     CL_DEVICE_ATOMIC_SCOPE_WORK_GROUP});
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int uint_info(cl_device_id device, cl_device_info what, const Query& query) {
  switch (what) {
    case CL_DEVICE_MAX_COMPUTE_UNITS:
      return query.one(static_cast<cl_uint>(device->index + 1));
    case CL_DEVICE_VENDOR_ID:
      return query.one(cl_uint{0});
    case CL_DEVICE_MAX_WORK_ITEM_DIMENSIONS:
      return query.one(cl_uint{3});
    case CL_DEVICE_MAX_CLOCK_FREQUENCY:
      return query.one(cl_uint{1});
    case CL_DEVICE_ADDRESS_BITS:
      return query.one(cl_uint{64});
    case CL_DEVICE_MEM_BASE_ADDR_ALIGN:
      return query.one(cl_uint{1024});
    case CL_DEVICE_MIN_DATA_TYPE_ALIGN_SIZE:
      return query.one(cl_uint{128});
    case CL_DEVICE_GLOBAL_MEM_CACHELINE_SIZE:
      return query.one(cl_uint{64});
    case CL_DEVICE_GLOBAL_MEM_CACHE_TYPE:
      return query.one(cl_uint{CL_READ_WRITE_CACHE});
    case CL_DEVICE_LOCAL_MEM_TYPE:
      return query.one(cl_uint{CL_GLOBAL});
    case CL_DEVICE_MAX_CONSTANT_ARGS:
    case CL_DEVICE_MAX_SAMPLERS:
      return query.one(cl_uint{16});
    case CL_DEVICE_MAX_READ_IMAGE_ARGS:
    case CL_DEVICE_MAX_WRITE_IMAGE_ARGS:
    case CL_DEVICE_MAX_READ_WRITE_IMAGE_ARGS:
      return query.one(cl_uint{128});
    case CL_DEVICE_IMAGE_PITCH_ALIGNMENT:
    case CL_DEVICE_IMAGE_BASE_ADDRESS_ALIGNMENT:
    case CL_DEVICE_NATIVE_VECTOR_WIDTH_HALF:
    case CL_DEVICE_PREFERRED_VECTOR_WIDTH_HALF:
    case CL_DEVICE_MAX_PIPE_ARGS:
    case CL_DEVICE_PIPE_MAX_ACTIVE_RESERVATIONS:
    case CL_DEVICE_PIPE_MAX_PACKET_SIZE:
    case CL_DEVICE_MAX_NUM_SUB_GROUPS:
    case CL_DEVICE_PARTITION_MAX_SUB_DEVICES:
    case CL_DEVICE_QUEUE_ON_DEVICE_PREFERRED_SIZE:
    case CL_DEVICE_QUEUE_ON_DEVICE_MAX_SIZE:
    case CL_DEVICE_MAX_ON_DEVICE_QUEUES:
    case CL_DEVICE_MAX_ON_DEVICE_EVENTS:
    case CL_DEVICE_PREFERRED_PLATFORM_ATOMIC_ALIGNMENT:
    case CL_DEVICE_PREFERRED_GLOBAL_ATOMIC_ALIGNMENT:
    case CL_DEVICE_PREFERRED_LOCAL_ATOMIC_ALIGNMENT:
      return query.one(cl_uint{0});
    case CL_DEVICE_PREFERRED_VECTOR_WIDTH_CHAR:
    case CL_DEVICE_PREFERRED_VECTOR_WIDTH_SHORT:
    case CL_DEVICE_PREFERRED_VECTOR_WIDTH_INT:
    case CL_DEVICE_PREFERRED_VECTOR_WIDTH_LONG:
    case CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT:
    case CL_DEVICE_PREFERRED_VECTOR_WIDTH_DOUBLE:
    case CL_DEVICE_NATIVE_VECTOR_WIDTH_CHAR:
    case CL_DEVICE_NATIVE_VECTOR_WIDTH_SHORT:
    case CL_DEVICE_NATIVE_VECTOR_WIDTH_INT:
    case CL_DEVICE_NATIVE_VECTOR_WIDTH_LONG:
    case CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT:
    case CL_DEVICE_NATIVE_VECTOR_WIDTH_DOUBLE:
      return query.one(cl_uint{1});
    case CL_DEVICE_REFERENCE_COUNT:
      return query.one(cl_uint{1});
    case CL_DEVICE_NUMERIC_VERSION:
      return query.one(kVersion);
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int flag_info(cl_device_info what, const Query& query) {
  switch (what) {
    case CL_DEVICE_IMAGE_SUPPORT:
    case CL_DEVICE_ENDIAN_LITTLE:
    case CL_DEVICE_AVAILABLE:
    case CL_DEVICE_COMPILER_AVAILABLE:
    case CL_DEVICE_LINKER_AVAILABLE:
    case CL_DEVICE_PREFERRED_INTEROP_USER_SYNC:
      return query.one(cl_bool{CL_TRUE});
    case CL_DEVICE_ERROR_CORRECTION_SUPPORT:
    case CL_DEVICE_HOST_UNIFIED_MEMORY:
    case CL_DEVICE_SUB_GROUP_INDEPENDENT_FORWARD_PROGRESS:
    case CL_DEVICE_NON_UNIFORM_WORK_GROUP_SUPPORT:
    case CL_DEVICE_WORK_GROUP_COLLECTIVE_FUNCTIONS_SUPPORT:
    case CL_DEVICE_GENERIC_ADDRESS_SPACE_SUPPORT:
    case CL_DEVICE_PIPE_SUPPORT:
      return query.one(cl_bool{CL_FALSE});
    default:
      return CL_INVALID_VALUE;
  }
}

cl_ulong clock_ns() {
  return static_cast<cl_ulong>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace
}  // namespace tessera::null

using namespace tessera::null;

extern "C" {

cl_int CL_API_CALL clGetPlatformIDs(cl_uint entries, cl_platform_id* platforms, cl_uint* count) {
  if ((entries == 0 && platforms != nullptr) || (platforms == nullptr && count == nullptr)) {
    return CL_INVALID_VALUE;
  }
  if (platforms != nullptr) platforms[0] = &host().platform;
  if (count != nullptr) *count = 1;
  return CL_SUCCESS;
}

__attribute__((visibility("default"))) cl_int CL_API_CALL
clIcdGetPlatformIDsKHR(cl_uint entries, cl_platform_id* platforms, cl_uint* count) {
  return clGetPlatformIDs(entries, platforms, count);
}

__attribute__((visibility("default"))) cl_int CL_API_CALL clGetPlatformInfo(
    cl_platform_id platform, cl_platform_info what, size_t size, void* value, size_t* needed) {
  if (!valid(platform)) return CL_INVALID_PLATFORM;
  const Query query{size, value, needed};
  switch (what) {
    case CL_PLATFORM_PROFILE:
      return query.text("FULL_PROFILE");
    case CL_PLATFORM_VERSION:
      return query.text("OpenCL 3.0 null");
    case CL_PLATFORM_NAME:
      return query.text("Tessera null");
    case CL_PLATFORM_VENDOR:
      return query.text("Tessera project");
    case CL_PLATFORM_EXTENSIONS:
      return query.text(extension_names());
    case CL_PLATFORM_ICD_SUFFIX_KHR:
      return query.text("TESSERANULL");
    case CL_PLATFORM_NUMERIC_VERSION:
      return query.one(kVersion);
    case CL_PLATFORM_HOST_TIMER_RESOLUTION:
      return query.one(cl_ulong{1});
    case CL_PLATFORM_EXTENSIONS_WITH_VERSION:
      return query.list(extension_list());
    default:
      return CL_INVALID_VALUE;
  }
}

cl_int CL_API_CALL clGetDeviceIDs(cl_platform_id platform, cl_device_type type, cl_uint entries,
                                  cl_device_id* devices, cl_uint* count) {
  if (!valid(platform)) return CL_INVALID_PLATFORM;
  if ((entries == 0 && devices != nullptr) || (devices == nullptr && count == nullptr)) {
    return CL_INVALID_VALUE;
  }
  if ((type & (host().type | CL_DEVICE_TYPE_DEFAULT)) == 0) {
    return CL_DEVICE_NOT_FOUND;
  }
  const auto all = host().devices;
  for (cl_uint i = 0; devices != nullptr && i < entries && i < all.size(); ++i)
    devices[i] = &all[i];
  if (count != nullptr) *count = static_cast<cl_uint>(all.size());
  return CL_SUCCESS;
}

cl_int CL_API_CALL clGetDeviceInfo(cl_device_id device, cl_device_info what, size_t size,
                                   void* value, size_t* needed) {
  if (!valid(device)) return CL_INVALID_DEVICE;
  const Query query{size, value, needed};
  if (what == CL_DEVICE_PLATFORM) return query.one(&host().platform);
  if (what == CL_DEVICE_PARENT_DEVICE) return query.one(static_cast<cl_device_id>(nullptr));
  cl_int answer = text_info(device, what, query);
  if (answer != CL_SUCCESS) answer = list_info(what, query);
  if (answer != CL_SUCCESS) answer = size_info(what, query);
  if (answer != CL_SUCCESS) answer = ulong_info(device, what, query);
  if (answer != CL_SUCCESS) answer = uint_info(device, what, query);
  if (answer != CL_SUCCESS) answer = flag_info(what, query);
  if (answer != CL_SUCCESS) answer = extension_info(what, query);
  return answer;
}

cl_int CL_API_CALL clCreateSubDevices(cl_device_id device, const cl_device_partition_property*,
                                      cl_uint, cl_device_id*, cl_uint*) {
  return valid(device) ? CL_INVALID_VALUE : CL_INVALID_DEVICE;
}

cl_int CL_API_CALL clRetainDevice(cl_device_id device) {
  return valid(device) ? CL_SUCCESS : CL_INVALID_DEVICE;
}

cl_int CL_API_CALL clReleaseDevice(cl_device_id device) {
  return valid(device) ? CL_SUCCESS : CL_INVALID_DEVICE;
}

cl_int CL_API_CALL clGetDeviceAndHostTimer(cl_device_id device, cl_ulong* on_device,
                                           cl_ulong* on_host) {
  if (!valid(device)) return CL_INVALID_DEVICE;
  if (on_device == nullptr || on_host == nullptr) return CL_INVALID_VALUE;
  *on_device = *on_host = clock_ns();
  return CL_SUCCESS;
}

cl_int CL_API_CALL clGetHostTimer(cl_device_id device, cl_ulong* on_host) {
  if (!valid(device)) return CL_INVALID_DEVICE;
  if (on_host == nullptr) return CL_INVALID_VALUE;
  *on_host = clock_ns();
  return CL_SUCCESS;
}

cl_int CL_API_CALL clUnloadPlatformCompiler(cl_platform_id platform) {
  return valid(platform) ? CL_SUCCESS : CL_INVALID_PLATFORM;
}

cl_int CL_API_CALL clUnloadCompiler() {
  return CL_SUCCESS;
}

}  // extern "C"

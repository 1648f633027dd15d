// SPDX-License-Identifier: Apache-2.0
#include "tests/conformance/extension_queries.h"

#include <CL/cl_ext.h>

#include <algorithm>
#include <sstream>

#include "tests/conformance/world.h"

namespace tessera::conformance {

// By numbers where not every version of the headers has the name.
const std::vector<ExtensionQueries>& extension_queries() {
#define P(number, type, text) \
  { number, sizeof(type), text }
#define V(number, text) \
  { number, 0, text }
  static const std::vector<ExtensionQueries> all = {
      {"cl_amd_device_attribute_query",
       {P(0x4036, cl_ulong, "CL_DEVICE_PROFILING_TIMER_OFFSET_AMD"),
        V(0x4037, "CL_DEVICE_TOPOLOGY_AMD"), V(0x4038, "CL_DEVICE_BOARD_NAME_AMD"),
        V(0x4039, "CL_DEVICE_GLOBAL_FREE_MEMORY_AMD")},
       {V(0x4030, "CL_DEVICE_PREFERRED_WORK_GROUP_SIZE_AMD"),
        V(0x4031, "CL_DEVICE_MAX_WORK_GROUP_SIZE_AMD"),
        V(0x4033, "CL_DEVICE_PREFERRED_CONSTANT_BUFFER_SIZE_AMD"),
        V(0x4034, "CL_DEVICE_PCIE_ID_AMD"), V(0x4040, "CL_DEVICE_SIMD_PER_COMPUTE_UNIT_AMD"),
        V(0x4041, "CL_DEVICE_SIMD_WIDTH_AMD"), V(0x4042, "CL_DEVICE_SIMD_INSTRUCTION_WIDTH_AMD"),
        V(0x4043, "CL_DEVICE_WAVEFRONT_WIDTH_AMD"), V(0x4044, "CL_DEVICE_GLOBAL_MEM_CHANNELS_AMD"),
        V(0x4045, "CL_DEVICE_GLOBAL_MEM_CHANNEL_BANKS_AMD"),
        V(0x4046, "CL_DEVICE_GLOBAL_MEM_CHANNEL_BANK_WIDTH_AMD"),
        V(0x4047, "CL_DEVICE_LOCAL_MEM_SIZE_PER_COMPUTE_UNIT_AMD"),
        V(0x4048, "CL_DEVICE_LOCAL_MEM_BANKS_AMD"),
        V(0x4049, "CL_DEVICE_THREAD_TRACE_SUPPORTED_AMD"), V(0x404A, "CL_DEVICE_GFXIP_MAJOR_AMD"),
        V(0x404B, "CL_DEVICE_GFXIP_MINOR_AMD"), V(0x404C, "CL_DEVICE_AVAILABLE_ASYNC_QUEUES_AMD")}},
      {"cl_amd_media_ops"},
      {"cl_amd_media_ops2"},
      {"cl_amd_popcnt"},
      {"cl_amd_vec3"},
      {"cl_arm_core_id", {P(0x40BF, cl_bitfield, "CL_DEVICE_COMPUTE_UNITS_BITFIELD_ARM")}},
      {"cl_ext_float_atomics",
       {P(0x4231, cl_bitfield, "CL_DEVICE_SINGLE_FP_ATOMIC_CAPABILITIES_EXT"),
        P(0x4232, cl_bitfield, "CL_DEVICE_DOUBLE_FP_ATOMIC_CAPABILITIES_EXT"),
        P(0x4233, cl_bitfield, "CL_DEVICE_HALF_FP_ATOMIC_CAPABILITIES_EXT")}},
      {"cl_intel_bfloat16_conversions"},
      {"cl_intel_device_attribute_query",
       {P(0x4250, cl_version, "CL_DEVICE_IP_VERSION_INTEL"),
        P(0x4251, cl_uint, "CL_DEVICE_ID_INTEL"), P(0x4252, cl_uint, "CL_DEVICE_NUM_SLICES_INTEL"),
        P(0x4253, cl_uint, "CL_DEVICE_NUM_SUB_SLICES_PER_SLICE_INTEL"),
        P(0x4254, cl_uint, "CL_DEVICE_NUM_EUS_PER_SUB_SLICE_INTEL"),
        P(0x4255, cl_uint, "CL_DEVICE_NUM_THREADS_PER_EU_INTEL"),
        P(0x4256, cl_bitfield, "CL_DEVICE_FEATURE_CAPABILITIES_INTEL")}},
      {"cl_intel_spirv_subgroups"},
      {"cl_intel_split_work_group_barrier"},
      {"cl_intel_subgroup_local_block_io"},
      {"cl_intel_subgroup_matrix_multiply_accumulate"},
      {"cl_intel_subgroups", {}, {V(0x4108, "CL_DEVICE_SUB_GROUP_SIZES_INTEL")}},
      {"cl_intel_subgroups_char"},
      {"cl_intel_subgroups_long"},
      {"cl_intel_subgroups_short"},
      {"cl_intel_unified_shared_memory",
       {P(0x4190, cl_bitfield, "CL_DEVICE_HOST_MEM_CAPABILITIES_INTEL"),
        P(0x4191, cl_bitfield, "CL_DEVICE_DEVICE_MEM_CAPABILITIES_INTEL"),
        P(0x4192, cl_bitfield, "CL_DEVICE_SINGLE_DEVICE_SHARED_MEM_CAPABILITIES_INTEL"),
        P(0x4193, cl_bitfield, "CL_DEVICE_CROSS_DEVICE_SHARED_MEM_CAPABILITIES_INTEL"),
        P(0x4194, cl_bitfield, "CL_DEVICE_SHARED_SYSTEM_MEM_CAPABILITIES_INTEL")}},
      {"cl_khr_3d_image_writes"},
      {"cl_khr_async_work_group_copy_fence"},
      {"cl_khr_byte_addressable_store"},
      {"cl_khr_command_buffer",
       {P(0x12A9, cl_bitfield, "CL_DEVICE_COMMAND_BUFFER_CAPABILITIES_KHR"),
        P(0x12AA, cl_bitfield, "CL_DEVICE_COMMAND_BUFFER_REQUIRED_QUEUE_PROPERTIES_KHR")}},
      {"cl_khr_create_command_queue"},
      {"cl_khr_depth_images"},
      {"cl_khr_device_uuid",
       {V(0x106A, "CL_DEVICE_UUID_KHR"), V(0x106B, "CL_DRIVER_UUID_KHR"),
        P(0x106C, cl_bool, "CL_DEVICE_LUID_VALID_KHR"), V(0x106D, "CL_DEVICE_LUID_KHR"),
        P(0x106E, cl_uint, "CL_DEVICE_NODE_MASK_KHR")}},
      {"cl_khr_expect_assume"},
      {"cl_khr_extended_async_copies"},
      {"cl_khr_extended_bit_ops"},
      {"cl_khr_extended_versioning",
       {P(0x105E, cl_version, "CL_DEVICE_NUMERIC_VERSION_KHR"),
        V(0x1060, "CL_DEVICE_EXTENSIONS_WITH_VERSION_KHR"),
        V(0x1061, "CL_DEVICE_ILS_WITH_VERSION_KHR"),
        V(0x1062, "CL_DEVICE_BUILT_IN_KERNELS_WITH_VERSION_KHR")},
       {P(0x105F, cl_version, "CL_DEVICE_OPENCL_C_NUMERIC_VERSION_KHR")}},
      {"cl_khr_fp16", {P(0x1033, cl_bitfield, "CL_DEVICE_HALF_FP_CONFIG")}},
      {"cl_khr_fp64", {P(0x1032, cl_bitfield, "CL_DEVICE_DOUBLE_FP_CONFIG")}},
      {"cl_khr_global_int32_base_atomics"},
      {"cl_khr_global_int32_extended_atomics"},
      {"cl_khr_icd"},
      {"cl_khr_il_program", {V(0x105B, "CL_DEVICE_IL_VERSION_KHR")}},
      {"cl_khr_image2d_from_buffer",
       {P(0x104A, cl_uint, "CL_DEVICE_IMAGE_PITCH_ALIGNMENT_KHR"),
        P(0x104B, cl_uint, "CL_DEVICE_IMAGE_BASE_ADDRESS_ALIGNMENT_KHR")}},
      {"cl_khr_int64_base_atomics"},
      {"cl_khr_int64_extended_atomics"},
      {"cl_khr_integer_dot_product",
       {P(0x1073, cl_bitfield, "CL_DEVICE_INTEGER_DOT_PRODUCT_CAPABILITIES_KHR")},
       {V(0x1074, "CL_DEVICE_INTEGER_DOT_PRODUCT_ACCELERATION_PROPERTIES_8BIT_KHR"),
        V(0x1075, "CL_DEVICE_INTEGER_DOT_PRODUCT_ACCELERATION_PROPERTIES_4x8BIT_PACKED_KHR")}},
      {"cl_khr_kernel_clock", {P(0x1076, cl_bitfield, "CL_DEVICE_KERNEL_CLOCK_CAPABILITIES_KHR")}},
      {"cl_khr_local_int32_base_atomics"},
      {"cl_khr_local_int32_extended_atomics"},
      {"cl_khr_pci_bus_info", {V(0x410F, "CL_DEVICE_PCI_BUS_INFO_KHR")}},
      {"cl_khr_priority_hints"},
      {"cl_khr_select_fprounding_mode"},
      {"cl_khr_spir", {V(0x40E0, "CL_DEVICE_SPIR_VERSIONS")}},
      {"cl_khr_spirv_extended_debug_info"},
      {"cl_khr_spirv_linkonce_odr"},
      {"cl_khr_spirv_no_integer_wrap_decoration"},
      {"cl_khr_srgb_image_writes"},
      {"cl_khr_subgroup_ballot"},
      {"cl_khr_subgroup_clustered_reduce"},
      {"cl_khr_subgroup_extended_types"},
      {"cl_khr_subgroup_named_barrier",
       {P(0x2035, cl_uint, "CL_DEVICE_MAX_NAMED_BARRIER_COUNT_KHR")}},
      {"cl_khr_subgroup_non_uniform_arithmetic"},
      {"cl_khr_subgroup_non_uniform_vote"},
      {"cl_khr_subgroup_rotate"},
      {"cl_khr_subgroup_shuffle"},
      {"cl_khr_subgroup_shuffle_relative"},
      {"cl_khr_subgroups",
       {},
       {P(0x105C, cl_uint, "CL_DEVICE_MAX_NUM_SUB_GROUPS"),
        P(0x105D, cl_bool, "CL_DEVICE_SUB_GROUP_INDEPENDENT_FORWARD_PROGRESS")}},
      {"cl_khr_suggested_local_work_size"},
      {"cl_khr_throttle_hints"},
      {"cl_khr_work_group_uniform_arithmetic"},
      {"cl_nv_compiler_options"},
      {"cl_nv_device_attribute_query",
       {P(0x4000, cl_uint, "CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV"),
        P(0x4001, cl_uint, "CL_DEVICE_COMPUTE_CAPABILITY_MINOR_NV"),
        P(0x4002, cl_uint, "CL_DEVICE_REGISTERS_PER_BLOCK_NV"),
        P(0x4003, cl_uint, "CL_DEVICE_WARP_SIZE_NV"),
        P(0x4004, cl_bool, "CL_DEVICE_GPU_OVERLAP_NV"),
        P(0x4005, cl_bool, "CL_DEVICE_KERNEL_EXEC_TIMEOUT_NV"),
        P(0x4006, cl_bool, "CL_DEVICE_INTEGRATED_MEMORY_NV")},
       {V(0x4007, "CL_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT_NV"),
        V(0x4008, "CL_DEVICE_PCI_BUS_ID_NV"), V(0x4009, "CL_DEVICE_PCI_SLOT_ID_NV"),
        V(0x400A, "CL_DEVICE_PCI_DOMAIN_ID_NV")}},
      {"cl_nv_pragma_unroll"},
  };
#undef P
#undef V
  return all;
}

std::vector<std::string> announced_extensions(cl_device_id device) {
  std::istringstream words(device_text(device, CL_DEVICE_EXTENSIONS));
  std::vector<std::string> names;
  for (std::string name; words >> name;) names.push_back(name);
  return names;
}

namespace {

const ExtensionQueries* known(const std::string& name) {
  const auto& all = extension_queries();
  const auto at = std::find_if(all.begin(), all.end(),
                               [&](const ExtensionQueries& each) { return name == each.name; });
  return at == all.end() ? nullptr : &*at;
}

USE(clGetDeviceInfo, queries_of_every_announced_extension) {
  for (const std::string& name : announced_extensions(w.device)) {
    const ExtensionQueries* extension = known(name);
    if (extension == nullptr) {
      // The bare device may announce what no lease does.
      if (w.tessera) throw Failure(name, "an extension whose queries are known", "announced");
      continue;
    }
    for (const DeviceParam& query : extension->asks) {
      try {
        check_info([&](cl_uint what, std::size_t n, void* to,
                       std::size_t* size) { return clGetDeviceInfo(w.device, what, n, to, size); },
                   {{query.name, query.size}});
      } catch (const Failure& failure) {
        throw Failure(failure.what(), std::string("the answer that ") + name + " promises",
                      query.text);
      }
    }
  }
}

}  // namespace
}  // namespace tessera::conformance

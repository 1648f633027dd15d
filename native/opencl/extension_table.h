// SPDX-License-Identifier: Apache-2.0
//
// Every extension of a device that a lease may announce, and what each adds to clGetDeviceInfo.
//
// An extension is a promise to answer its queries. So both sides read this one table: the worker
// asks the driver all of it when a session opens, and the client announces an extension only where
// each query that it `asks` was answered. What a later revision of an extension brought stands in
// `also`: it is passed on where the driver has it. What is not listed is not announced: an
// extension that nobody here has looked at may need calls that cannot be forwarded. One whose later
// revisions are no longer what is carried is announced where the driver tells its revision.
#pragma once

#include <CL/cl.h>
#include <CL/cl_ext.h>

#include <array>
#include <span>
#include <string_view>

#include "opencl/command_buffer.h"

namespace tessera::extension {

// Not in every version of the Khronos headers.
inline constexpr cl_device_info kSingleAtomics = 0x4231;  // CL_DEVICE_SINGLE_FP_ATOMIC_...
inline constexpr cl_device_info kDoubleAtomics = 0x4232;
inline constexpr cl_device_info kHalfAtomics = 0x4233;
inline constexpr cl_device_info kKernelClock = 0x1076;    // CL_DEVICE_KERNEL_CLOCK_CAPABILITIES_KHR
inline constexpr cl_device_info kPciBus = 0x410F;         // CL_DEVICE_PCI_BUS_INFO_KHR
inline constexpr cl_device_info kSubGroupSizes = 0x4108;  // CL_DEVICE_SUB_GROUP_SIZES_INTEL
inline constexpr cl_device_info kOpenClCVersion = 0x105F;
inline constexpr cl_device_info kDotProduct = 0x1073;
inline constexpr cl_device_info kNamedBarriers = 0x2035;

inline constexpr cl_device_info kHalf[] = {CL_DEVICE_HALF_FP_CONFIG};
inline constexpr cl_device_info kDouble[] = {CL_DEVICE_DOUBLE_FP_CONFIG};
inline constexpr cl_device_info kImageFromBuffer[] = {CL_DEVICE_IMAGE_PITCH_ALIGNMENT,
                                                      CL_DEVICE_IMAGE_BASE_ADDRESS_ALIGNMENT};
inline constexpr cl_device_info kIl[] = {CL_DEVICE_IL_VERSION};
inline constexpr cl_device_info kSpir[] = {CL_DEVICE_SPIR_VERSIONS};
inline constexpr cl_device_info kUuids[] = {0x106A, 0x106B, 0x106C, 0x106D, 0x106E};
inline constexpr cl_device_info kVersions[] = {
    CL_DEVICE_NUMERIC_VERSION, CL_DEVICE_EXTENSIONS_WITH_VERSION, CL_DEVICE_ILS_WITH_VERSION,
    CL_DEVICE_BUILT_IN_KERNELS_WITH_VERSION};
// The core has another query instead.
inline constexpr cl_device_info kVersionsAlso[] = {kOpenClCVersion};
inline constexpr cl_device_info kDot[] = {kDotProduct};
inline constexpr cl_device_info kDotAlso[] = {kDotProduct + 1, kDotProduct + 2};
inline constexpr cl_device_info kClock[] = {kKernelClock};
inline constexpr cl_device_info kBarriers[] = {kNamedBarriers};
inline constexpr cl_device_info kPci[] = {kPciBus};
inline constexpr cl_device_info kFloatAtomics[] = {kSingleAtomics, kDoubleAtomics, kHalfAtomics};
inline constexpr cl_device_info kSubGroupsAlso[] = {
    CL_DEVICE_MAX_NUM_SUB_GROUPS, CL_DEVICE_SUB_GROUP_INDEPENDENT_FORWARD_PROGRESS};
inline constexpr cl_device_info kIntelSubGroupsAlso[] = {kSubGroupSizes};
inline constexpr cl_device_info kArmCores[] = {0x40BF};
inline constexpr cl_device_info kIntel[] = {0x4250, 0x4251, 0x4252, 0x4253, 0x4254, 0x4255, 0x4256};
inline constexpr cl_device_info kUsm[] = {0x4190, 0x4191, 0x4192, 0x4193, 0x4194};
inline constexpr cl_device_info kNv[] = {0x4000, 0x4001, 0x4002, 0x4003, 0x4004, 0x4005, 0x4006};
inline constexpr cl_device_info kNvAlso[] = {0x4007, 0x4008, 0x4009, 0x400A};
inline constexpr cl_device_info kAmd[] = {0x4036, 0x4037, 0x4038, 0x4039};
inline constexpr cl_device_info kAmdAlso[] = {0x4030, 0x4031, 0x4033, 0x4034, 0x4040, 0x4041,
                                              0x4042, 0x4043, 0x4044, 0x4045, 0x4046, 0x4047,
                                              0x4048, 0x4049, 0x404A, 0x404B, 0x404C};

inline constexpr cl_device_info kCommandBuffers[] = {
    CL_DEVICE_COMMAND_BUFFER_CAPABILITIES_KHR,
    CL_DEVICE_COMMAND_BUFFER_REQUIRED_QUEUE_PROPERTIES_KHR};

struct Extension {
  std::string_view name;
  std::span<const cl_device_info> asks{};
  std::span<const cl_device_info> also{};
  cl_version before = 0;  // only a revision before this one; 0: each
  cl_version most = 0;    // a later one is announced as this one; 0: as it is
};

inline constexpr std::array kAnnounceable{
    Extension{"cl_amd_device_attribute_query", kAmd, kAmdAlso},
    Extension{"cl_amd_media_ops"},
    Extension{"cl_amd_media_ops2"},
    Extension{"cl_amd_popcnt"},
    Extension{"cl_amd_vec3"},
    Extension{"cl_arm_core_id", kArmCores},
    Extension{"cl_ext_float_atomics", kFloatAtomics},
    Extension{"cl_intel_bfloat16_conversions"},
    Extension{"cl_intel_device_attribute_query", kIntel},
    Extension{"cl_intel_spirv_subgroups"},
    Extension{"cl_intel_split_work_group_barrier"},
    Extension{"cl_intel_subgroup_local_block_io"},
    Extension{"cl_intel_subgroup_matrix_multiply_accumulate"},
    Extension{"cl_intel_subgroups", {}, kIntelSubGroupsAlso},
    Extension{"cl_intel_subgroups_char"},
    Extension{"cl_intel_subgroups_long"},
    Extension{"cl_intel_subgroups_short"},
    Extension{"cl_intel_unified_shared_memory", kUsm},
    Extension{"cl_khr_3d_image_writes"},
    Extension{"cl_khr_async_work_group_copy_fence"},
    Extension{"cl_khr_byte_addressable_store"},
    Extension{"cl_khr_command_buffer",
              kCommandBuffers,
              {},
              command_buffer::kOtherParameters,
              command_buffer::kMostAnnounced},
    Extension{"cl_khr_create_command_queue"},
    Extension{"cl_khr_depth_images"},
    Extension{"cl_khr_device_uuid", kUuids},
    Extension{"cl_khr_expect_assume"},
    Extension{"cl_khr_extended_async_copies"},
    Extension{"cl_khr_extended_bit_ops"},
    Extension{"cl_khr_extended_versioning", kVersions, kVersionsAlso},
    Extension{"cl_khr_fp16", kHalf},
    Extension{"cl_khr_fp64", kDouble},
    Extension{"cl_khr_global_int32_base_atomics"},
    Extension{"cl_khr_global_int32_extended_atomics"},
    Extension{"cl_khr_icd"},
    Extension{"cl_khr_il_program", kIl},
    Extension{"cl_khr_image2d_from_buffer", kImageFromBuffer},
    Extension{"cl_khr_int64_base_atomics"},
    Extension{"cl_khr_int64_extended_atomics"},
    Extension{"cl_khr_integer_dot_product", kDot, kDotAlso},
    Extension{"cl_khr_kernel_clock", kClock},
    Extension{"cl_khr_local_int32_base_atomics"},
    Extension{"cl_khr_local_int32_extended_atomics"},
    Extension{"cl_khr_pci_bus_info", kPci},
    Extension{"cl_khr_priority_hints"},
    Extension{"cl_khr_select_fprounding_mode"},
    Extension{"cl_khr_spir", kSpir},
    Extension{"cl_khr_spirv_extended_debug_info"},
    Extension{"cl_khr_spirv_linkonce_odr"},
    Extension{"cl_khr_spirv_no_integer_wrap_decoration"},
    Extension{"cl_khr_srgb_image_writes"},
    Extension{"cl_khr_subgroup_ballot"},
    Extension{"cl_khr_subgroup_clustered_reduce"},
    Extension{"cl_khr_subgroup_extended_types"},
    Extension{"cl_khr_subgroup_named_barrier", kBarriers},
    Extension{"cl_khr_subgroup_non_uniform_arithmetic"},
    Extension{"cl_khr_subgroup_non_uniform_vote"},
    Extension{"cl_khr_subgroup_rotate"},
    Extension{"cl_khr_subgroup_shuffle"},
    Extension{"cl_khr_subgroup_shuffle_relative"},
    Extension{"cl_khr_subgroups", {}, kSubGroupsAlso},
    Extension{"cl_khr_suggested_local_work_size"},
    Extension{"cl_khr_throttle_hints"},
    Extension{"cl_khr_work_group_uniform_arithmetic"},
    Extension{"cl_nv_compiler_options"},
    Extension{"cl_nv_device_attribute_query", kNv, kNvAlso},
    Extension{"cl_nv_pragma_unroll"},
};

}  // namespace tessera::extension

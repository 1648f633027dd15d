// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/extensions.h"

#include <algorithm>
#include <cstring>

namespace tessera::client {
namespace {

constexpr std::string_view kPassing[] = {
    "cl_amd_device_attribute_query",
    "cl_amd_media_ops",
    "cl_amd_media_ops2",
    "cl_amd_popcnt",
    "cl_amd_vec3",
    "cl_arm_core_id",
    "cl_ext_float_atomics",
    "cl_intel_bfloat16_conversions",
    "cl_intel_device_attribute_query",
    "cl_intel_spirv_subgroups",
    "cl_intel_split_work_group_barrier",
    "cl_intel_subgroup_local_block_io",
    "cl_intel_subgroup_matrix_multiply_accumulate",
    "cl_intel_subgroups",
    "cl_intel_subgroups_char",
    "cl_intel_subgroups_long",
    "cl_intel_subgroups_short",
    "cl_khr_3d_image_writes",
    "cl_khr_async_work_group_copy_fence",
    "cl_khr_byte_addressable_store",
    "cl_khr_create_command_queue",
    "cl_khr_depth_images",
    "cl_khr_device_uuid",
    "cl_khr_expect_assume",
    "cl_khr_extended_async_copies",
    "cl_khr_extended_bit_ops",
    "cl_khr_extended_versioning",
    "cl_khr_fp16",
    "cl_khr_fp64",
    "cl_khr_global_int32_base_atomics",
    "cl_khr_global_int32_extended_atomics",
    "cl_khr_icd",
    "cl_khr_il_program",
    "cl_khr_image2d_from_buffer",
    "cl_khr_int64_base_atomics",
    "cl_khr_int64_extended_atomics",
    "cl_khr_integer_dot_product",
    "cl_khr_kernel_clock",
    "cl_khr_local_int32_base_atomics",
    "cl_khr_local_int32_extended_atomics",
    "cl_khr_pci_bus_info",
    "cl_khr_priority_hints",
    "cl_khr_select_fprounding_mode",
    "cl_khr_spir",
    "cl_khr_spirv_extended_debug_info",
    "cl_khr_spirv_linkonce_odr",
    "cl_khr_spirv_no_integer_wrap_decoration",
    "cl_khr_srgb_image_writes",
    "cl_khr_subgroup_ballot",
    "cl_khr_subgroup_clustered_reduce",
    "cl_khr_subgroup_extended_types",
    "cl_khr_subgroup_named_barrier",
    "cl_khr_subgroup_non_uniform_arithmetic",
    "cl_khr_subgroup_non_uniform_vote",
    "cl_khr_subgroup_rotate",
    "cl_khr_subgroup_shuffle",
    "cl_khr_subgroup_shuffle_relative",
    "cl_khr_subgroups",
    "cl_khr_throttle_hints",
    "cl_khr_work_group_uniform_arithmetic",
    "cl_nv_compiler_options",
    "cl_nv_device_attribute_query",
    "cl_nv_pragma_unroll",
};

template <class Visit>
void each_word(std::string_view list, Visit&& visit) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(' '), list.size());
    if (end != 0) visit(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
}

}  // namespace

bool extension_passes(std::string_view name) {
  return std::binary_search(std::begin(kPassing), std::end(kPassing), name);
}

std::string passing_extensions(std::string_view list) {
  std::string passing;
  each_word(list, [&](std::string_view name) {
    if (!extension_passes(name)) return;
    if (!passing.empty()) passing += ' ';
    passing += name;
  });
  return passing;
}

std::vector<cl_name_version> passing_versions(std::span<const std::byte> array) {
  std::vector<cl_name_version> passing;
  for (std::size_t at = 0; at + sizeof(cl_name_version) <= array.size();
       at += sizeof(cl_name_version)) {
    cl_name_version entry;
    std::memcpy(&entry, array.data() + at, sizeof entry);
    entry.name[sizeof entry.name - 1] = '\0';
    if (extension_passes(entry.name)) passing.push_back(entry);
  }
  return passing;
}

bool lists_extension(std::string_view list, std::string_view name) {
  bool found = false;
  each_word(list, [&](std::string_view word) { found = found || word == name; });
  return found;
}

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
//
// Which of the physical device's extensions are announced: those of extension_table.h whose queries
// the driver answered.
#pragma once

#include <CL/cl.h>

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::client {

// What the driver answered, by its queries.
using DeviceFacts = std::map<cl_device_info, std::vector<std::byte>>;

bool extension_passes(std::string_view name, const DeviceFacts& facts);

// The names of a space-separated list that pass, in their order.
std::string passing_extensions(std::string_view list, const DeviceFacts& facts);
// The same for an array of cl_name_version.
std::vector<cl_name_version> passing_versions(std::span<const std::byte> array,
                                              const DeviceFacts& facts);
// The whole entries of such an array; every name has an end.
std::vector<cl_name_version> named_versions(std::span<const std::byte> array);
// Of the extension in such an array; 0 where it is not listed.
cl_version version_of(std::string_view name, std::span<const std::byte> array);
// A name in a space-separated list.
bool lists_extension(std::string_view list, std::string_view name);

}  // namespace tessera::client

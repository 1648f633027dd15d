// SPDX-License-Identifier: Apache-2.0
//
// Which of the physical device's extensions are announced: those that only concern the kernel
// language or queries that the snapshot answers, and those whose entry points this driver has. What
// is not listed is left out: an extension that nobody here has looked at may need calls that cannot
// be forwarded.
#pragma once

#include <CL/cl.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::client {

bool extension_passes(std::string_view name);

// The names of a space-separated list that pass, in their order.
std::string passing_extensions(std::string_view list);
// The same for an array of cl_name_version.
std::vector<cl_name_version> passing_versions(std::span<const std::byte> array);
// A name in a space-separated list.
bool lists_extension(std::string_view list, std::string_view name);

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/program_options.h"

namespace tessera::client {
namespace {

constexpr std::string_view kStandard = "-cl-std=";
constexpr std::string_view kArgInfo = "-cl-kernel-arg-info";
constexpr std::string_view kOptionBlank = " \t\n\r";

// CL1.0 to CL1.2 know no other work-groups; CL2.0, CL3.0 and CLC++ do.
bool is_version_one(std::string_view standard) {
  return standard.substr(0, 4) == "CL1.";
}

}  // namespace

bool options_ask_for_uniform_work_groups(std::string_view options) {
  bool uniform = true;
  bool forced = false;
  for (std::size_t at = 0; (at = options.find_first_not_of(kOptionBlank, at)) != options.npos;) {
    const std::size_t end = std::min(options.find_first_of(kOptionBlank, at), options.size());
    const std::string_view word = options.substr(at, end - at);
    if (word.starts_with(kStandard)) uniform = is_version_one(word.substr(kStandard.size()));
    if (word == "-cl-uniform-work-group-size") forced = true;
    at = end;
  }
  return uniform || forced;
}

bool options_keep_arg_info(const char* options) {
  return options == nullptr || std::string_view(options).find(kArgInfo) != std::string_view::npos;
}

}  // namespace tessera::client

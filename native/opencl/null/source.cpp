// SPDX-License-Identifier: Apache-2.0
//
// Finds `kernel void NAME(arguments)` in a source. No preprocessor and no compiler: just enough
// that a test can say what arguments its kernel has. `struct bytesN` is a type of N bytes.
#include <cctype>
#include <cstdlib>
#include <string_view>

#include "opencl/null/objects.h"

namespace tessera::null {
namespace {

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

std::vector<std::string> tokens_of(std::string_view text) {
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i < text.size();) {
    if (is_word(text[i])) {
      std::size_t end = i;
      while (end < text.size() && is_word(text[end])) ++end;
      tokens.emplace_back(text.substr(i, end - i));
      i = end;
    } else {
      if (std::isspace(static_cast<unsigned char>(text[i])) == 0) tokens.emplace_back(1, text[i]);
      ++i;
    }
  }
  return tokens;
}

struct Scalar {
  std::string_view name;
  std::size_t size;
};
constexpr Scalar kScalars[] = {{"char", 1}, {"uchar", 1}, {"short", 2},  {"ushort", 2},
                               {"half", 2}, {"int", 4},   {"uint", 4},   {"float", 4},
                               {"long", 8}, {"ulong", 8}, {"double", 8}, {"size_t", 8}};

// Bytes of `float3`, `int`, `bytes12`; 4 for what it does not know.
std::size_t size_of(std::string_view type) {
  if (type.starts_with("bytes"))
    return std::strtoul(std::string(type.substr(5)).c_str(), nullptr, 10);
  for (const Scalar& scalar : kScalars) {
    if (!type.starts_with(scalar.name)) continue;
    const std::string rest(type.substr(scalar.name.size()));
    const std::size_t width = rest.empty() ? 1 : std::strtoul(rest.c_str(), nullptr, 10);
    if (width != 0) return scalar.size * (width == 3 ? 4 : width);
  }
  return 4;
}

bool is_address(std::string_view token, std::string_view name) {
  return token == name || (token.starts_with("__") && token.substr(2) == name);
}

Argument argument_of(const std::vector<std::string>& tokens) {
  Argument argument{ArgumentKind::value, 4, CL_KERNEL_ARG_ADDRESS_PRIVATE, "int", ""};
  bool pointer = false;
  for (const std::string& token : tokens) {
    if (is_address(token, "global")) argument.address = CL_KERNEL_ARG_ADDRESS_GLOBAL;
    if (is_address(token, "constant")) argument.address = CL_KERNEL_ARG_ADDRESS_CONSTANT;
    if (is_address(token, "local")) argument.address = CL_KERNEL_ARG_ADDRESS_LOCAL;
    if (token == "*") pointer = true;
  }
  std::vector<std::string> words;
  for (const std::string& token : tokens) {
    const bool decoration = is_address(token, "global") || is_address(token, "constant") ||
                            is_address(token, "local") || token == "const" || token == "struct" ||
                            token == "restrict" || is_address(token, "read_only") ||
                            is_address(token, "write_only") || is_address(token, "read_write");
    if (!decoration && is_word(token[0])) words.push_back(token);
  }
  if (!words.empty()) argument.type = words.front();
  if (words.size() > 1) argument.name = words.back();
  if (pointer) {
    // No kernel takes a pointer into private memory.
    if (argument.address == CL_KERNEL_ARG_ADDRESS_PRIVATE) {
      argument.address = CL_KERNEL_ARG_ADDRESS_GLOBAL;
    }
    argument.kind = argument.address == CL_KERNEL_ARG_ADDRESS_LOCAL ? ArgumentKind::local
                                                                    : ArgumentKind::buffer;
    argument.type += "*";
  } else if (argument.type.starts_with("image")) {
    argument.kind = ArgumentKind::image;
    argument.address = CL_KERNEL_ARG_ADDRESS_GLOBAL;
  } else if (argument.type == "sampler_t") {
    argument.kind = ArgumentKind::sampler;
  } else {
    argument.size = size_of(argument.type);
  }
  return argument;
}

}  // namespace

std::vector<KernelText> parse_kernels(const std::string& source) {
  std::vector<KernelText> kernels;
  const std::vector<std::string> tokens = tokens_of(source);
  for (std::size_t i = 0; i + 3 < tokens.size(); ++i) {
    if (!is_address(tokens[i], "kernel") || tokens[i + 1] != "void" || tokens[i + 3] != "(")
      continue;
    KernelText kernel{tokens[i + 2], {}};
    std::vector<std::string> part;
    std::size_t at = i + 4;
    for (; at < tokens.size() && tokens[at] != ")"; ++at) {
      if (tokens[at] == ",") {
        kernel.arguments.push_back(argument_of(part));
        part.clear();
      } else {
        part.push_back(tokens[at]);
      }
    }
    const bool nothing = part.empty() || (part.size() == 1 && part[0] == "void");
    if (!nothing || !kernel.arguments.empty()) kernel.arguments.push_back(argument_of(part));
    kernels.push_back(std::move(kernel));
    i = at;
  }
  return kernels;
}

}  // namespace tessera::null

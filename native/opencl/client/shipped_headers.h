// SPDX-License-Identifier: Apache-2.0
//
// The files that a build includes, found and opened as the bare compiler would: the folder of the
// including file for a quoted name, then the current folder, then those of -I in order; absolute
// names, `../` and symbolic links as they are. What is not found stays as it was written, and the
// compiler itself says so, or has such a file of its own.
//
// A shipped file begins with a #line that names it, so that logs and __FILE__ say what they say on
// the bare device.
//
// `#include MACRO` names whatever the macro stands for there, and several definitions may be behind
// conditions. So each definition of such a macro that names a file is followed by one of a second
// macro, for the shipped file, and the directive names that. Where some definition of the macro is
// of another kind (parameters, other macros, pieces put together) the directive stays as it was.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::client {

// The texts of a build in the wire's form (opencl/shipped_texts.h); empty where nothing is found.
struct ShippedHeaders {
  std::vector<std::uint32_t> part_sizes, part_files, text_ends;
  std::string bytes;

  bool empty() const { return text_ends.empty(); }
};

// `sources`: the program's, then those of the header programs of a compilation, whose names are
// `taken`: what is included by one of these names is that program.
ShippedHeaders ship_headers(std::span<const std::string_view> sources, std::string_view options,
                            std::span<const std::string_view> taken = {});

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
//
// Build options of a client, as far as they are passed on to the driver.
//
// A compiler has options that read, write and load files (`-include`, `-Xclang -load`, `-o`,
// `--sysroot`), and it would do so as the worker, on the worker's host. So only what OpenCL
// defines, and what is known to be harmless, goes on; the rest is CL_INVALID_BUILD_OPTIONS, as from
// a driver that does not know it.
//
// `-I` is left out: it names folders of the client, which the worker does not open. What the client
// found there comes with the build (opencl/shipped_texts.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tessera::worker {

// The options for the driver, or nothing if one of them is refused.
std::optional<std::string> options_for_driver(std::string_view options);

// What a build's log says when options_for_driver() refuses, in the words of the embedded device.
std::string why_refused(std::string_view options);

// The same options, and the driver keeps the facts about kernel arguments: without them it cannot
// be told which arguments are handles.
std::string with_kernel_arg_info(std::string options);

}  // namespace tessera::worker

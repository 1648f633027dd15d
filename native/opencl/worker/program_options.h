// SPDX-License-Identifier: Apache-2.0
//
// Build options of a client, as far as they are passed on to the driver.
//
// A compiler has options that read, write and load files (`-include`, `-Xclang -load`, `-o`,
// `--sysroot`), and it would do so as the worker, on the worker's host. So only what OpenCL
// defines, and what is known to be harmless, goes on; the rest is CL_INVALID_BUILD_OPTIONS, as from
// a driver that does not know it.
//
// `-I` is passed on when it names an absolute path, because programs that run on the bare device
// use it (the client makes its own relative paths absolute). A relative one would name the worker's
// folder, so it is left out. That opens nothing which `#include "/absolute/path"` does not open
// without any option: a driver's compiler reads what the worker's user may read, and its log shows
// pieces of it. The limit of that is the user and the mount namespace that the worker runs in, not
// this filter. Sending the client's folders along was refused: computed includes
// (`#include STR(DIR/file.h)`) name files that only the preprocessor finds.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tessera::worker {

// The options for the driver, or nothing if one of them is refused.
std::optional<std::string> options_for_driver(std::string_view options);

// The same, and the driver keeps the facts about kernel arguments: without them it cannot be told
// which arguments are handles.
std::string with_kernel_arg_info(std::string options);

}  // namespace tessera::worker

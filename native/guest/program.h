// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <stdexcept>
#include <string>

#include "base/unique_fd.h"
#include "guest/request.h"
#include "guest/user.h"

namespace tessera::guest {

// The program could not be started: an errno value, and at what.
class NotStarted : public std::runtime_error {
 public:
  NotStarted(int number, const std::string& at) : std::runtime_error(at), number(number) {}
  const int number;
};

// The program, and this end of its standard streams; none of them blocks. With a terminal, `input`
// and `output` are the terminal and there is no `errors`.
struct Program {
  pid_t pid = 0;
  UniqueFd input, output, errors;
};

// Starts what `request` says, in a session of its own. Throws NotStarted.
Program start_program(const Request& request, const User& user);

// Tells the program's terminal its size.
void resize_terminal(const UniqueFd& terminal, TerminalSize size);

}  // namespace tessera::guest

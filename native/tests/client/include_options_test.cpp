// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/include_options.h"

#include "check.h"

namespace {

using tessera::client::with_absolute_includes;

std::string in_home(std::string_view options) {
  return with_absolute_includes(options, "/home/me");
}

void paths_become_absolute() {
  CHECK(in_home("-I include -DX") == "-I /home/me/include -DX");
  CHECK(in_home("-w  -Iinclude -I.") == "-w  -I/home/me/include -I/home/me/.");
  CHECK(in_home("-I \"my files\" -w") == "-I \"/home/me/my files\" -w");
  CHECK(in_home("-I'a b'") == "-I'/home/me/a b'");
  CHECK(with_absolute_includes("-Ia", "/my files") == "-I\"/my files/a\"");
}

void everything_else_stays() {
  for (const char* same : {"", "-w -DI=2", "-I /usr/include", "-I/opt", "-I", "-D '-I x'", "-I \"",
                           "-D\\", "-DX=\"-I y\""}) {
    CHECK(in_home(same) == same);
  }
  CHECK(with_absolute_includes("-I include", "") == "-I include");
}

}  // namespace

int main() {
  paths_become_absolute();
  everything_else_stays();
  return 0;
}

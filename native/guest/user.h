// SPDX-License-Identifier: Apache-2.0
//
// Who a program of an image is: USER[:GROUP] by the image's own /etc/passwd and /etc/group, which
// are known inside of the machine only. The init is static, so the C library's own lookup, which
// loads further libraries, is out of its reach; and the answer is to be a sandbox's
// (src/tessera/sandbox/inside.py). tests/helpers/users.txt says for both what it is.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::guest {

struct User {
  uid_t user = 0;
  gid_t group = 0;
  std::string home;
  std::vector<gid_t> groups;  // beside `group`
};

// nullopt: nobody whom the image knows.
std::optional<User> find_user(std::string_view text, std::string_view passwd,
                              std::string_view group);

// The content of a regular file, as far as anybody reads such a file; nothing where there is none.
std::string read_names(const char* path);

}  // namespace tessera::guest

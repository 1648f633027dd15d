// SPDX-License-Identifier: Apache-2.0
#include "guest/user.h"

#include <stdio.h>
#include <sys/stat.h>

#include <fstream>
#include <string>

#include "check.h"

namespace tessera::guest {
namespace {

std::string shown(const std::optional<User>& user) {
  if (!user) return "-";
  std::string text =
      std::to_string(user->user) + " " + std::to_string(user->group) + " " + user->home;
  for (const gid_t group : user->groups) text += " " + std::to_string(group);
  return text;
}

void users_are_those_of_the_table() {
  std::ifstream table(TESSERA_USERS);
  std::string passwd, group;
  int asked = 0;
  for (std::string line; std::getline(table, line);) {
    const std::size_t arrow = line.find(" => ");
    if (line.starts_with("passwd ")) passwd += line.substr(7) + "\n";
    if (line.starts_with("group ")) group += line.substr(6) + "\n";
    if (!line.starts_with("user ")) continue;
    ++asked;
    const std::string found = shown(find_user(line.substr(5, arrow - 5), passwd, group));
    if (found != line.substr(arrow + 4)) ::fprintf(stderr, "%s: %s\n", line.c_str(), found.c_str());
    CHECK(found == line.substr(arrow + 4));
  }
  CHECK(asked > 20);
}

void files_that_say_nothing_know_nobody_by_name() {
  for (const std::string text : {"", ":", "::::::", ":::::::\n:", "me", "\n\n", "me:x:1:2:3"}) {
    CHECK(!find_user("me", text, text));
    CHECK(shown(find_user("5:6", text, text)) == "5 6 /");
  }
}

void groups_are_as_many_as_a_process_may_well_have() {
  std::string group;
  for (int i = 0; i < 100; ++i) group += "g:x:" + std::to_string(i) + ":me\n";
  CHECK(find_user("me", "me:x:1:2::/:", group)->groups.size() == 64);
}

void only_files_are_read() {
  CHECK(read_names("/none").empty());
  CHECK(read_names("/").empty());
  CHECK(read_names("/dev/zero").empty());
  CHECK(read_names(TESSERA_USERS).starts_with("# Who"));
}

}  // namespace
}  // namespace tessera::guest

int main() {
  using namespace tessera::guest;
  users_are_those_of_the_table();
  files_that_say_nothing_know_nobody_by_name();
  groups_are_as_many_as_a_process_may_well_have();
  only_files_are_read();
}

// SPDX-License-Identifier: Apache-2.0
#include "gatekeeper/control.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "check.h"
#include "gatekeeper/harness.h"

namespace tessera::gatekeeper {
namespace {

constexpr std::chrono::milliseconds kForever{3'600'000};

// A control socket and the loop around it, turned by hand.
class Table {
 public:
  explicit Table(std::chrono::milliseconds patience = kForever) {
    char name[] = "/tmp/tessera-control-XXXXXX";
    CHECK(::mkdtemp(name) != nullptr);
    folder_ = name;
    control_.emplace(path(), commands(), patience);
  }
  ~Table() {
    control_.reset();
    std::filesystem::remove_all(folder_);
  }
  std::string path() const { return folder_ + "/control.sock"; }
  UniqueFd connect() const { return connect_to(path()); }

  // Serves until there is nothing to do, and says how many places are taken then.
  std::size_t turn() {
    for (;;) {
      std::vector<pollfd> entries;
      control_->watch(entries);
      CHECK(entries.size() <= kMaxControlPeers + 1);
      const int ready = ::poll(entries.data(), entries.size(), 0);
      CHECK(control_->serve(entries));
      if (ready == 0) break;
    }
    std::vector<pollfd> entries;
    control_->watch(entries);
    return entries.size() - 1;
  }
  // All that the peer gets until the connection ends, or until nothing more comes.
  std::string heard(const UniqueFd& peer) {
    turn();
    std::string answer;
    char data[8192];
    for (ssize_t got = 0; (got = ::recv(peer.get(), data, sizeof data, MSG_DONTWAIT)) > 0;) {
      answer.append(data, static_cast<std::size_t>(got));
    }
    return answer;
  }
  std::string asked(const std::string& request) {
    const UniqueFd peer = connect();
    say(peer, request);
    return heard(peer);
  }
  void say(const UniqueFd& peer, const std::string& text) {
    CHECK(::send(peer.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(text.size()));
  }
  Control& control() { return *control_; }
  void end() { control_.reset(); }

  std::optional<Answer> kept;

 private:
  std::vector<Command> commands() {
    return {
        {"echo", "echo WORD...",
         [](Words words, Answer& answer) {
           std::string text;
           for (const auto word : words) text += (text.empty() ? "" : ",") + std::string(word);
           answer.ok(text);
         }},
        {"later", "later", [this](Words, Answer& answer) { kept = std::move(answer); }},
        {"never", "never", [](Words, Answer&) {}},
        {"long", "long", [](Words, Answer& answer) { answer.ok(std::string(10'000, 'x')); }},
        {"fail", "fail", [](Words, Answer&) { throw std::runtime_error("it\nbroke"); }},
        {"strict", "strict NUMBER", [](Words, Answer&) { throw WrongForm(); }},
    };
  }

  std::string folder_;
  std::optional<Control> control_;
};

void one_line_gets_one_answer() {
  Table table;
  CHECK(table.asked("echo\n") == "ok\n");
  CHECK(table.asked("echo a  b c \n") == "ok a,b,c\n");
  CHECK(table.asked("strict x\n") == "error wrong-form the form is: strict NUMBER\n");
  CHECK(table.asked("fail\n") == "error failed it broke\n");
  CHECK(table.asked("never\n") == "error failed the command gave no answer\n");
  for (const char* unknown : {"\n", " \n", "ech\n", "echoo\n", "ECHO\n"}) {
    CHECK(table.asked(unknown).starts_with("error unknown-command "));
  }
  const std::string cut = table.asked("long\n");
  CHECK(cut.size() == kMaxControlLine && cut.ends_with("x\n"));
  CHECK(table.turn() == 0);
}

void a_line_may_come_in_pieces() {
  Table table;
  const UniqueFd peer = table.connect();
  for (const char* piece : {"ec", "ho ", "a"}) {
    table.say(peer, piece);
    CHECK(table.heard(peer).empty());
  }
  table.say(peer, "b\n");
  CHECK(table.heard(peer) == "ok ab\n");
}

void an_answer_may_come_later() {
  Table table;
  const UniqueFd patient = table.connect();
  table.say(patient, "later\n");
  CHECK(table.heard(patient).empty() && table.kept);
  CHECK(table.asked("echo meanwhile\n") == "ok meanwhile\n");
  // No time limit of the socket's runs while a command does.
  CHECK(table.control().wait_ms(-1) == -1);
  table.kept->ok("done");
  CHECK(table.heard(patient) == "ok done\n");
  table.kept->ok("twice");
  CHECK(table.turn() == 0);
}

void an_answer_for_one_that_left_goes_nowhere() {
  Table table;
  UniqueFd peer = table.connect();
  table.say(peer, "later\n");
  CHECK(table.turn() == 1);
  peer.reset();
  CHECK(table.turn() == 0);
  table.kept->ok();
  CHECK(table.asked("echo\n") == "ok\n");

  const UniqueFd other = table.connect();
  table.say(other, "later\n");
  table.turn();
  table.end();
  table.kept->ok();
  table.kept.reset();
}

// Half a connection is enough to be told on.
void a_peer_may_end_its_side_after_asking() {
  Table table;
  const UniqueFd peer = table.connect();
  table.say(peer, "later\n");
  CHECK(::shutdown(peer.get(), SHUT_WR) == 0);
  CHECK(table.turn() == 1);
  table.kept->error("busy", "not now");
  CHECK(table.heard(peer) == "error busy not now\n");
}

void hostile_bytes_end_their_own_connection() {
  Table table;
  const std::string wrong = "error wrong-form a request is one line of at most 4096 bytes\n";
  CHECK(table.asked(std::string(kMaxControlLine, 'a')) == wrong);
  CHECK(table.asked(std::string(100'000, 'a')) == wrong);
  CHECK(table.asked("echo a\necho b\n") == wrong);
  CHECK(table.asked("echo a\nx") == wrong);
  CHECK(table.asked(std::string(kMaxControlLine - 1, 'a') + "\n").starts_with("error unknown"));
  CHECK(table.asked(std::string("ec\0ho\n", 6)).starts_with("error unknown"));
  for (int byte = 0; byte < 256; ++byte) {
    CHECK(table.asked(std::string(3, static_cast<char>(byte)) + "\n").starts_with("error "));
  }
  CHECK(table.asked("").empty());
  for (int i = 0; i < 100; ++i) table.say(table.connect(), "ec");
  CHECK(table.turn() == 0);
  CHECK(table.asked("echo fine\n") == "ok fine\n");
}

void who_finds_no_place_waits_for_one() {
  Table table;
  std::vector<UniqueFd> silent;
  for (std::size_t i = 0; i < kMaxControlPeers; ++i) silent.push_back(table.connect());
  CHECK(table.turn() == kMaxControlPeers);
  const UniqueFd late = table.connect();
  table.say(late, "echo late\n");
  CHECK(table.heard(late).empty());
  silent.pop_back();
  CHECK(table.heard(late) == "ok late\n");
}

void who_says_nothing_is_dropped() {
  Table table(std::chrono::milliseconds(1));
  const UniqueFd silent = table.connect();
  CHECK(eventually([&] { return table.turn() == 0; }));
  char end = 0;
  CHECK(::recv(silent.get(), &end, 1, 0) == 0);
}

void the_time_limit_is_told_to_the_loop() {
  Table table(std::chrono::milliseconds(10'000));
  CHECK(table.control().wait_ms(-1) == -1 && table.control().wait_ms(50) == 50);
  const UniqueFd silent = table.connect();
  CHECK(table.turn() == 1);
  const int left = table.control().wait_ms(-1);
  CHECK(left > 0 && left <= 10'001);
  CHECK(table.control().wait_ms(50) == 50);
}

// Nobody else gets an answer, even if the socket's mode lets them in.
void another_user_is_refused() {
  if (::geteuid() != 0) return;
  Table table;
  CHECK(::chmod(table.path().c_str(), 0666) == 0);
  std::filesystem::permissions(std::filesystem::path(table.path()).parent_path(),
                               std::filesystem::perms(0755));
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setuid(65534) != 0) ::_exit(2);
    const UniqueFd peer = connect_to(table.path());
    // The refusal may come before the request is out.
    (void)!::send(peer.get(), "echo\n", 5, MSG_NOSIGNAL);
    char answer = 0;
    ::_exit(::recv(peer.get(), &answer, 1, 0) > 0 ? 1 : 0);
  }
  int status = 0;
  CHECK(eventually([&] {
    table.turn();
    return ::waitpid(child, &status, WNOHANG) == child;
  }));
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK(table.asked("echo\n") == "ok\n");
}

}  // namespace
}  // namespace tessera::gatekeeper

int main() {
  using namespace tessera::gatekeeper;
  one_line_gets_one_answer();
  a_line_may_come_in_pieces();
  an_answer_may_come_later();
  an_answer_for_one_that_left_goes_nowhere();
  a_peer_may_end_its_side_after_asking();
  hostile_bytes_end_their_own_connection();
  who_finds_no_place_waits_for_one();
  who_says_nothing_is_dropped();
  the_time_limit_is_told_to_the_loop();
  another_user_is_refused();
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "check.h"
#include "lease/quota.h"
#include "transport/handshake.h"

namespace tessera {
namespace {

std::string gatekeeper_path;
std::string stub_path;

void pause_ms(long ms) {
  const timespec slice{ms / 1000, ms % 1000 * 1'000'000};
  ::nanosleep(&slice, nullptr);
}

bool eventually(const std::function<bool()>& true_soon) {
  for (int i = 0; i < 1000; ++i) {
    if (true_soon()) return true;
    pause_ms(5);
  }
  return false;
}

pid_t spawn(const std::vector<std::string>& arguments) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    std::vector<char*> argv;
    for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  return pid;
}

int wait_for(pid_t pid) {
  int status = 0;
  CHECK(::waitpid(pid, &status, 0) == pid);
  return status;
}

class Gatekeeper {
 public:
  explicit Gatekeeper(bool tcp = false, const std::string& worker = stub_path) {
    char name[] = "/tmp/tessera-gate-XXXXXX";
    CHECK(::mkdtemp(name) != nullptr);
    folder_ = name;
    int ready[2];
    CHECK(::pipe(ready) == 0);
    ::fcntl(ready[0], F_SETFD, FD_CLOEXEC);
    std::vector<std::string> arguments{gatekeeper_path,
                                       "--lease",
                                       "test",
                                       "--listen",
                                       socket(),
                                       "--quota",
                                       quota_path(),
                                       "--gpu",
                                       "0:0:1000",
                                       "--worker",
                                       worker,
                                       "--ready-fd",
                                       std::to_string(ready[1])};
    if (tcp) {
      const UniqueFd file(::open(token_path().c_str(), O_WRONLY | O_CREAT, 0600));
      const std::string token(64, 'a');
      CHECK(::write(file.get(), token.data(), token.size()) == 64);
      arguments.insert(arguments.end(),
                       {"--listen-tcp", "127.0.0.1:0", "--token-file", token_path()});
    }
    pid_ = spawn(arguments);
    ::close(ready[1]);
    char line[64] = {};
    // Until the end: then the gatekeeper has closed its side.
    while (::read(ready[0], line, sizeof line - 1) > 0) ready_line_ += line;
    ::close(ready[0]);
  }
  ~Gatekeeper() {
    if (pid_ != 0) stop();
    std::filesystem::remove_all(folder_);
  }

  int stop() {
    ::kill(pid_, SIGTERM);
    const int status = wait_for(pid_);
    pid_ = 0;
    return status;
  }
  UniqueFd connect() const {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ::strcpy(address.sun_path, socket().c_str());
    CHECK(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    return fd;
  }
  // The worker's first byte: how many descriptors it has. -1 when it is refused.
  int greeted(const UniqueFd& client) const {
    char count = 0;
    return ::read(client.get(), &count, 1) == 1 ? count : -1;
  }
  Quota quota() const { return Quota::attach(::open(quota_path().c_str(), O_RDWR | O_CLOEXEC)); }
  std::size_t descriptors() const {
    std::size_t count = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid_) + "/fd")) {
      count += entry.path().empty() ? 0 : 1;
    }
    return count;
  }
  pid_t pid() const { return pid_; }
  std::string socket() const { return folder_ + "/gpu.sock"; }
  std::string quota_path() const { return folder_ + "/quota"; }
  std::string token_path() const { return folder_ + "/token"; }
  const std::string& ready_line() const { return ready_line_; }
  void forget() { pid_ = 0; }

 private:
  std::string folder_;
  std::string ready_line_;
  pid_t pid_ = 0;
};

void files_are_private_and_go_with_it() {
  Gatekeeper gatekeeper;
  CHECK(gatekeeper.ready_line() == "{\"tcp_port\": null}\n");
  struct stat facts {};
  CHECK(::stat(gatekeeper.socket().c_str(), &facts) == 0 && (facts.st_mode & 0777) == 0600);
  CHECK(::stat(gatekeeper.quota_path().c_str(), &facts) == 0 && (facts.st_mode & 0777) == 0600);
  CHECK(gatekeeper.stop() == 0);
  CHECK(::access(gatekeeper.socket().c_str(), F_OK) != 0);
  CHECK(::access(gatekeeper.quota_path().c_str(), F_OK) != 0);
}

void sessions_leave_nothing_behind() {
  Gatekeeper gatekeeper;
  Quota quota = gatekeeper.quota();
  const std::size_t before = gatekeeper.descriptors();
  int first = 0;
  for (int i = 0; i < 500; ++i) {
    const UniqueFd client = gatekeeper.connect();
    const int count = gatekeeper.greeted(client);
    CHECK(count > 0);
    if (i == 0) first = count;
    // A worker inherits the standard streams, its socket and the quota page, however many came
    // before.
    CHECK(count == first && count == 5);
  }
  CHECK(eventually([&] { return quota.page().live_sessions == 0; }));
  CHECK(gatekeeper.descriptors() == before);
  CHECK(quota.page().sessions_total == 500);
}

void a_crashed_worker_gives_its_memory_back() {
  Gatekeeper gatekeeper;
  Quota quota = gatekeeper.quota();
  const UniqueFd client = gatekeeper.connect();
  CHECK(gatekeeper.greeted(client) > 0);
  CHECK(quota.reserve(0, 1, 700));
  CHECK(eventually([&] { return quota.page().slots[0].worker_pid > 0; }));
  CHECK(::write(client.get(), "c", 1) == 1);
  CHECK(eventually([&] { return quota.page().gpus[0].used == 0; }));
  CHECK(quota.page().live_sessions == 0);
}

void a_full_lease_says_so() {
  Gatekeeper gatekeeper;
  std::vector<UniqueFd> clients;
  for (std::size_t i = 0; i < kMaxSessions; ++i) {
    clients.push_back(gatekeeper.connect());
    CHECK(gatekeeper.greeted(clients.back()) > 0);
  }
  const UniqueFd refused = gatekeeper.connect();
  HelloReply reply;
  CHECK(::recv(refused.get(), &reply, sizeof reply, MSG_WAITALL) == sizeof reply);
  CHECK(reply.status == HelloStatus::full);
  clients.pop_back();
  Quota quota = gatekeeper.quota();
  CHECK(eventually([&] { return quota.page().live_sessions == kMaxSessions - 1; }));
  const UniqueFd served = gatekeeper.connect();
  CHECK(gatekeeper.greeted(served) > 0);
}

void its_end_takes_the_workers_along() {
  Gatekeeper gatekeeper;
  const UniqueFd obedient = gatekeeper.connect();
  const UniqueFd stubborn = gatekeeper.connect();
  CHECK(gatekeeper.greeted(obedient) > 0 && gatekeeper.greeted(stubborn) > 0);
  char answer = 0;
  CHECK(::write(stubborn.get(), "h", 1) == 1 && ::read(stubborn.get(), &answer, 1) == 1);
  CHECK(gatekeeper.stop() == 0);
  CHECK(::read(obedient.get(), &answer, 1) == 0 && ::read(stubborn.get(), &answer, 1) == 0);
}

void workers_die_with_a_killed_gatekeeper() {
  Gatekeeper gatekeeper;
  const UniqueFd client = gatekeeper.connect();
  CHECK(gatekeeper.greeted(client) > 0);
  ::kill(gatekeeper.pid(), SIGKILL);
  wait_for(gatekeeper.pid());
  gatekeeper.forget();
  char end = 0;
  CHECK(::read(client.get(), &end, 1) <= 0);
}

void tcp_only_where_asked_for() {
  Gatekeeper gatekeeper(true);
  int port = 0;
  CHECK(::sscanf(gatekeeper.ready_line().c_str(), "{\"tcp_port\": %d}", &port) == 1 && port > 0);
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  // One descriptor more than over the unix socket: the token.
  CHECK(gatekeeper.greeted(client) == 6);
  const UniqueFd local = gatekeeper.connect();
  CHECK(gatekeeper.greeted(local) == 5);
}

void a_missing_worker_refuses_its_client() {
  Gatekeeper gatekeeper(false, "/nonexistent/tessera-worker");
  const UniqueFd client = gatekeeper.connect();
  HelloReply reply;
  CHECK(::recv(client.get(), &reply, sizeof reply, MSG_WAITALL) == sizeof reply);
  CHECK(reply.status == HelloStatus::failed);
  Quota quota = gatekeeper.quota();
  CHECK(eventually([&] { return quota.page().live_sessions == 0; }));
}

void wrong_arguments_are_usage_errors() {
  for (const std::vector<std::string>& extra : {std::vector<std::string>{"--wrong", "x"},
                                                {"--lease"},
                                                {"--gpu", "0:0"},
                                                {"--lease", "a"}}) {
    std::vector<std::string> arguments{gatekeeper_path};
    arguments.insert(arguments.end(), extra.begin(), extra.end());
    const int status = wait_for(spawn(arguments));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 2);
  }
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  using namespace tessera;
  CHECK(argc == 3);
  gatekeeper_path = argv[1];
  stub_path = argv[2];
  files_are_private_and_go_with_it();
  sessions_leave_nothing_behind();
  a_crashed_worker_gives_its_memory_back();
  a_full_lease_says_so();
  its_end_takes_the_workers_along();
  workers_die_with_a_killed_gatekeeper();
  tcp_only_where_asked_for();
  a_missing_worker_refuses_its_client();
  wrong_arguments_are_usage_errors();
  return 0;
}

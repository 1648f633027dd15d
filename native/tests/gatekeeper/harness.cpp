// SPDX-License-Identifier: Apache-2.0
#include "gatekeeper/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>

#include "check.h"

namespace tessera {

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

UniqueFd connect_to(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ::strcpy(address.sun_path, path.c_str());
  CHECK(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return fd;
}

Gatekeeper::Gatekeeper(bool tcp, const std::string& worker) {
  char name[] = "/tmp/tessera-gate-XXXXXX";
  CHECK(::mkdtemp(name) != nullptr);
  folder_ = name;
  int ready[2];
  CHECK(::pipe(ready) == 0);
  ::fcntl(ready[0], F_SETFD, FD_CLOEXEC);
  std::vector<std::string> arguments{
      gatekeeper_path, "--lease",    "test",      "--listen",   socket(),
      "--quota",       quota_path(), "--control", control(),    "--gpu",
      "0:0:1000",      "--worker",   worker,      "--ready-fd", std::to_string(ready[1])};
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

Gatekeeper::~Gatekeeper() {
  if (pid_ != 0) stop();
  std::filesystem::remove_all(folder_);
}

int Gatekeeper::stop() {
  ::kill(pid_, SIGTERM);
  const int status = wait_for(pid_);
  pid_ = 0;
  return status;
}

int Gatekeeper::greeted(const UniqueFd& client) const {
  char count = 0;
  return ::read(client.get(), &count, 1) == 1 ? count : -1;
}

Quota Gatekeeper::quota() const {
  return Quota::attach(::open(quota_path().c_str(), O_RDWR | O_CLOEXEC));
}

std::size_t Gatekeeper::descriptors() const {
  std::size_t count = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid_) + "/fd")) {
    count += entry.path().empty() ? 0 : 1;
  }
  return count;
}

}  // namespace tessera

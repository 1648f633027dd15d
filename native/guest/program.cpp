// SPDX-License-Identifier: Apache-2.0
#include "guest/program.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace tessera::guest {
namespace {

struct Pipe {
  UniqueFd read, write;
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw NotStarted(errno, "a pipe");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Of this end only: the program's is a file of its own and waits as usual.
void never_wait(const UniqueFd& fd) {
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

// What the program gets as its standard streams.
struct Given {
  UniqueFd input, output, errors;
};

Given make_pipes(Program& program) {
  Pipe input = make_pipe();
  Pipe output = make_pipe();
  Pipe errors = make_pipe();
  program.input = std::move(input.write);
  program.output = std::move(output.read);
  program.errors = std::move(errors.read);
  return {std::move(input.read), std::move(output.write), std::move(errors.write)};
}

UniqueFd again(const UniqueFd& fd) {
  UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) throw NotStarted(errno, "a descriptor");
  return copy;
}

Given make_terminal(Program& program, TerminalSize size) {
  program.output = UniqueFd(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!program.output || ::unlockpt(program.output.get()) != 0) {
    throw NotStarted(errno, "a terminal");
  }
  program.input = again(program.output);
  std::array<char, 64> name{};
  if (::ptsname_r(program.output.get(), name.data(), name.size()) != 0) {
    throw NotStarted(errno, "the name of a terminal");
  }
  Given given;
  given.input = UniqueFd(::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!given.input) throw NotStarted(errno, name.data());
  given.output = again(given.input);
  given.errors = again(given.input);
  resize_terminal(program.output, size);
  return given;
}

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> found;
  for (const std::string& word : words) found.push_back(const_cast<char*>(word.c_str()));
  found.push_back(nullptr);
  return found;
}

void restore_signals() {
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// 0 or an errno value, and in `at` what failed. In the child; returns only when it fails.
int become(const Request& request, const User& user, const Given& given, std::string& at) {
  restore_signals();
  ::setsid();
  if (request.terminal) ::ioctl(given.input.get(), TIOCSCTTY, 0);
  ::dup2(given.input.get(), STDIN_FILENO);
  ::dup2(given.output.get(), STDOUT_FILENO);
  ::dup2(given.errors.get(), STDERR_FILENO);
  at = "group " + std::to_string(user.group);
  if (::setgroups(user.groups.size(), user.groups.data()) != 0) return errno;
  if (::setgid(user.group) != 0) return errno;
  at = "user " + std::to_string(user.user);
  if (::setuid(user.user) != 0) return errno;
  at = "the folder " + request.directory;
  if (::chdir(request.directory.c_str()) != 0) return errno;
  at = request.arguments.front();
  const auto arguments = pointers(request.arguments);
  const auto variables = pointers(request.variables);
  // It also searches the folders of PATH, this process's: the program's.
  ::environ = const_cast<char**>(variables.data());
  ::execvp(arguments.front(), arguments.data());
  return errno;
}

[[noreturn]] void run_child(const Request& request, const User& user, const Given& given,
                            int tell) {
  std::string text;
  const int number = become(request, user, given, text);
  text.insert(0, reinterpret_cast<const char*>(&number), sizeof number);
  [[maybe_unused]] const ssize_t said = ::write(tell, text.data(), text.size());
  ::_exit(127);
}

}  // namespace

void resize_terminal(const UniqueFd& terminal, TerminalSize size) {
  const winsize wanted{size.rows, size.columns, 0, 0};
  ::ioctl(terminal.get(), TIOCSWINSZ, &wanted);
}

Program start_program(const Request& request, const User& user) {
  if (request.arguments.empty()) throw NotStarted(EINVAL, "no program was named");
  Program program;
  Given given = request.terminal ? make_terminal(program, *request.terminal) : make_pipes(program);
  Pipe told = make_pipe();
  program.pid = ::fork();
  if (program.pid < 0) throw NotStarted(errno, "a process");
  if (program.pid == 0) run_child(request, user, given, told.write.get());
  given = {};
  told.write.reset();
  // Closed by the exec, unless that fails.
  std::array<char, 4096> text;
  const ssize_t got = ::read(told.read.get(), text.data(), text.size());
  if (got >= static_cast<ssize_t>(sizeof(int))) {
    int number = 0;
    std::copy_n(text.data(), sizeof number, reinterpret_cast<char*>(&number));
    throw NotStarted(number, std::string(text.data() + sizeof number,
                                         static_cast<std::size_t>(got) - sizeof number));
  }
  for (const UniqueFd* fd : {&program.input, &program.output, &program.errors}) {
    if (*fd) never_wait(*fd);
  }
  return program;
}

}  // namespace tessera::guest

// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <system_error>

#include "tests/conformance/runner.h"

namespace tessera::conformance {
namespace {

struct Child {
  pid_t pid;
  int reports;
};

Child start(const RunOptions& options, std::size_t first) {
  int ends[2];
  if (::pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  ::fcntl(ends[0], F_SETFD, FD_CLOEXEC);
  const pid_t pid = ::fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid == 0) {
    // A group of its own: what the case leaves behind is ended with it.
    ::setpgid(0, 0);
    std::vector<std::string> words = {
        options.self, "--child",     std::to_string(first), "--report-fd", std::to_string(ends[1]),
        "--filter",   options.filter};
    if (options.deviations) words.push_back("--deviations");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    ::execv(options.self.c_str(), argv.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  return {pid, ends[0]};
}

// The next line from the child; nothing at end of file or when the time is over.
class Lines {
 public:
  explicit Lines(int fd) : fd_(fd) {}
  std::optional<std::string> next(int seconds) {
    for (;;) {
      const std::size_t end = rest_.find('\n');
      if (end != std::string::npos) {
        std::string line = rest_.substr(0, end);
        rest_.erase(0, end + 1);
        return line;
      }
      pollfd wait{fd_, POLLIN, 0};
      const int ready = ::poll(&wait, 1, seconds * 1000);
      if (ready == 0) {
        timed_out_ = true;
        return std::nullopt;
      }
      char room[4096];
      const ssize_t n = ::read(fd_, room, sizeof room);
      if (n <= 0) return std::nullopt;
      rest_.append(room, static_cast<std::size_t>(n));
    }
  }
  bool timed_out() const { return timed_out_; }

 private:
  int fd_;
  bool timed_out_ = false;
  std::string rest_;
};

std::string death(int status) {
  if (WIFSIGNALED(status)) return "ended by signal " + std::to_string(WTERMSIG(status));
  return "exited with " + std::to_string(WEXITSTATUS(status));
}

// Waits a moment for an orderly exit (a driver may hang in its own destructors), then kills.
int reap(const Child& child) {
  int status = 0;
  for (int i = 0; i < 100; ++i) {
    if (::waitpid(child.pid, &status, WNOHANG) == child.pid) {
      ::kill(-child.pid, SIGKILL);
      return status;
    }
    ::usleep(50'000);
  }
  ::kill(-child.pid, SIGKILL);
  ::waitpid(child.pid, &status, 0);
  return status;
}

struct Stretch {
  std::size_t next;                  // first case without a result
  std::optional<std::size_t> begun;  // a case that was begun and gave none
  bool finished = false;
  bool timed_out = false;
};

Stretch read_reports(const std::vector<const Case*>& order, std::size_t first, const Child& child,
                     int seconds, const std::function<void(const Result&)>& report) {
  Stretch stretch{first, std::nullopt};
  Lines lines(child.reports);
  while (const auto line = lines.next(seconds)) {
    const char letter = line->at(0);
    if (letter == 'E') {
      stretch.finished = true;
      break;
    }
    const std::size_t space = line->find(' ', 2);
    const std::size_t index = std::stoul(line->substr(2, space - 2));
    if (letter == 'B') {
      stretch.begun = index;
      continue;
    }
    const Outcome outcome =
        letter == 'P' ? Outcome::ok : (letter == 'S' ? Outcome::skip : Outcome::fail);
    report({order.at(index)->name(), outcome, line->substr(space + 1)});
    stretch.begun.reset();
    stretch.next = index + 1;
  }
  stretch.timed_out = lines.timed_out();
  return stretch;
}

}  // namespace

void supervise(const std::vector<const Case*>& order, const RunOptions& options,
               const std::function<void(const Result&)>& report) {
  std::size_t next = 0;
  while (next < order.size()) {
    const Child child = start(options, next);
    const Stretch stretch = read_reports(order, next, child, options.seconds_per_case, report);
    ::close(child.reports);
    if (stretch.timed_out) ::kill(-child.pid, SIGKILL);
    const int status = reap(child);
    next = stretch.next;
    if (stretch.finished && !stretch.begun) {
      if (status != 0)
        report({"process.exit_after_" + order.at(next - 1)->name(), Outcome::fail,
                "got " + death(status) + " want a normal exit"});
      continue;
    }
    const std::string why =
        stretch.timed_out ? "stood still for " + std::to_string(options.seconds_per_case) + " s"
                          : death(status);
    if (next < order.size())
      report({order.at(next)->name(), Outcome::fail, "got " + why + " want a result"});
    ++next;
  }
}

}  // namespace tessera::conformance

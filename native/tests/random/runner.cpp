// SPDX-License-Identifier: Apache-2.0
//
// The parent never calls OpenCL, so that it can fork; the child does nothing else. The child tells
// of each program by a record: a letter, its number, the length of a text, and the text. A letter
// B says that a program begins, O that it ended well, and the others are failures.
#include "tests/random/runner.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <sstream>
#include <system_error>
#include <thread>
#include <utility>

#include "tests/random/session.h"

namespace tessera::random {
namespace {

constexpr std::size_t kShown = 6;  // mismatches of one program

class Reporter {
 public:
  explicit Reporter(int fd) : fd_(fd) {}
  void send(char letter, std::uint64_t number, const std::string& text = "") {
    const std::string record = std::string(1, letter) + " " + std::to_string(number) + " " +
                               std::to_string(text.size()) + "\n" + text;
    for (std::size_t at = 0; at < record.size();) {
      const ssize_t n = ::write(fd_, record.data() + at, record.size() - at);
      if (n <= 0) ::_exit(4);
      at += static_cast<std::size_t>(n);
    }
  }

 private:
  int fd_;
};

// Ends the process when a program takes too long, and says where it stood.
class Watchdog {
 public:
  Watchdog(Reporter& reporter, int patience) : reporter_(reporter), patience_(patience) {
    std::thread([this] { watch(); }).detach();
  }
  void begin(std::uint64_t number, const Session* session) {
    const std::lock_guard lock(mutex_);
    number_ = number, session_ = session, left_ = patience_ * 10;
  }
  void end() {
    const std::lock_guard lock(mutex_);
    session_ = nullptr;
  }

 private:
  [[noreturn]] void watch() {
    for (;;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      const std::lock_guard lock(mutex_);
      if (session_ == nullptr || --left_ > 0) continue;
      reporter_.send('H', number_, session_->position());
      ::_exit(3);
    }
  }

  Reporter& reporter_;
  const int patience_;
  std::mutex mutex_;
  std::uint64_t number_ = 0;
  const Session* session_ = nullptr;
  int left_ = 0;
};

std::string text_of(const std::vector<Mismatch>& mismatches) {
  std::ostringstream out;
  for (std::size_t i = 0; i < std::min(kShown, mismatches.size()); ++i) {
    if (mismatches[i].step >= 0) out << "step " << mismatches[i].step << ": ";
    out << mismatches[i].text << "\n";
  }
  if (mismatches.size() > kShown) out << "and " << mismatches.size() - kShown << " more\n";
  return out.str();
}

void run_one(std::uint64_t number, const Plan& plan, Output& output, Reporter& reporter,
             Watchdog& watchdog) {
  Session session(Device::get(), plan, output);
  watchdog.begin(number, &session);
  try {
    session.run();
  } catch (const std::exception& error) {
    std::string text = text_of(session.mismatches());
    if (session.failed_step() >= 0) text += "step " + std::to_string(session.failed_step()) + ": ";
    reporter.send('C', number, text + error.what() + "\n");
    ::_exit(3);
  }
  watchdog.end();
  const std::vector<Mismatch> mismatches = session.mismatches();
  if (mismatches.empty()) {
    reporter.send('O', number);
  } else {
    reporter.send('W', number, text_of(mismatches));
  }
}

[[noreturn]] void run_child(int fd, std::uint64_t first, std::uint64_t count, const Source& source,
                            int patience) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Reporter reporter(fd);
  Watchdog watchdog(reporter, patience);
  Output output;
  for (std::uint64_t i = first; i < count; ++i) {
    const Plan plan = source(i);
    reporter.send('B', i);
    run_one(i, plan, output, reporter, watchdog);
  }
  ::_exit(0);
}

std::optional<Failure> failure_of(char letter, const std::string& text) {
  switch (letter) {
    case 'O':
      return std::nullopt;
    case 'W':
      return Failure{"wrong", text};
    case 'C':
      return Failure{"failed call", text};
    default:
      return Failure{"hang", text};
  }
}

// One child and its records.
class Child {
 public:
  Child(std::uint64_t first, std::uint64_t count, const Source& source, int patience) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    pid_ = ::fork();
    if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (pid_ == 0) {
      ::close(ends[0]);
      try {
        run_child(ends[1], first, count, source, patience);
      } catch (const std::exception& error) {
        Reporter(ends[1]).send('C', first, std::string(error.what()) + "\n");
        ::_exit(3);
      }
    }
    ::close(ends[1]);
    in_ = ::fdopen(ends[0], "r");
  }
  ~Child() {
    if (in_ != nullptr) std::fclose(in_);
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  bool next(char& letter, std::uint64_t& number, std::string& text) {
    unsigned long long n = 0;
    std::size_t length = 0;
    if (std::fscanf(in_, " %c %llu %zu", &letter, &n, &length) != 3) return false;
    if (std::fgetc(in_) != '\n') return false;
    text.assign(length, '\0');
    number = n;
    return std::fread(text.data(), 1, length, in_) == length;
  }

  std::string how_it_ended() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    if (WIFSIGNALED(status))
      return "the process ended by signal " + std::to_string(WTERMSIG(status));
    return "the process ended with " + std::to_string(WEXITSTATUS(status));
  }

 private:
  pid_t pid_ = -1;
  std::FILE* in_ = nullptr;
};

// Runs from `first` until a program ends the process; the number of the next one.
std::uint64_t run_until_end(std::uint64_t first, std::uint64_t count, const Source& source,
                            int patience, const Listener& listener) {
  Child child(first, count, source, patience);
  std::uint64_t next = first;
  char letter = 0;
  std::uint64_t number = 0;
  std::string text;
  while (next < count && child.next(letter, number, text)) {
    if (letter == 'B') continue;
    next = number + 1;
    if (!listener(number, failure_of(letter, text))) return count;
    if (letter == 'C' || letter == 'H') return next;
  }
  if (next >= count) return count;
  return listener(next, Failure{"death", child.how_it_ended() + "\n"}) ? next + 1 : count;
}

}  // namespace

std::string sort_of(const Failure& failure) {
  if (failure.kind != "wrong") return failure.kind;
  const std::string first = failure.text.substr(0, failure.text.find('\n'));
  for (const char* sort :
       {"differs", "printed", "is called back", "has returned", "started", "times", "called"}) {
    if (first.find(sort) != std::string::npos) return sort;
  }
  return first;
}

void run_programs(std::uint64_t count, const Source& source, int patience,
                  const Listener& listener) {
  for (std::uint64_t next = 0; next < count;) {
    next = run_until_end(next, count, source, patience, listener);
  }
}

}  // namespace tessera::random

// SPDX-License-Identifier: Apache-2.0
//
// The first process of a virtual machine, and with the program the only one: it makes the image the
// root, runs the program, and stands between it and the host.
//
// It is linked statically and asks for nothing but a Linux kernel, because what the image holds is
// not known. One thread, one poll loop; nothing in it waits but the start. It says to the host what
// happens in the order in which it happens, and then leaves the end of the machine to the host:
// what a guest has written last would be lost if it powered off by itself.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "base/error_text.h"
#include "base/unique_fd.h"
#include "guest/control.h"
#include "guest/frame.h"
#include "guest/gpu_socket.h"
#include "guest/lane.h"
#include "guest/modules.h"
#include "guest/ports.h"
#include "guest/program.h"
#include "guest/request.h"
#include "guest/root.h"
#include "guest/shared_memory.h"
#include "guest/user.h"

namespace tessera::guest {
namespace {

constexpr const char* kDisk = "/dev/vda";
constexpr const char* kDriverFolder = "/tessera";  // of the first root

UniqueFd watch_children() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) throw std::system_error(errno, std::generic_category(), "a signalfd");
  return fd;
}

// A machine that was suspended does not notice: its clocks stand still meanwhile. That is right for
// the monotonic one, which programs measure with, and wrong for the time of day.
void set_time_of_day(const Frame& frame) {
  const std::uint64_t seconds = std::uint64_t{frame.number(1)} << 32 | frame.number(0);
  const timespec time{static_cast<time_t>(seconds), static_cast<long>(frame.number(2))};
  if (::clock_settime(CLOCK_REALTIME, &time) != 0) throw BadFrame("a time that cannot be");
}

class Guest {
 public:
  Guest()
      : children_(watch_children()),
        ports_(open_ports()),
        window_(find_shared_memory()),
        control_(port(kControlPort)),
        input_(port(kStdinPort)),
        output_(port(kStdoutPort)),
        errors_(port(kStderrPort)) {}

  // Until the host says `end`.
  void run() {
    utsname names{};
    ::uname(&names);
    control_.say(make_frame(Kind::hello, std::array{kGuestProtocol}, names.release));
    std::vector<pollfd> entries;
    while (!ended_) {
      entries.assign({{children_.get(), POLLIN, 0}, control_.entry()});
      for (const Lane* lane : streams()) lane->watch(entries);
      if (gpu_) gpu_->watch(entries);
      if (::poll(entries.data(), entries.size(), -1) < 0 && errno != EINTR) {
        throw std::system_error(errno, std::generic_category(), "poll");
      }
      serve(entries);
    }
  }

 private:
  int port(unsigned number) const { return ports_[number - 1].get(); }
  std::array<Lane*, 3> streams() { return {&input_, &output_, &errors_}; }

  void serve(std::span<const pollfd> entries) {
    auto rest = entries.subspan(2);
    for (Lane* lane : streams()) {
      lane->serve(rest.first(Lane::kEntries));
      rest = rest.subspan(Lane::kEntries);
    }
    // It is there from the turn after the start.
    if (gpu_ && !rest.empty()) gpu_->serve(rest);
    if (entries[0].revents != 0) take_ends();
    control_.serve(entries[1], [this](const Frame& frame) { obey(frame); });
  }

  void obey(const Frame& frame) {
    switch (frame.kind) {
      case Kind::word:
        return request_.add(frame.text());
      case Kind::start:
        return start();
      case Kind::signal:
        if (program_.pid > 0) ::kill(program_.pid, static_cast<int>(frame.number(0)));
        return;
      case Kind::size:
        return resize_terminal(program_.output, {static_cast<unsigned short>(frame.number(0)),
                                                 static_cast<unsigned short>(frame.number(1))});
      case Kind::end:
        ended_ = true;
        return;
      case Kind::time:
        return set_time_of_day(frame);
      default:
        throw BadFrame("a frame that no host sends");
    }
  }

  void start() {
    if (gpu_) throw BadFrame("a second start");
    try {
      ::sethostname(request_.hostname.data(), request_.hostname.size());
      gpu_.emplace(std::string(kDriverFolder).append("/gpu.sock"));
      for (unsigned n = kFirstGpuPort; n <= ports_.size(); ++n) {
        gpu_->add_port(port(n), window_.of_guest(n - kFirstGpuPort));
      }
      enter_image(kDisk, kDriverFolder);
      mount_shares(request_.shares);
      raise_loopback();
      program_ = start_program(request_, find_out_who());
    } catch (const NotStarted& error) {
      return refuse(error.number, error.what());
    } catch (const std::system_error& error) {
      return refuse(0, error.what());
    }
    control_.say(make_frame(Kind::started));
    UniqueFd terminal(request_.terminal ? ::dup(program_.output.get()) : -1);
    input_.join({}, std::move(program_.input));
    output_.join(std::move(program_.output), {});
    errors_.join(std::move(program_.errors), {});
    program_.output = std::move(terminal);
  }

  // By the image's own files. Its home is the program's, unless the image says another one.
  User find_out_who() {
    const auto user = find_user(request_.user, read_names("/etc/passwd"), read_names("/etc/group"));
    if (!user) throw NotStarted(0, "the user '" + request_.user + "', whom it does not know");
    const auto is_home = [](const std::string& word) { return word.starts_with("HOME="); };
    if (std::ranges::none_of(request_.variables, is_home)) {
      request_.variables.push_back("HOME=" + user->home);
    }
    return *user;
  }

  void refuse(int number, const std::string& what) {
    control_.say(make_frame(Kind::failed, std::array{static_cast<std::uint32_t>(number)}, what));
  }

  void take_ends() {
    signalfd_siginfo info;
    while (::read(children_.get(), &info, sizeof info) > 0) {
    }
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      if (pid == program_.pid) end_program(status);
    }
  }

  void end_program(int status) {
    program_.pid = 0;
    const auto code = static_cast<std::uint32_t>(WIFEXITED(status) ? WEXITSTATUS(status) : 0);
    const auto number = static_cast<std::uint32_t>(WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    for (Lane* lane : {&output_, &errors_}) {
      lane->finish();
      lane->serve(std::array<pollfd, Lane::kEntries>{});
    }
    control_.say(make_frame(Kind::exit, std::array{code, number}));
  }

  const UniqueFd children_;
  const std::vector<UniqueFd> ports_;
  const Window window_;
  Control control_;
  Lane input_, output_, errors_;
  std::optional<GpuSocket> gpu_;
  Request request_;
  Program program_;
  bool ended_ = false;
};

void run() {
  mount_devices();
  load_modules("/modules");
  Guest().run();
}

}  // namespace
}  // namespace tessera::guest

int main() {
  using namespace tessera::guest;
  try {
    run();
  } catch (const std::exception& error) {
    // To the console, which the host keeps for its message.
    ::fprintf(stderr, "tessera-init: %s\n", error.what());
  }
  ::reboot(RB_POWER_OFF);
  return 1;
}

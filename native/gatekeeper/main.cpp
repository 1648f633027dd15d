// SPDX-License-Identifier: Apache-2.0
//
// The gatekeeper of a lease: listens at the lease's endpoint and gives each client a worker of its
// own.
//
// It holds the quota page, knows when a worker ends and gives back what that one held; it never
// loads a driver, so no driver's fault can take a lease down. Forking workers from a process that
// has a driver loaded was refused for the same reason (and most drivers do not survive a fork). One
// thread, one poll loop: between a client's arrival and its end it only takes the daemon's
// commands. Besides a constant few descriptors it has one for each worker, to ask it things.
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <optional>
#include <span>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "gatekeeper/commands.h"
#include "gatekeeper/control.h"
#include "gatekeeper/listener.h"
#include "gatekeeper/options.h"
#include "gatekeeper/suspension.h"
#include "gatekeeper/tenancy.h"
#include "gatekeeper/workers.h"
#include "lease/layout.h"
#include "lease/quota.h"
#include "transport/handshake.h"

namespace tessera::gatekeeper {
namespace {

constexpr std::chrono::milliseconds kGrace{1000};
// How long new clients wait in the backlog when this process is out of descriptors or memory.
constexpr int kPauseMs = 50;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The secret as a sealed memory file that workers inherit: 32 bytes.
UniqueFd read_token(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) fail("the token file " + path);
  std::array<char, 2 * kTokenBytes> text{};
  if (::read(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    throw std::runtime_error("the token file " + path + " does not hold 64 hex digits");
  }
  std::array<char, kTokenBytes> token{};
  for (std::size_t i = 0; i < token.size(); ++i) {
    const int high = hex_digit(text[2 * i]);
    const int low = hex_digit(text[2 * i + 1]);
    if (high < 0 || low < 0) {
      throw std::runtime_error("the token file " + path + " does not hold 64 hex digits");
    }
    token[i] = static_cast<char>(high << 4 | low);
  }
  UniqueFd memory(::memfd_create("tessera-token", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory ||
      ::write(memory.get(), token.data(), token.size()) != static_cast<ssize_t>(token.size())) {
    fail("keeping the token");
  }
  ::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return memory;
}

// Whatever the daemon (or a person's shell) left open here is none of the workers' business.
void inherit_nothing() {
  constexpr unsigned kFirst = STDERR_FILENO + 1;
  if (::syscall(SYS_close_range, kFirst, ~0u, CLOSE_RANGE_CLOEXEC) == 0) return;
  // Kernels before 5.11.
  const int last = static_cast<int>(::sysconf(_SC_OPEN_MAX));
  for (int fd = kFirst; fd < last; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

UniqueFd watch_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGCHLD}) ::sigaddset(&set, number);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) fail("a signalfd");
  return fd;
}

// Meanwhile whoever holds the other side of the pipe makes sure of the boards.
void wait_for_end(int fd) {
  if (fd < 0) return;
  const UniqueFd owned(fd);
  char byte = 0;
  ssize_t got = 1;
  while (got > 0 || (got < 0 && errno == EINTR)) got = ::read(fd, &byte, 1);
}

void say_ready(int fd, const std::optional<TcpListener>& tcp) {
  if (fd < 0) return;
  const UniqueFd owned(fd);
  const std::string line =
      "{\"tcp_port\": " + (tcp ? std::to_string(tcp->port()) : std::string("null")) + "}\n";
  if (::write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    fail("telling that the lease is ready");
  }
}

// The quota file, removed at the end if it is still the one that was made here.
class QuotaFile {
 public:
  QuotaFile(const Options& options) : path_(options.quota), quota_(make(options)) {
    struct stat facts {};
    if (::fstat(quota_.fd(), &facts) == 0) inode_ = facts.st_ino;
  }
  QuotaFile(const QuotaFile&) = delete;
  QuotaFile& operator=(const QuotaFile&) = delete;
  ~QuotaFile() {
    struct stat facts {};
    if (::lstat(path_.c_str(), &facts) == 0 && facts.st_ino == inode_) ::unlink(path_.c_str());
  }
  Quota& quota() { return quota_; }

 private:
  static Quota make(const Options& options) {
    std::vector<std::uint64_t> limits;
    for (const auto& gpu : options.gpus) limits.push_back(gpu.bytes);
    return Quota::create(options.quota, options.lease, limits.data(), limits.size());
  }
  std::string path_;
  Quota quota_;
  ino_t inode_ = 0;
};

// False when the machine has no descriptor for a client at the moment.
bool accept_all(int listener, bool over_tcp, Workers& workers) {
  for (;;) {
    UniqueFd client(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (client) {
      workers.serve(std::move(client), over_tcp);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      return false;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return true;
    }
  }
}

// True when the lease is to end.
bool take_signals(int fd, Workers& workers, Suspension& suspension) {
  signalfd_siginfo info{};
  bool end = false;
  while (::read(fd, &info, sizeof info) == sizeof info) {
    end = end || info.ssi_signo != static_cast<std::uint32_t>(SIGCHLD);
  }
  workers.reap([&](std::size_t slot) { suspension.worker_ended(slot); });
  return end;
}

void run(Options options) {
  ::umask(0077);
  inherit_nothing();
  const UniqueFd signals = watch_signals();
  QuotaFile file(options);
  std::optional<TcpListener> tcp;
  UniqueFd token;
  if (!options.listen_tcp.empty()) {
    token = read_token(options.token_file);
    tcp.emplace(options.listen_tcp);
  }
  wait_for_end(options.after_fd);
  std::optional<Tenancy> tenancy(options);
  Workers workers(options, file.quota(), tenancy, std::move(token));
  {
    UnixListener local(options.listen);
    Suspension suspension(options, tenancy, workers);
    std::vector<Command> commands = lease_commands(file.quota());
    for (auto& each : suspension.commands()) commands.push_back(std::move(each));
    Control control(options.control, std::move(commands));
    say_ready(options.ready_fd, tcp);
    std::vector<pollfd> entries;
    bool paused = false;
    for (;;) {
      entries.assign(
          {{signals.get(), POLLIN, 0}, {local.fd(), POLLIN, 0}, {tcp ? tcp->fd() : -1, POLLIN, 0}});
      // Clients that come while the lease is not active wait in the backlog.
      if (!suspension.active()) entries[1].fd = entries[2].fd = -1;
      const std::size_t of_workers = entries.size();
      suspension.watch(entries);
      const std::size_t of_control = entries.size();
      control.watch(entries);
      // The signals, and those who have been let in, go on.
      if (paused) entries[1].fd = entries[2].fd = entries[of_control].fd = -1;
      const int limit = control.wait_ms(paused ? kPauseMs : -1);
      if (::poll(entries.data(), entries.size(), limit) < 0) {
        if (errno != EINTR) fail("poll");
        continue;
      }
      paused = false;
      if (entries[0].revents != 0 && take_signals(signals.get(), workers, suspension)) {
        break;
      }
      if (entries[1].revents != 0) paused = !accept_all(local.fd(), false, workers) || paused;
      if (entries[2].revents != 0) paused = !accept_all(tcp->fd(), true, workers) || paused;
      const auto all = std::span<const pollfd>(entries);
      suspension.serve(all.subspan(of_workers, of_control - of_workers));
      paused = !control.serve(all.subspan(of_control)) || paused;
    }
  }
  tcp.reset();
  workers.end_all(kGrace);
}

}  // namespace
}  // namespace tessera::gatekeeper

int main(int argc, char** argv) {
  using namespace tessera::gatekeeper;
  try {
    const auto options = parse_options(argc, argv);
    if (!options) {
      ::fputs(tessera::quota_layout_json().c_str(), stdout);
      return 0;
    }
    run(*options);
    return 0;
  } catch (const UsageError& error) {
    ::fprintf(stderr, "tessera-gatekeeper: %s\n%s", error.what(), kUsage);
    return 2;
  } catch (const std::exception& error) {
    ::fprintf(stderr, "tessera-gatekeeper: %s\n", error.what());
    return 1;
  }
}

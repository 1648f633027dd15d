// SPDX-License-Identifier: Apache-2.0
//
// tessera-worker: one client's session, in a process of its own.
//
// Started by the gatekeeper with an accepted socket; ends when the client goes away, when the
// client breaks the protocol, or with the gatekeeper. It ends by _exit: everything it holds belongs
// to the kernel or to the quota's slot, and a driver's destructors may wait for work that nobody
// wants any more.
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <exception>
#include <thread>

#include "base/scheduling.h"
#include "opencl/worker/control.h"
#include "opencl/worker/devices.h"
#include "opencl/worker/driver_threads.h"
#include "opencl/worker/options.h"
#include "opencl/worker/process.h"
#include "opencl/worker/session.h"

namespace tessera::worker {
namespace {

// A driver allocates on whichever thread enqueues. The arenas of threads that are not the first
// grow by a page at a time, each with a system call that keeps the other threads from touching new
// memory: a fifth of what a training step's messages cost.
void use_one_arena() {
  ::mallopt(M_ARENA_MAX, 1);
}

[[noreturn]] void end(const char* reason) {
  if (*reason == '\0') ::_exit(0);
  ::fprintf(stderr, "tessera-worker %d: the session ends: %s\n", static_cast<int>(::getpid()),
            reason);
  ::_exit(1);
}

// Ends the process when the client's is gone, whatever the other threads wait for.
void watch_client(int liveness) {
  std::thread([liveness] {
    pollfd entry{liveness, POLLIN, 0};
    while (::poll(&entry, 1, -1) <= 0) {
    }
    ::_exit(0);
  }).detach();
}

std::vector<std::unique_ptr<Gate>> open_gates(const Options& options) {
  std::vector<std::unique_ptr<Gate>> gates(options.gpus.size());
  for (const auto& board : options.boards) {
    gates[board.gpu] = std::make_unique<Gate>(BoardPage::attach(board.fd), board.tenant);
  }
  return gates;
}

int run(const Options& options) {
  Quota quota = Quota::attach(options.quota_fd);
  if (options.slot >= kMaxSessions) throw UsageError("--slot is out of range");
  SessionSlot& slot = quota.page().slots[options.slot];
  std::int32_t client_pid = 0;
  const auto channel = accept_channel(options.fd, read_token(options.token_fd), &client_pid);
  slot.client_pid = client_pid;
  slot.transport = static_cast<std::uint32_t>(channel->kind());
  slot.state.store(SlotState::live);
  watch_client(channel->liveness_fd());
  UniqueFd output = capture_standard_output();
  const auto before = threads_of_this_process();
  std::vector<Device> devices = open_devices(options.gpus);
  if (any_on_host_cores(devices)) {
    DriverThreads::of_this_process().adopt(threads_started_since(before));
  }
  Session session({channel.get(), &quota, options.slot, std::move(devices), open_gates(options),
                   std::move(output), end});
  if (options.control_fd >= 0) serve_control(UniqueFd(options.control_fd), session);
  take_short_slices();
  session.serve();
  end("");
}

}  // namespace
}  // namespace tessera::worker

int main(int argc, char** argv) {
  using namespace tessera::worker;
  try {
    const Options options = parse_options(argc, argv);
    harden_process();
    use_one_arena();
    return run(options);
  } catch (const UsageError& error) {
    ::fprintf(stderr, "tessera-worker: %s\n%s", error.what(), kUsage);
    return 2;
  } catch (const tessera::ConnectError& error) {
    // A client that leaves before its session began is no failure of this process.
    ::fprintf(stderr, "tessera-worker: %s\n", error.what());
    return 0;
  } catch (const std::exception& error) {
    ::fprintf(stderr, "tessera-worker: %s\n", error.what());
    return 1;
  }
}

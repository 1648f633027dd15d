// SPDX-License-Identifier: Apache-2.0
//
// Who receives: the token scheme.
//
// One thread at a time takes messages from the channel and handles them: the one that holds the
// token. A handler that is about to wait in the driver gives the token up, because the message that
// ends the wait may still be in the channel (a user event that another thread of the client sets).
// Its own thread makes the driver call and answers itself, so that the common case, in which
// nothing else arrives, has no handover at all. Only when the wait lasts (kPatience) does a parked
// thread take the token and receive on; the waiting thread, when it is back, parks in its place.
//
// Refused: one thread per queue or per call (a switch per message on machines where a wake-up costs
// 50 us), and waking a second receiver at every wait (it would take a core from the embedded
// device).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "transport/channel.h"

namespace tessera::worker {

inline constexpr std::size_t kMaxThreads = 256;  // that wait or are parked, in one worker
// How long a wait may last before another thread takes over. Longer than a short kernel, so that
// launch and finish need no second thread; shorter than anything a user could notice.
inline constexpr std::chrono::microseconds kPatience{200};

class Receiver {
 public:
  struct Hooks {
    // Handles one message. An exception ends the session.
    std::function<void(Incoming&)> handle;
    // Whether the receiver may burn its core for a moment while it waits for the next message.
    std::function<bool()> may_spin;
    // The session is over: called once, by the thread that found out. `reason` is empty when the
    // client went away in good order. It must make every wait in the driver return (or end the
    // process).
    std::function<void(const char* reason)> on_end;
  };

  Receiver(Channel& channel, Hooks hooks);
  ~Receiver();
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  // Receives until the session is over, and joins the threads that it started.
  void run();

  // Gives the token up; false when no thread is left that could take it, and then the caller keeps
  // it. Only by a thread that handles a message.
  bool give_up();
  // Whether give_up() would succeed.
  bool can_give_up();

 private:
  void receive_while_holding();
  void stand_by();
  bool try_take();
  void arm(std::chrono::nanoseconds delay);
  void end(const char* reason);
  void loop();

  Channel& channel_;
  Hooks hooks_;
  UniqueFd timer_;
  std::mutex mutex_;
  bool taken_ = false;
  bool armed_ = false;
  std::chrono::steady_clock::time_point free_since_;
  std::size_t parked_ = 0;
  std::vector<std::thread> threads_;
  std::atomic<bool> ended_{false};
};

}  // namespace tessera::worker

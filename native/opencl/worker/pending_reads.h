// SPDX-License-Identifier: Apache-2.0
//
// Reads that the client does not wait for.
//
// Their bytes go when the driver's callback says so, or earlier: whoever is about to tell the
// client that something ended sends the bytes of every completed read before that (send_completed),
// so that a program never hears of a completion before its data is in place.
#pragma once

#include <CL/cl.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "opencl/worker/answer.h"
#include "opencl/worker/landing.h"

namespace tessera::worker {

class PendingReads {
 public:
  explicit PendingReads(Answers& answers) : answers_(answers) {}

  struct Read;
  // `landing` is being filled by `event`'s command.
  std::shared_ptr<Read> add(cl_event event, std::uint64_t ticket, std::unique_ptr<Landing> landing);
  // `read` has ended; sends it unless that has happened.
  void finish(Read& read, cl_int status);
  void finish_if_ended(Read& read);
  void send_completed();
  // None of them is sent any more.
  void forget();

 private:
  Answers& answers_;
  std::atomic<std::size_t> count_{0};
  std::mutex mutex_;
  std::vector<std::shared_ptr<Read>> reads_;
};

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/pending_reads.h"

#include "opencl/worker/object_table.h"

namespace tessera::worker {

struct PendingReads::Read {
  Read(cl_event event, std::uint64_t ticket, std::unique_ptr<Landing> landing)
      : event(event), ticket(ticket), landing(std::move(landing)) {}
  const Retained<cl_event> event;
  const std::uint64_t ticket;
  // Held over the send: who finds a read sent knows that its bytes are on their way.
  std::mutex mutex;
  std::unique_ptr<Landing> landing;
  bool sent = false;
};

std::shared_ptr<PendingReads::Read> PendingReads::add(cl_event event, std::uint64_t ticket,
                                                      std::unique_ptr<Landing> landing) {
  auto read = std::make_shared<Read>(event, ticket, std::move(landing));
  const std::lock_guard lock(mutex_);
  reads_.push_back(read);
  count_.store(reads_.size());
  return read;
}

void PendingReads::finish(Read& read, cl_int status) {
  {
    const std::lock_guard lock(read.mutex);
    if (read.sent) return;
    read.sent = true;
    answers_.read_done(read.ticket, status,
                       status == CL_COMPLETE ? read.landing->payload() : Bulk(), false);
    read.landing.reset();
  }
  const std::lock_guard lock(mutex_);
  std::erase_if(reads_, [&](const auto& each) { return each.get() == &read; });
  count_.store(reads_.size());
}

void PendingReads::send_completed() {
  if (count_.load() == 0) return;
  std::vector<std::shared_ptr<Read>> reads;
  {
    const std::lock_guard lock(mutex_);
    reads = reads_;
  }
  for (const auto& read : reads) finish_if_ended(*read);
}

void PendingReads::forget() {
  std::vector<std::shared_ptr<Read>> reads;
  {
    const std::lock_guard lock(mutex_);
    reads.swap(reads_);
    count_.store(0);
  }
  for (const auto& read : reads) {
    const std::lock_guard lock(read->mutex);
    read->sent = true;
    read->landing.reset();
  }
}

void PendingReads::finish_if_ended(Read& read) {
  cl_int status = CL_QUEUED;
  if (clGetEventInfo(read.event.get(), CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status,
                     nullptr) == CL_SUCCESS &&
      status <= CL_COMPLETE) {
    finish(read, status);
  }
}

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
//
// Makes a command of a command buffer from the message that would enqueue it.
//
// It is judged as that message would be: by the shapes of what it names, and a kernel's arguments
// as they are now. A kernel is cloned, so that what the client does with it later changes nothing.
#pragma once

#include <vector>

#include "generated/messages_buffer.h"
#include "generated/messages_event.h"
#include "generated/messages_image.h"
#include "generated/messages_kernel.h"
#include "opencl/worker/session.h"

namespace tessera::worker {

class CommandRecorder {
 public:
  CommandRecorder(Session& session, CommandBufferEntry& buffer)
      : session_(session), buffer_(buffer) {}

  // Throws ProtocolError for a command that none can be, or for unknown ids.
  void take(const wire::RecordCommand& m, Incoming& incoming);
  // Why it cannot run, or CL_SUCCESS; then it is in the command buffer.
  cl_int status() const { return status_; }

 private:
  template <class Message>
  void decoded(wire::Blob fields);
  void record(const wire::FillBuffer& m);
  void record(const wire::CopyBuffer& m);
  void record(const wire::CopyBufferRect& m);
  void record(const wire::FillImage& m);
  void record(const wire::CopyImage& m);
  void record(const wire::CopyImageToBuffer& m);
  void record(const wire::CopyBufferToImage& m);
  void record(const wire::EnqueueNdRange& m);
  void record(const wire::EnqueueBarrier& m);
  void record(const wire::EnqueueNothing& m);

  MemEntry& mem(wire::Id id);
  void use(const std::shared_ptr<Entry>& entry, const std::shared_ptr<ContextEntry>& context);
  void check(cl_int status) {
    if (status_ == CL_SUCCESS) status_ = status;
  }
  // Keeps what the kernel's arguments name, and its launch with all of them as a record.
  void keep_arguments(const KernelEntry& kernel, wire::EnqueueNdRange launch);
  void keep(Incoming& incoming, std::span<const std::uint32_t> sync_points);

  Session& session_;
  CommandBufferEntry& buffer_;
  const wire::RecordCommand* message_ = nullptr;
  cl_int status_ = CL_SUCCESS;
  RecordedCommand command_;
  bool barrier_ = false;
};

}  // namespace tessera::worker

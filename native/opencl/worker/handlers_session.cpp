// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "opencl/worker/session.h"
#include "opencl/worker/snapshot.h"

namespace tessera::worker {

void Session::handle(const wire::OpenSession&, Incoming& incoming) {
  opened_ = true;
  // Devices of several platforms are one platform to the client: the first one lends its names.
  send_platform_snapshot(answers_, devices_.front().platform);
  const Answers::Limits limits = answers_.take_limits();
  for (std::uint32_t number = 0; number < devices_.size(); ++number) {
    send_device_snapshot(answers_, number, devices_[number].id, limits.memory.at(number));
  }
  send_image_formats(answers_, devices_.front().platform, devices_.front().id);
  answers_.reply(incoming.sequence, CL_SUCCESS);
}

void Session::handle(const wire::Release& m, Incoming&) {
  std::shared_ptr<Entry> entry = objects_.take(m.target);
  if (entry->kind == Kind::event) {
    auto event = std::static_pointer_cast<EventEntry>(entry);
    {
      const std::lock_guard lock(event->report);
      event->released = true;
    }
    completions_.forget(*event);
    abandon(std::move(event));
  }
  if (entry->kind == Kind::partition && entry->poison == CL_SUCCESS) {
    partitions_.erase(static_cast<PartitionEntry&>(*entry).first);
  }
  if (entry->kind != Kind::queue) return;
  auto& queue = static_cast<QueueEntry&>(*entry);
  if (idle(queue)) return;
  count_finished(queue, queue.enqueued);
  // A driver may finish a queue before it lets go of it.
  blocking([&] { entry.reset(); });
}

void Session::handle(const wire::WatchObject& m, Incoming&) {
  MemEntry& mem = objects_.get<MemEntry>(m.target);
  mem.watched = true;
  object_watch_.watch(mem.id, mem.handle);
}

void Session::handle(const wire::GetDeviceAndHostTimer& m, Incoming& incoming) {
  cl_ulong device_time = 0;
  cl_ulong host_time = 0;
  const cl_int status = clGetDeviceAndHostTimer(device(m.device).id, &device_time, &host_time);
  const std::array<std::uint64_t, 2> times{device_time, host_time};
  answers_.reply(incoming.sequence, status, times);
}

void Session::handle(const wire::LongMessagePiece& m, Incoming& incoming) {
  const std::span<const std::byte> bytes(incoming.bulk.data(), incoming.bulk.size());
  if (long_messages_.add(m.number, m.size, bytes) == LongReceiver::Taken::refused) {
    throw ProtocolError("a piece that does not fit the others of its message");
  }
  incoming.bulk.reset();
}

void Session::handle(const wire::LongMessage& m, Incoming& incoming) {
  Incoming whole;
  std::shared_ptr<const void> fields;
  if (long_messages_.take(m.number, m.opcode, m.fields_size, incoming.sequence, whole, fields) ==
      LongReceiver::Taken::refused) {
    throw ProtocolError("a long message whose pieces are missing");
  }
  switch (static_cast<wire::Opcode>(whole.opcode)) {
    case wire::Opcode::open_session:
    case wire::Opcode::long_message_piece:
    case wire::Opcode::long_message:
      throw ProtocolError(std::string("a long ") + wire::opcode_name(whole.opcode));
    default:
      hand_over(whole);
  }
}

}  // namespace tessera::worker

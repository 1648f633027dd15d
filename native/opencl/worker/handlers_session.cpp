// SPDX-License-Identifier: Apache-2.0
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

}  // namespace tessera::worker

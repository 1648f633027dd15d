// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/restore.h"

#include <cstring>

#include "generated/opcode.h"
#include "opencl/worker/session.h"

namespace tessera::worker {
namespace {

[[noreturn]] void refused(const std::string& what) {
  throw StateError(state_error::kRefused, what);
}

template <class Fields>
Fields fields_of(const Frame& frame) {
  wire::Decoder in(frame.fields);
  Fields fields;
  if (!decode(in, fields))
    damaged("a frame of type " + std::to_string(static_cast<std::uint32_t>(frame.type)) +
            " cannot be read");
  return fields;
}

void free_bytes(void* bytes, std::uint64_t) noexcept {
  delete[] static_cast<std::byte*>(bytes);
}

// Memory of its own, because a write keeps it until the driver has read it.
Bulk copy_of(std::span<const std::byte> bytes) {
  if (bytes.empty()) return {};
  auto* const copy = new std::byte[bytes.size()];
  std::memcpy(copy, bytes.data(), bytes.size());
  return Bulk(copy, bytes.size(), free_bytes, copy, 0);
}

// What a client may only say while it is served.
bool is_replayable(wire::Opcode opcode) {
  switch (opcode) {
    case wire::Opcode::open_session:
    case wire::Opcode::finish_queue:
    case wire::Opcode::wait_for_events:
    case wire::Opcode::get_program_binary:
    case wire::Opcode::get_command_buffer_state:
    case wire::Opcode::svm_alloc:
    case wire::Opcode::usm_alloc:
    case wire::Opcode::long_message_piece:
    case wire::Opcode::long_message:
      return false;
    default:
      return true;
  }
}

}  // namespace

void Restorer::check(const std::vector<Device>& devices,
                     const std::array<std::uint64_t, kMaxGpus>& left) {
  StateReader reader(fd_);
  Frame frame;
  if (!reader.next(frame) || frame.type != FrameType::header) damaged("it has no header");
  const auto header = fields_of<StateHeader>(frame);
  while (reader.next(frame)) {
    if (frame.type == FrameType::header) damaged("it has a second header");
  }
  if (header.devices.size() != devices.size()) {
    refused("the session has " + std::to_string(header.devices.size()) + " devices and is given " +
            std::to_string(devices.size()));
  }
  for (std::size_t i = 0; i < devices.size(); ++i) {
    const DeviceFacts now = DeviceFacts::of(devices[i].id);
    const std::string lacks = missing(header.devices[i], now);
    if (lacks.empty()) continue;
    throw StateError(state_error::kLacksFeature,
                     now.name + " lacks " + lacks + ", which the program was told it has");
  }
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (header.charged[i] <= left[i]) continue;
    refused("the session needs " + std::to_string(header.charged[i]) +
            " bytes of device memory and the lease has " + std::to_string(left[i]) + " left");
  }
}

void Restorer::replay() {
  StateReader reader(fd_);
  CopyUnderWay copy;  // ends before the reader's memory does
  Frame frame;
  while (reader.next(frame)) {
    const std::uint64_t number = reader.frames();
    // Only contents may be under way while others follow: what comes after them may need them.
    if (frame.type != FrameType::contents) end_copy(copy);
    try {
      apply(frame, copy);
    } catch (const ProtocolError& error) {
      damaged("frame " + std::to_string(number) + ": " + error.what());
    }
  }
  end_copy(copy);
  session_.settle_gates();
}

void Restorer::end_copy(CopyUnderWay& copy) {
  const cl_int status = copy.end();
  if (status == CL_SUCCESS) return;
  refused("the device does not take the contents of memory (error " + std::to_string(status) + ")");
}

void Restorer::apply(const Frame& frame, CopyUnderWay& copy) {
  switch (frame.type) {
    case FrameType::message:
      return message(frame);
    case FrameType::contents:
      return contents(frame, fields_of<ContentsPlace>(frame), copy);
    case FrameType::poisoned:
      return poisoned(fields_of<PoisonedObject>(frame));
    case FrameType::ended:
      return ended(fields_of<EndedEvent>(frame));
    case FrameType::pending:
      return pending(fields_of<PendingEvent>(frame));
    case FrameType::queue:
      return queue(fields_of<QueueCounters>(frame));
    case FrameType::unset:
      return unset(fields_of<UnsetArgument>(frame));
    case FrameType::header:
    case FrameType::trailer:
      return;
  }
}

void Restorer::message(const Frame& frame) {
  const auto opcode = static_cast<wire::Opcode>(frame.opcode);
  if (frame.opcode > 0xffff || !is_replayable(opcode)) damaged("a message that is none");
  Incoming incoming;
  incoming.opcode = static_cast<std::uint16_t>(frame.opcode);
  incoming.fields = frame.fields;
  incoming.bulk = copy_of(frame.bulk);
  const Answers::Muted muted(session_.answers_);
  session_.hand_over(incoming);
  const cl_int status = muted.status();
  if (status == CL_SUCCESS || (frame.flags & kMayFail) != 0) return;
  if (opcode == wire::Opcode::create_program_with_binary) {
    throw StateError(state_error::kLacksFeature,
                     "the program came as a binary for its device, and this one does not take it "
                     "(error " +
                         std::to_string(status) + ")");
  }
  if (opcode == wire::Opcode::create_sub_devices) {
    throw StateError(state_error::kLacksFeature,
                     "the device cannot be partitioned as the program did (error " +
                         std::to_string(status) + ")");
  }
  refused(std::string(wire::opcode_name(incoming.opcode)) + " fails on this device (error " +
          std::to_string(status) + ")");
}

void Restorer::contents(const Frame& frame, const ContentsPlace& place, CopyUnderWay& copy) {
  MemEntry& mem = session_.objects_.get<MemEntry>(place.target);
  cl_int status = mem.poison;
  const bool image = mem.shape.image();
  const bool fits = image ? check_box(mem.shape, place.origin, place.region) == CL_SUCCESS &&
                                packed_size(place.region, mem.shape.element) == frame.bulk.size()
                          : within(place.offset, frame.bulk.size(), mem.shape.size);
  if (status != CL_SUCCESS || !fits || frame.bulk.empty()) damaged("contents of what is not there");
  const cl_command_queue queue = session_.internal_queue(*mem.context, &status);
  if (status == CL_SUCCESS) {
    cl_event event = nullptr;
    const auto write = [&](cl_event* started) {
      return image
                 ? clEnqueueWriteImage(queue, mem.handle, CL_FALSE, place.origin.data(),
                                       place.region.data(), 0, 0, frame.bulk.data(), 0, nullptr,
                                       started)
                 : clEnqueueWriteBuffer(queue, mem.handle, CL_FALSE, place.offset,
                                        frame.bulk.size(), frame.bulk.data(), 0, nullptr, started);
    };
    status = session_.start_metered(mem.context->gpu, queue, write, &event);
    const cl_int before = copy.follow_with(event);
    if (status == CL_SUCCESS) status = before;
  }
  if (status != CL_SUCCESS) {
    refused("the device does not take the contents of memory object " + std::to_string(mem.id) +
            " (error " + std::to_string(status) + ")");
  }
}

void Restorer::poisoned(const PoisonedObject& object) {
  ObjectTable& objects = session_.objects_;
  const auto context = [&] { return objects.share<ContextEntry>(object.context); };
  const auto add = [&]<class E>(std::shared_ptr<E> entry) {
    entry->poison = object.status;
    return entry;
  };
  switch (static_cast<Kind>(object.kind)) {
    case Kind::context: {
      const auto entry = add(objects.add<ContextEntry>(object.id));
      for (const std::uint32_t number : object.devices) session_.add_device(*entry, number);
      return;
    }
    case Kind::queue: {
      const auto entry = add(objects.add<QueueEntry>(object.id));
      entry->context = context();
      entry->device = object.devices.empty() ? 0 : object.devices.front();
      entry->gpu = session_.gpu_of(entry->device);
      return;
    }
    case Kind::mem: {
      const auto entry = add(objects.add<MemEntry>(object.id));
      entry->context = context();
      entry->shape.type = object.mem_type;
      entry->shape.size = object.size;
      entry->shape.flags = object.mem_flags;
      return;
    }
    case Kind::sampler:
      add(objects.add<SamplerEntry>(object.id))->context = context();
      return;
    case Kind::program: {
      const auto entry = add(objects.add<ProgramEntry>(object.id));
      entry->context = context();
      for (const std::uint32_t number : object.devices) session_.device(number);
      entry->devices = object.devices;
      return;
    }
    case Kind::kernel:
      add(objects.add<KernelEntry>(object.id))->context = context();
      return;
    case Kind::partition:
      add(objects.add<PartitionEntry>(object.id));
      return;
    case Kind::command_buffer:
      add(objects.add<CommandBufferEntry>(object.id))->context = context();
      return;
    case Kind::event:
      break;
  }
  damaged("an object of no kind");
}

void Restorer::ended(const EndedEvent& event) {
  ObjectTable& objects = session_.objects_;
  const auto entry = objects.add<EventEntry>(event.id);
  if (entry->poison != CL_SUCCESS) refused("the session has too many objects");
  if (event.context != 0) entry->context = objects.share<ContextEntry>(event.context);
  if (event.queue != 0) entry->queue = objects.share<QueueEntry>(event.queue);
  entry->number = event.number;
  entry->user = event.user != 0;
  entry->user_done = entry->user;
  entry->profiling = event.profiling != 0;
  entry->reported = event.reported != 0;
  entry->poison = event.status;
  if (event.status != CL_SUCCESS) return;
  if (entry->context == nullptr || entry->context->handle == nullptr)
    damaged("an event of nothing");
  cl_int status = CL_SUCCESS;
  entry->handle = session_.ended_event(*entry->context, &status);
  if (entry->handle == nullptr) {
    refused("the driver makes no event (error " + std::to_string(status) + ")");
  }
}

void Restorer::pending(const PendingEvent& event) {
  EventEntry& entry = session_.objects_.get<EventEntry>(event.id);
  const std::lock_guard lock(entry.report);
  entry.told = entry.told_before = event.told;
}

void Restorer::queue(const QueueCounters& counters) {
  QueueEntry& queue = session_.objects_.get<QueueEntry>(counters.id);
  if (!Session::idle(queue)) damaged("the counters of a queue come too late");
  queue.deferred = counters.deferred;
  queue.enqueued = queue.finished = counters.commands;
}

void Restorer::unset(const UnsetArgument& argument) {
  KernelEntry& kernel = session_.objects_.get<KernelEntry>(argument.kernel);
  if (argument.index < kernel.arguments.size())
    kernel.arguments[argument.index].what = KernelEntry::Argument::What::unset;
}

}  // namespace tessera::worker

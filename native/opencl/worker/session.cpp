// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/session.h"

#include <algorithm>
#include <array>
#include <string>

#include "generated/dispatch_to_worker.h"

namespace tessera::worker {
namespace {

// How long a creation waits for memory that commands in flight still hold. The first bound ends a
// wait that only this client could end, by a message that cannot be handled meanwhile.
constexpr std::chrono::milliseconds kWaitWithUserEvents{200};
constexpr std::chrono::seconds kWait{30};

constexpr std::uint64_t kBytesEvery = 256;  // messages between two looks at the channel's counters

}  // namespace

Session::Session(Setup setup)
    : channel_(*setup.channel),
      quota_(*setup.quota),
      slot_(setup.quota->page().slots[setup.slot]),
      slot_index_(setup.slot),
      devices_(std::move(setup.devices)),
      gates_(std::move(setup.gates)),
      on_end_(std::move(setup.on_end)),
      memory_(*setup.quota, setup.slot),
      output_(channel_, std::move(setup.output)),
      answers_(channel_, *setup.quota, slot_, output_),
      landing_share_(channel_.bulk_ahead()),
      completions_(answers_, output_),
      object_watch_(answers_, [this] { callbacks_.bury(completions_.tell()); }),
      callbacks_(answers_, completions_),
      receiver_(channel_, Receiver::Hooks{[this](Incoming& incoming) { dispatch(incoming); },
                                          [this] {
                                            look_for_ended();
                                            return busy_queues_.load(std::memory_order_relaxed) ==
                                                   0;
                                          },
                                          [this](const char* reason) { end(reason); }}) {
  channel_.nap_for([this] { return nap_length(); }, [this] { look_for_ended(); });
}

Session::~Session() {
  for (const auto& queue : retain_queues()) clFinish(queue.get());
}

void Session::serve() {
  receiver_.run();
}

void Session::dispatch(Incoming& incoming) {
  const std::lock_guard lock(lock_);
  pause_.wait_until_active();
  const std::uint64_t messages = slot_.messages.fetch_add(1, std::memory_order_relaxed) + 1;
  if (messages % kBytesEvery == 0) {
    const ChannelCounters counters = channel_.counters();
    slot_.bytes_to_worker.store(counters.bytes_received, std::memory_order_relaxed);
    slot_.bytes_to_client.store(counters.bytes_sent, std::memory_order_relaxed);
  }
  note_ended();
  callbacks_.clear_buried();
  const auto opcode = static_cast<wire::Opcode>(incoming.opcode);
  if (opened_ == (opcode == wire::Opcode::open_session)) {
    throw ProtocolError(std::string(opened_ ? "a second " : "no open_session before ") +
                        wire::opcode_name(incoming.opcode));
  }
  hand_over(incoming);
  slot_.objects.store(objects_.size(), std::memory_order_relaxed);
}

void Session::hand_over(Incoming& incoming) {
  current_ = &incoming;
  switch (wire::dispatch_to_worker(*this, incoming)) {
    case wire::Dispatched::handled:
      break;
    case wire::Dispatched::malformed:
      throw ProtocolError(std::string("malformed ") + wire::opcode_name(incoming.opcode));
    case wire::Dispatched::unknown:
      throw ProtocolError("unknown message " + std::to_string(incoming.opcode));
  }
}

void Session::end(const char* reason) {
  on_end_(reason);
  const std::lock_guard lock(lock_);
  pause_.end();
  fail_user_events();
}

void Session::fail_user_events() {
  const auto fail = [](EventEntry& event) {
    if (!event.user || event.user_done || event.handle == nullptr) return;
    event.user_done = true;
    clSetUserEventStatus(event.handle, CL_OUT_OF_RESOURCES);
  };
  objects_.each<EventEntry>(fail);
  for (const auto& event : abandoned_) fail(*event);
}

void Session::abandon(std::shared_ptr<EventEntry> event) {
  if (!event->user || event->user_done) return;
  --open_user_events_;
  if (!event->waited) return;
  if (abandoned_.size() >= kMaxObjects) throw ProtocolError("too many abandoned user events");
  abandoned_.push_back(std::move(event));
}

std::vector<cl_device_id> Session::devices_of(const ContextEntry& context,
                                              std::span<const std::uint32_t> numbers) const {
  std::vector<cl_device_id> handles;
  handles.reserve(numbers.size());
  for (const std::uint32_t number : numbers) {
    const cl_device_id handle = device(number).id;
    if (std::ranges::find(context.devices, number) == context.devices.end()) {
      throw ProtocolError("a device that the context does not have");
    }
    if (std::ranges::find(handles, handle) != handles.end()) {
      throw ProtocolError("a device comes twice");
    }
    handles.push_back(handle);
  }
  return handles;
}

void Session::poison(Entry& entry, cl_int status, wire::Opcode opcode) {
  entry.poison = status;
  answers_.deferred_error(entry.id, status, opcode);
}

std::vector<Retained<cl_command_queue>> Session::retain_queues() const {
  std::vector<Retained<cl_command_queue>> queues;
  objects_.each<QueueEntry>([&](QueueEntry& queue) {
    if (queue.handle != nullptr) queues.emplace_back(queue.handle);
  });
  objects_.each<ContextEntry>([&](ContextEntry& context) {
    if (context.internal_queue != nullptr) queues.emplace_back(context.internal_queue);
  });
  return queues;
}

std::unique_ptr<Charge> Session::charge_memory(std::uint32_t gpus, std::uint64_t bytes,
                                               bool answered) {
  if (!memory_.releases_pending()) return memory_.charge(gpus, bytes);
  if (auto charge = memory_.charge(gpus, bytes, false)) return charge;
  callbacks_.clear_buried();
  const auto queues = retain_queues();
  const auto deadline = std::chrono::steady_clock::now() +
                        (may_fail_later() ? kWaitWithUserEvents : std::chrono::milliseconds(kWait));
  const auto wait = [&] {
    for (const auto& queue : queues) clFlush(queue.get());
    while (memory_.wait_for_release(deadline)) {
      if (auto charge = memory_.charge(gpus, bytes, false)) return charge;
    }
    return memory_.charge(gpus, bytes);
  };
  return answered ? blocking(wait) : unlocked(wait);
}

cl_command_queue Session::internal_queue(ContextEntry& context, cl_int* status) {
  *status = context.poison;
  if (context.internal_queue == nullptr && *status == CL_SUCCESS) {
    constexpr std::array<cl_queue_properties, 3> kMetered = {CL_QUEUE_PROPERTIES,
                                                             CL_QUEUE_PROFILING_ENABLE, 0};
    context.internal_queue = clCreateCommandQueueWithProperties(
        context.handle, context.first_device,
        gate(context.gpu) != nullptr ? kMetered.data() : nullptr, status);
  }
  return context.internal_queue;
}

cl_event Session::ended_event(ContextEntry& context, cl_int* status) {
  *status = CL_SUCCESS;
  if (context.ended_event == nullptr) {
    const cl_event event = clCreateUserEvent(context.handle, status);
    if (event == nullptr) return nullptr;
    context.ended_event = event;
    *status = clSetUserEventStatus(event, CL_COMPLETE);
  }
  if (*status == CL_SUCCESS) *status = clRetainEvent(context.ended_event);
  return *status == CL_SUCCESS ? context.ended_event : nullptr;
}

// Called while no message is handled. Who suspends the session now has the lock, and no hurry.
std::chrono::nanoseconds Session::nap_length() {
  if (busy_queues_.load(std::memory_order_relaxed) == 0) return NapLength::kIdle;
  const std::unique_lock lock(lock_, std::try_to_lock);
  bool worked = false;
  if (lock.owns_lock()) {
    for (const auto& gate : gates_) worked |= gate != nullptr && gate->worked_through();
  }
  return nap_.next(worked);
}

void Session::settle_gates() {
  for (const auto& gate : gates_) {
    if (gate != nullptr) gate->settle();
  }
}

cl_int Session::metered(std::uint32_t gpu, const std::function<cl_int(cl_event*)>& call) {
  Gate* const before = gate(gpu);
  if (before == nullptr) return call(nullptr);
  before->enter(transfer_cost_->estimate(1));
  cl_event event = nullptr;
  const cl_int status = call(&event);
  if (event == nullptr) {
    before->left();
  } else {
    before->entered({.event = event, .cost = transfer_cost_, .estimate_ns = 0});
    before->settle();
    clReleaseEvent(event);
  }
  return status;
}

cl_int Session::start_metered(std::uint32_t gpu, cl_command_queue queue,
                              const std::function<cl_int(cl_event*)>& call, cl_event* under_way) {
  const cl_int status = metered(gpu, [&](cl_event* seen) {
    const cl_int started = call(under_way);
    if (started == CL_SUCCESS && seen != nullptr && clRetainEvent(*under_way) == CL_SUCCESS) {
      *seen = *under_way;
    }
    return started;
  });
  return status == CL_SUCCESS ? clFlush(queue) : status;
}

cl_int Session::scrub(ContextEntry& context,
                      const std::function<cl_int(cl_command_queue, cl_event*)>& fill) {
  if (!context.scrubs) return CL_SUCCESS;
  cl_int status = CL_SUCCESS;
  const cl_command_queue queue = internal_queue(context, &status);
  if (status != CL_SUCCESS) return status;
  cl_event event = nullptr;
  // Commands of other queues wait for it, and by the standard only a flush makes that end.
  status = unlocked([&] {
    return start_metered(
        context.gpu, queue, [&](cl_event* filled) { return fill(queue, filled); }, &event);
  });
  if (event != nullptr) context.scrubbing.replace(event);
  return status;
}

void Session::count_command(QueueEntry& queue) {
  if (idle(queue)) busy_queues_.fetch_add(1, std::memory_order_relaxed);
  ++queue.enqueued;
  slot_.commands.fetch_add(1, std::memory_order_relaxed);
}

void Session::count_finished(QueueEntry& queue, std::uint64_t upto) {
  if (upto <= queue.finished) return;
  queue.finished = upto;
  if (idle(queue)) busy_queues_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace tessera::worker

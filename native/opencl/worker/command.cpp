// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/command.h"

namespace tessera::worker {
namespace {

// What a blocked command costs besides its records.
constexpr std::size_t kBlockedCost = 512;  // bytes

// Whether a command keeps the device busy; the others only order those that do.
bool uses_device(wire::Opcode opcode) {
  switch (opcode) {
    case wire::Opcode::enqueue_marker:
    case wire::Opcode::enqueue_barrier:
    case wire::Opcode::enqueue_nothing:
      return false;
    default:
      return true;
  }
}

}  // namespace

Command::Command(Session& session, wire::Opcode opcode, Id queue, std::span<const Id> wait_list,
                 Id event)
    : session_(session),
      opcode_(opcode),
      queue_(session.objects().share<QueueEntry>(queue)),
      context_(queue_->context),
      event_id_(event),
      // A marker or a barrier without a list waits for all that its queue holds, and with one for
      // nothing else.
      scrub_(uses_device(opcode) ? context_->scrubbing.pending() : nullptr),
      fences_(uses_device(opcode) ? context_->fences.before(queue_->id)
                                  : std::vector<Retained<cl_event>>()),
      followed_(session.may_fail_later()) {
  if (event_id_ != 0) session.objects().require_new(event_id_);
  check(queue_->poison);
  const std::size_t count = wait_list.size() + (scrub_.get() != nullptr ? 1 : 0) + fences_.size();
  if (count > kInline) many_.resize(count);
  for (const Id id : wait_list) add_wait(waits_++, id);
  if (scrub_.get() != nullptr) wait_at(waits_++) = scrub_.get();
  for (const auto& fence : fences_) wait_at(waits_++) = fence.get();
}

Command::~Command() {
  // Given to the event's entry where the client has one.
  if (event_ != nullptr) clReleaseEvent(event_);
  for (const Flight& part : parts_) clReleaseEvent(part.event);
}

void Command::add_wait(std::size_t index, Id id) {
  EventEntry& event = session_.objects().get<EventEntry>(id);
  if (followed_) waited_.push_back(session_.objects().any(id));
  event.waited = true;
  if (event.poison != CL_SUCCESS) check(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
  if (event.context != context_) check(CL_INVALID_CONTEXT);
  wait_at(index) = event.handle;
}

MemEntry& Command::mem(Id id) {
  MemEntry& entry = session_.objects().get<MemEntry>(id);
  if (followed_) used_.push_back(session_.objects().any(id));
  use(entry, entry.context);
  return entry;
}

std::vector<cl_mem> Command::mems(std::span<const Id> ids) {
  std::vector<cl_mem> handles;
  handles.reserve(ids.size());
  for (const Id id : ids) handles.push_back(mem(id).handle);
  return handles;
}

void Command::launch(const std::shared_ptr<KernelEntry>& kernel) {
  if (followed_) kernel_ = kernel;
  use(*kernel, kernel->context);
}

void Command::use(const Entry& entry, const std::shared_ptr<ContextEntry>& context) {
  check(entry.poison);
  if (context != context_) check(CL_INVALID_CONTEXT);
}

Gate* Command::gate_of_device() const {
  return uses_device(opcode_) ? session_.gate(queue_->gpu) : nullptr;
}

Gate* Command::gate_before() {
  Gate* const gate = causes_.any() || in_parts_ ? nullptr : gate_of_device();
  if (gate == nullptr) return nullptr;
  if (cost_ == nullptr) cost_ = session_.transfer_cost();
  estimate_ns_ = cost_->estimate(units_);
  enter(*gate, estimate_ns_);
  return gate;
}

// Threads that come back from the driver may answer meanwhile; no later message is handled.
void Command::enter(Gate& gate, std::uint64_t estimate_ns) {
  if (!gate.try_enter(estimate_ns)) session_.unlocked([&] { gate.enter(estimate_ns); });
}

void Command::tell(Gate& gate, const Flight& flight) {
  flight.event == nullptr ? gate.left() : gate.entered(flight);
}

void Command::keep_part(const Flight& flight) {
  clRetainEvent(flight.event);
  parts_.push_back(flight);
}

void Command::launch(const std::shared_ptr<CommandBufferEntry>& buffer) {
  in_parts();
  use(*buffer, buffer->context);
  if (followed_) used_.push_back(buffer);
}

void Command::succeeded() {
  session_.count_command(*queue_);
  if (queue_->keeps_last() && event_ != nullptr) {
    clRetainEvent(event_);
    if (queue_->last != nullptr) clReleaseEvent(queue_->last);
    queue_->last = event_;
  }
  if (event_id_ == 0) return;
  // The table refuses past its limit; the command runs all the same, and its event is reported at
  // once.
  const auto entry = session_.objects().add<EventEntry>(event_id_);
  entry->context = context_;
  entry->queue = queue_;
  entry->number = queue_->enqueued;
  if (entry->poison != CL_SUCCESS) return session_.callbacks().report_end(*entry, entry->poison);
  clRetainEvent(event_);
  entry->handle = event_;
  entry->head = head_;
  entry->profiling = queue_->profiling;
  entry_ = entry;
}

bool Command::waits_for_all() const {
  return waits_ == 0 &&
         (opcode_ == wire::Opcode::enqueue_marker || opcode_ == wire::Opcode::enqueue_barrier);
}

void Command::foresee() {
  causes_ = session_.blocked().causes(*queue_, waited_, waits_for_all());
  if (causes_.any()) session_.blocked().prepare(*queue_);
}

void Command::remember() {
  if (!causes_.any()) return session_.blocked().add_runnable(*queue_, event_);
  auto command = std::make_shared<Blocked>();
  Record message = session_.current_message();
  std::size_t bytes = kBlockedCost + message.size();
  if (kernel_ != nullptr) {
    command->kernel = kernel_;
    command->arguments = kernel_->arguments;
    for (const auto& argument : command->arguments) {
      bytes += argument.value.size();
      if (auto object = argument.object()) used_.push_back(std::move(object));
    }
  }
  bytes += parts_.size() * kBlockedCost;
  if (session_.objects().recount(0, bytes)) {
    command->message = std::move(message);
    command->counted = bytes;
  }
  command->payload = payload_;
  command->queue = queue_;
  command->event = entry_;
  command->waits = std::move(waited_);
  if (scrub_.get() != nullptr) command->also_waits.emplace_back(scrub_.get());
  for (const auto& fence : fences_) command->also_waits.emplace_back(fence.get());
  command->uses = std::move(used_);
  command->handle = std::make_shared<Retained<cl_event>>(event_);
  command->barrier = opcode_ == wire::Opcode::enqueue_barrier;
  command->waits_for_all = waits_for_all();
  if (in_parts_) {
    for (const Flight& part : parts_) {
      command->parts.push_back(std::make_shared<Retained<cl_event>>(part.event));
    }
    command->flights = parts_;
  } else if (gate_of_device() != nullptr) {
    const auto& cost = cost_ != nullptr ? cost_ : session_.transfer_cost();
    command->flights.push_back({.event = event_, .cost = cost, .units = units_});
  }
  blocked_ = command;
  session_.blocked().add(std::move(command), causes_);
}

void Command::let_go() {
  if (event_ != nullptr) clReleaseEvent(std::exchange(event_, nullptr));
  queue_.reset();
  context_.reset();
  entry_.reset();
  waited_.clear();
  used_.clear();
  kernel_.reset();
  payload_.reset();
  causes_ = {};
}

void Command::announce() {
  if (entry_ == nullptr) return;
  const auto blocked = blocked_.lock();
  const auto completion = session_.completions().add(event_, entry_, blocked != nullptr);
  if (blocked != nullptr) blocked->completion = completion;
  if (entry_->profiling) session_.callbacks().watch(entry_);
}

void Command::fence() {
  // Whoever takes what waits for himself for complete has no order from it, and others no harm.
  if (!blocked_.expired()) return;
  context_->fences.add(event_, queue_->id, !queue_->out_of_order);
  if (const cl_event first = context_->fences.too_many(); first != nullptr) {
    const Retained<cl_event> held(first);
    session_.unlocked([&] { clWaitForEvents(1, &first); });
  }
}

void Command::failed() {
  if (causes_.any()) session_.blocked().cancel(*queue_);
  if (queue_->deferred == CL_SUCCESS) queue_->deferred = status_;
  if (event_id_ != 0) {
    const auto entry = session_.objects().add<EventEntry>(event_id_);
    entry->context = context_;
    entry->queue = queue_;
    entry->poison = status_;
    session_.callbacks().report_end(*entry, status_);
  }
  session_.answers().deferred_error(queue_->id, status_, opcode_);
}

}  // namespace tessera::worker

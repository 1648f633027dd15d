// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/save.h"

#include <algorithm>
#include <string>

#include "opencl/worker/kernel_facts.h"
#include "opencl/worker/session.h"

namespace tessera::worker {
namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw StateError(state_error::kUnsupported, why);
}

std::string name_of(const Entry& entry) {
  return std::string(kind_name(entry.kind)) + " " + std::to_string(entry.id);
}

template <class Message>
Record record_of(const Message& message) {
  wire::Encoder out;
  encode(out, message);
  return Record(static_cast<std::uint16_t>(Message::kOpcode), out.bytes());
}

template <class Entries, class F>
void each_event(const Entries& entries, F&& visit) {
  for (const auto& [id, entry] : entries) {
    if (entry->kind == Kind::event) visit(static_cast<EventEntry&>(*entry));
  }
}

bool is_blocked(const EventEntry& event) {
  return !event.command.expired();
}

bool is_open(const EventEntry& event) {
  return event.user && !event.user_done && event.poison == CL_SUCCESS;
}

// The message that sets the argument of this kernel.
// What a session that is suspended has none of.
bool names_allocations(std::uint32_t param) {
  return param == CL_KERNEL_EXEC_INFO_SVM_PTRS || param == CL_KERNEL_EXEC_INFO_USM_PTRS_INTEL;
}

Record message_of(const KernelEntry::Argument& argument, Id kernel, std::uint32_t index) {
  const auto addressed = [&](auto message) {
    message.kernel = kernel;
    message.index = index;
    return message;
  };
  if (argument.what == KernelEntry::Argument::What::object) {
    auto message = addressed(wire::SetKernelArgObject{});
    message.target = argument.number;
    return record_of(message);
  }
  if (argument.what == KernelEntry::Argument::What::local) {
    auto message = addressed(wire::SetKernelArgLocal{});
    message.size = argument.number;
    return record_of(message);
  }
  auto message = addressed(wire::SetKernelArgValue{});
  message.value = argument.value.fields();
  return record_of(message);
}

}  // namespace

Saver::Saver(Session& session) : session_(session) {
  if (session_.blocked_.incomplete()) {
    refuse(
        "commands that wait for a user event are more than the session keeps a record of: set the "
        "event, or let the program go on");
  }
  collect();
  for (const auto& [id, entry] : entries_) check(*entry);
  for (const auto& [id, entry] : entries_) plan(*entry);
  for (const auto* makings : {&partitions_, &makings_}) {
    for (const auto& [serial, making] : *makings) needs_.bytes += making.record.size();
  }
  for (const auto& [number, command] : session_.blocked_.all()) {
    needs_.bytes += command->message.size();
    if (command->payload != nullptr) needs_.bytes += command->payload->size();
  }
  needs_.objects = session_.objects_.size();
  charged_ = session_.quota_.used(session_.slot_index_);
  for (const std::uint64_t bytes : charged_) needs_.device += bytes;
}

// ---- what there is ----

void Saver::collect() {
  session_.objects_.each_of_any_kind([&](const auto& entry) { add(entry); });
  for (const auto& event : session_.abandoned_) add(event);
  for (const auto& [number, command] : session_.blocked_.all()) {
    add(command->queue);
    add(command->kernel);
    if (command->event != nullptr) add(command->event);
    for (const auto& each : command->waits) add(each);
    for (const auto& each : command->uses) add(each);
  }
  while (!unseen_.empty()) {
    const auto entry = std::move(unseen_.back());
    unseen_.pop_back();
    add_needed_by(*entry);
  }
}

void Saver::add(const std::shared_ptr<Entry>& entry) {
  if (entry == nullptr) return;
  const auto [at, first] = entries_.try_emplace(entry->id, entry);
  if (!first) {
    if (at->second == entry) return;
    refuse("the id of " + name_of(*entry) + " was given to another object while it is in use");
  }
  unseen_.push_back(entry);
  if (session_.objects_.find_any(entry->id) != entry) ghosts_.push_back(entry->id);
}

void Saver::add_needed_by(Entry& entry) {
  switch (entry.kind) {
    case Kind::context:
      for (const auto& each : static_cast<ContextEntry&>(entry).partitions) add(each);
      return;
    case Kind::partition:
      return add(static_cast<PartitionEntry&>(entry).parent);
    case Kind::queue:
      return add(static_cast<QueueEntry&>(entry).context);
    case Kind::sampler:
      return add(static_cast<SamplerEntry&>(entry).context);
    case Kind::event:
      return add(static_cast<EventEntry&>(entry).context);
    case Kind::mem:
      add(static_cast<MemEntry&>(entry).context);
      return add(static_cast<MemEntry&>(entry).parent);
    case Kind::program: {
      const auto& program = static_cast<ProgramEntry&>(entry);
      add(program.context);
      for (const auto& input : program.link.inputs) add(input.program);
      return;
    }
    case Kind::kernel: {
      const auto& kernel = static_cast<KernelEntry&>(entry);
      add(kernel.context);
      if (kernel.poison == CL_SUCCESS) add(kernel.program);
      return;
    }
    case Kind::command_buffer: {
      const auto& buffer = static_cast<const CommandBufferEntry&>(entry);
      add(buffer.context);
      add(buffer.queue);
      for (const auto& command : buffer.commands) {
        for (const auto& used : command.uses) add(used);
      }
      return;
    }
  }
}

void Saver::check(const Entry& entry) {
  if (entry.poison != CL_SUCCESS) return;
  switch (entry.kind) {
    case Kind::context:
      if (!static_cast<const ContextEntry&>(entry).svm.empty()) {
        refuse(
            "the program uses shared virtual or unified shared memory, whose addresses no driver "
            "can give again: suspend it when it has freed that memory");
      }
      break;
    case Kind::program: {
      const auto& program = static_cast<const ProgramEntry&>(entry);
      if (program.built.unrecorded) {
        refuse("the files that " + name_of(entry) +
               " includes are more than the session keeps a record of");
      }
      if (program.has_variables && program.launched) {
        refuse(
            name_of(entry) +
            " has variables of its own on the device (at program scope, or static), whose values "
            "no driver gives out: suspend it when the program has been released, or keep the "
            "values in a buffer");
      }
      for (const auto& input : program.link.inputs) {
        if (input.program->builds != input.builds) {
          refuse(name_of(entry) + " was linked from " + name_of(*input.program) +
                 ", which was compiled anew since");
        }
      }
      break;
    }
    case Kind::kernel:
      for (const auto& argument : static_cast<const KernelEntry&>(entry).arguments) {
        if (argument.what == KernelEntry::Argument::What::value && !argument.value) {
          refuse("the arguments of " + name_of(entry) +
                 " are more than the session keeps a record of");
        }
      }
      break;
    case Kind::command_buffer:
      if (static_cast<const CommandBufferEntry&>(entry).unrecorded) {
        refuse("the commands of " + name_of(entry) +
               " have arguments that the session keeps no record of");
      }
      break;
    case Kind::mem: {
      const auto& mem = static_cast<const MemEntry&>(entry);
      if (mem.parent == nullptr) needs_.bytes += mem.shape.size;
      break;
    }
    default:
      break;
  }
}

// ---- in which order it was made ----

void Saver::plan(const Entry& entry) {
  if (entry.poison != CL_SUCCESS || entry.kind == Kind::event) return;
  if (entry.kind == Kind::program) return plan_program(static_cast<const ProgramEntry&>(entry));
  if (entry.kind == Kind::kernel) return plan_kernel(static_cast<const KernelEntry&>(entry));
  if (entry.kind == Kind::command_buffer) {
    return plan_command_buffer(static_cast<const CommandBufferEntry&>(entry));
  }
  auto& makings = entry.kind == Kind::partition ? partitions_ : makings_;
  makings.emplace(entry.serial, Making{entry.record});
}

void Saver::plan_program(const ProgramEntry& program) {
  // Making it was linking it, which may have failed.
  const bool failed = !program.link.inputs.empty() && program.built.serial == 0;
  makings_.emplace(program.serial, Making{program.record, failed ? kMayFail : 0});
  plan_build(program, program.built, 0);
  plan_build(program, program.failed, kMayFail);
  // Those set since the last build; they change nothing that is there.
  const std::uint64_t last = session_.objects_.next_serial();
  for (const auto& [id, record] : program.constants) makings_.emplace(last, Making{record});
}

void Saver::plan_build(const ProgramEntry& program, const Build& build, std::uint32_t flags) {
  if (!build.message) return;
  for (const auto& header : build.headers) {
    const auto [at, first] = headers_.try_emplace(header.id, header.serial);
    const auto entry = entries_.find(header.id);
    if (at->second != header.serial ||
        (entry != entries_.end() && entry->second->serial != header.serial)) {
      refuse("the id of a header of " + name_of(program) + " was given to another object");
    }
    if (!first || entry != entries_.end()) continue;
    ghosts_.push_back(header.id);
    makings_.emplace(header.serial, Making{header.record});
  }
  for (const auto& [id, record] : build.constants) makings_.emplace(build.serial, Making{record});
  makings_.emplace(build.serial, Making{build.message, flags});
}

void Saver::plan_kernel(const KernelEntry& kernel) {
  // A clone is made like its original: that may be gone.
  wire::CreateKernel create;
  create.kernel = kernel.id;
  create.program = kernel.program->id;
  create.name = kernel.facts->name;
  makings_.emplace(kernel.serial, Making{record_of(create)});
  for (const auto& [param, values] : kernel.exec_info) {
    if (names_allocations(param)) continue;
    wire::SetKernelExecInfo set;
    set.kernel = kernel.id;
    set.param = param;
    set.values = values;
    makings_.emplace(kernel.serial, Making{record_of(set)});
  }
}

// A kernel's arguments are set by each recorded launch, and to what they are now in the end.
void Saver::plan_command_buffer(const CommandBufferEntry& buffer) {
  makings_.emplace(buffer.serial, Making{buffer.record});
  for (const auto& command : buffer.commands) {
    makings_.emplace(command.serial, Making{command.message});
  }
  if (buffer.finalized) makings_.emplace(buffer.finalized_serial, Making{buffer.finalized});
}

// ---- writing ----

template <class Fields>
void Saver::frame(FrameType type, const Fields& fields, std::span<const std::byte> bulk) {
  wire::Encoder out;
  encode(out, fields);
  out_->write({.type = type, .fields = out.bytes(), .bulk = bulk});
}

void Saver::message(const Record& record, std::uint32_t flags) {
  out_->write({.type = FrameType::message,
               .flags = flags,
               .opcode = record.opcode(),
               .fields = record.fields(),
               .bulk = record.bulk()});
}

template <class Message>
void Saver::message(const Message& message) {
  this->message(record_of(message));
}

void Saver::write(StateWriter& out, const std::string& lease) {
  out_ = &out;
  write_header(lease);
  write_makings();
  write_contents();
  write_events();
  write_blocked();
  write_pending();
  write_ghosts();
  out.finish();
}

void Saver::write_header(const std::string& lease) {
  StateHeader header;
  header.lease = lease;
  header.charged = charged_;
  for (const Device& device : session_.devices_) {
    header.devices.push_back(DeviceFacts::of(device.id));
  }
  frame(FrameType::header, header);
}

void Saver::write_makings() {
  for (const auto& [serial, making] : partitions_) message(making.record, making.flags);
  // What failed to be made was made at some time, too: contexts first, whatever names them later.
  for (const auto& [id, entry] : entries_) {
    if (entry->poison != CL_SUCCESS && entry->kind == Kind::context) write_poisoned(*entry);
  }
  for (const auto& [serial, making] : makings_) message(making.record, making.flags);
  for (const auto& [id, entry] : entries_) {
    if (entry->poison != CL_SUCCESS && entry->kind != Kind::context && entry->kind != Kind::event) {
      write_poisoned(*entry);
    }
  }
}

void Saver::write_poisoned(const Entry& entry) {
  PoisonedObject object;
  object.kind = static_cast<std::uint32_t>(entry.kind);
  object.id = entry.id;
  object.status = entry.poison;
  const auto context = [&](const std::shared_ptr<ContextEntry>& of) {
    object.context = of != nullptr ? of->id : 0;
  };
  switch (entry.kind) {
    case Kind::context:
      object.devices = static_cast<const ContextEntry&>(entry).devices;
      break;
    case Kind::queue:
      context(static_cast<const QueueEntry&>(entry).context);
      object.devices = {static_cast<const QueueEntry&>(entry).device};
      break;
    case Kind::mem: {
      const auto& mem = static_cast<const MemEntry&>(entry);
      context(mem.context);
      object.mem_type = mem.shape.type;
      object.size = mem.shape.size;
      object.mem_flags = mem.shape.flags;
      break;
    }
    case Kind::sampler:
      context(static_cast<const SamplerEntry&>(entry).context);
      break;
    case Kind::program:
      context(static_cast<const ProgramEntry&>(entry).context);
      object.devices = static_cast<const ProgramEntry&>(entry).devices;
      break;
    case Kind::partition:
      break;
    case Kind::kernel:
      context(static_cast<const KernelEntry&>(entry).context);
      break;
    case Kind::command_buffer:
      context(static_cast<const CommandBufferEntry&>(entry).context);
      break;
    case Kind::event:
      return;
  }
  frame(FrameType::poisoned, object);
}

void Saver::write_events() {
  each_event(entries_, [&](const EventEntry& event) {
    if (is_blocked(event)) return;
    if (is_open(event)) {
      wire::CreateUserEvent create;
      create.event = event.id;
      create.context = event.context->id;
      return message(create);
    }
    cl_int status = event.poison;
    if (status == CL_SUCCESS) {
      status = CL_QUEUED;
      clGetEventInfo(event.handle, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status,
                     nullptr);
    }
    if (status > CL_COMPLETE) refuse("event " + std::to_string(event.id) + " does not end");
    write_ended(event, status);
  });
  for (const auto& [id, entry] : entries_) {
    if (entry->kind != Kind::queue || entry->poison != CL_SUCCESS) continue;
    const auto& queue = static_cast<const QueueEntry&>(*entry);
    frame(FrameType::queue,
          QueueCounters{queue.id, queue.deferred, queue.enqueued - session_.blocked_.count(queue)});
  }
}

void Saver::write_ended(const EventEntry& event, cl_int status) {
  EndedEvent ended;
  ended.id = event.id;
  ended.context = event.context != nullptr ? event.context->id : 0;
  if (const auto queue = event.queue.lock(); queue != nullptr) {
    const auto at = entries_.find(queue->id);
    if (at != entries_.end() && at->second == queue) ended.queue = queue->id;
  }
  ended.number = event.number;
  ended.status = status;
  ended.user = event.user ? 1 : 0;
  ended.profiling = event.profiling ? 1 : 0;
  ended.reported = event.reported ? 1 : 0;
  frame(FrameType::ended, ended);
}

void Saver::write_blocked() {
  for (const auto& [id, entry] : entries_) {
    if (entry->kind != Kind::kernel || entry->poison != CL_SUCCESS) continue;
    const auto& kernel = static_cast<const KernelEntry&>(*entry);
    write_arguments(kernel, kernel.arguments);
  }
  std::map<Id, std::shared_ptr<KernelEntry>> changed;
  for (const auto& [number, command] : session_.blocked_.all()) {
    if (command->kernel != nullptr) {
      write_arguments(*command->kernel, command->arguments);
      changed.emplace(command->kernel->id, command->kernel);
    }
    std::span<const std::byte> bulk;
    if (command->payload != nullptr) bulk = {command->payload->data(), command->payload->size()};
    out_->write({.type = FrameType::message,
                 .opcode = command->message.opcode(),
                 .fields = command->message.fields(),
                 .bulk = bulk});
  }
  for (const auto& [id, kernel] : changed) write_arguments(*kernel, kernel->arguments);
}

void Saver::write_arguments(const KernelEntry& kernel,
                            const std::vector<KernelEntry::Argument>& arguments) {
  for (std::uint32_t i = 0; i < arguments.size(); ++i) {
    const auto& argument = arguments[i];
    // One that names what is gone cannot be launched with; nor can one that is not set.
    const bool usable = argument.launchable() && !argument.is_address() &&
                        (argument.object() == nullptr || entries_.contains(argument.number));
    if (usable) {
      message(message_of(argument, kernel.id, i));
    } else {
      frame(FrameType::unset, UnsetArgument{kernel.id, i});
    }
  }
}

void Saver::write_pending() {
  for (const auto& [id, entry] : entries_) {
    if (entry->kind != Kind::mem || entry->poison != CL_SUCCESS) continue;
    if (!static_cast<const MemEntry&>(*entry).watched) continue;
    wire::WatchObject watch;
    watch.target = id;
    message(watch);
  }
  each_event(entries_, [&](EventEntry& event) {
    if (!is_open(event) && !is_blocked(event)) return;
    {
      const std::lock_guard lock(event.report);
      frame(FrameType::pending, PendingEvent{event.id, event.told});
    }
    if (!event.watched && !event.every_state) return;
    wire::SubscribeEvent subscribe;
    subscribe.event = event.id;
    subscribe.every_state = event.every_state ? 1 : 0;
    message(subscribe);
  });
}

void Saver::write_ghosts() {
  for (const Id id : ghosts_) {
    wire::Release release;
    release.target = id;
    message(release);
  }
}

}  // namespace tessera::worker

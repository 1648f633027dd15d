// SPDX-License-Identifier: Apache-2.0
//
// What the worker's messages do. The worker is believed about results, never about sizes, numbers
// or types: a session that breaks the rules ends, the program does not.
#include <unistd.h>

#include <cerrno>
#include <string>

#include "generated/dispatch_to_client.h"
#include "opencl/client/context.h"
#include "opencl/client/event.h"
#include "opencl/client/log.h"
#include "opencl/client/queue.h"
#include "opencl/client/session.h"
#include "opencl/client/sub_device.h"
#include "opencl/client/transfer.h"

namespace tessera::client {
namespace {

constexpr std::size_t kMaxFacts = 4096;
constexpr std::size_t kMaxFormatLists = 256;
// Destroyed objects that the program has not released: only those that could not be made.
constexpr std::size_t kMaxGone = 1'000'000;

// A program reads these to their NUL: there must be none before their end.
bool fits_platform(std::string_view text) {
  return text.size() <= PlatformTexts::kLongest && text.find('\0') == text.npos;
}

}  // namespace

void Session::handle(const wire::PlatformSnapshot& message, Incoming&) {
  const bool fits = opening_ && !snapshot_.platform && fits_platform(message.name) &&
                    fits_platform(message.vendor) && fits_platform(message.version);
  if (!fits) throw ChannelClosed("the worker sent a platform that does not fit");
  snapshot_.platform = {.name = std::string(message.name),
                        .vendor = std::string(message.vendor),
                        .version = std::string(message.version)};
}

void Session::handle(const wire::DeviceSnapshot& message, Incoming&) {
  const bool fits =
      opening_ && message.device == snapshot_.devices.size() && message.device < kMaxDevices &&
      message.params.size() == message.values.size() && message.params.size() <= kMaxFacts;
  if (!fits) throw ChannelClosed("the worker sent a device snapshot that does not fit");
  Snapshot::Entry entry{.device = message.device, .memory = message.memory, .facts = {}};
  for (std::size_t i = 0; i < message.params.size(); ++i) {
    entry.facts[message.params[i]].assign(message.values[i].begin(), message.values[i].end());
  }
  snapshot_.devices.push_back(std::move(entry));
  account_.begin(message.device, message.memory);
}

void Session::handle(const wire::LeaseLimits& message, Incoming&) {
  if (!account_.resize(message.resizes, message.memory)) {
    throw ChannelClosed("the worker sent limits that do not fit the lease");
  }
}

void Session::handle(const wire::SubDeviceFacts& message, Incoming&) {
  const bool fits =
      message.params.size() == message.values.size() && message.params.size() <= kMaxFacts;
  if (!fits) throw ChannelClosed("the worker sent facts of a sub-device that do not fit");
  const Ref<Partition> partition = find<Partition>(message.partition);
  if (!partition) return;
  DeviceFacts facts;
  for (std::size_t i = 0; i < message.params.size(); ++i) {
    facts[message.params[i]].assign(message.values[i].begin(), message.values[i].end());
  }
  partition->tell(message.place, std::move(facts));
}

void Session::handle(const wire::ImageFormats& message, Incoming&) {
  const bool fits = opening_ && message.formats.size() % 2 == 0 &&
                    snapshot_.image_formats.size() < kMaxFormatLists;
  if (!fits) throw ChannelClosed("the worker sent image formats that do not fit");
  ImageFormatList list{.type = message.image_type, .flags = message.flags, .formats = {}};
  for (std::size_t i = 0; i < message.formats.size(); i += 2) {
    list.formats.push_back({message.formats[i], message.formats[i + 1]});
  }
  snapshot_.image_formats.push_back(std::move(list));
}

void Session::handle(const wire::EventDone& message, Incoming&) {
  if (message.status > CL_COMPLETE) throw ChannelClosed("the worker ended an event without an end");
  if (message.status < 0) note_failure();
  if (const Ref<Event> event = find<Event>(message.event)) {
    event->on_done(message.status, message.times);
  }
}

void Session::handle(const wire::EventState& message, Incoming&) {
  if (message.status <= CL_COMPLETE || message.status > CL_QUEUED) {
    throw ChannelClosed("the worker sent an event's state that is none");
  }
  if (const Ref<Event> event = find<Event>(message.event)) event->on_state(message.status);
}

void Session::handle(const wire::EventsDone& message, Incoming&) {
  for (const wire::Id id : message.events) {
    if (const Ref<Event> event = find<Event>(id)) event->on_done(CL_COMPLETE, {});
  }
}

void Session::handle(const wire::ObjectGone& message, Incoming&) {
  std::function<void()> then;
  {
    const std::lock_guard lock(gone_mutex_);
    if (auto node = when_gone_.extract(message.target)) {
      if (asked_.contains(message.target)) {
        found_gone_.insert(std::move(node));
        return;
      }
      then = std::move(node.mapped());
    } else if (gone_.size() < kMaxGone) {
      gone_.insert(message.target);
    } else {
      throw ChannelClosed("the worker destroyed objects that nobody asked about");
    }
  }
  if (then) callbacks_.deliver(std::move(then));
}

void Session::handle(const wire::ReadDone& message, Incoming& incoming) {
  if (incoming.bulk.tag() != 0 && incoming.bulk.tag() != message.ticket) {
    throw ChannelClosed("the worker sent the bytes of another read");
  }
  std::unique_ptr<Transfer> transfer;
  {
    const std::lock_guard lock(reads_mutex_);
    if (auto node = reads_.extract(message.ticket)) transfer = std::move(node.mapped());
    arriving_ = transfer.get();
  }
  struct Arriving {
    Session& session;
    ~Arriving() {
      const std::lock_guard lock(session.reads_mutex_);
      session.arriving_ = nullptr;
    }
  } arriving{*this};
  // The program may free its memory once the read has ended: first nothing may write there.
  if (transfer != nullptr && transfer->is_under_way(incoming.bulk)) channel_->close();
  if (transfer == nullptr || !transfer->arrive(message.status, incoming.bulk)) {
    throw ChannelClosed("the worker sent bytes that nobody asked for");
  }
}

void Session::handle(const wire::BuildLog& message, Incoming& incoming) {
  on_build_log(*this, message, incoming.bulk);
}

void Session::handle(const wire::KernelFacts& message, Incoming&) {
  on_kernel_facts(*this, message);
}

void Session::handle(const wire::BuildDone& message, Incoming&) {
  on_build_done(*this, message);
}

void Session::handle(const wire::Output&, Incoming& incoming) {
  const char* at = reinterpret_cast<const char*>(incoming.bulk.data());
  std::size_t left = incoming.bulk.size();
  while (left != 0) {
    const ssize_t written = ::write(STDOUT_FILENO, at, left);
    if (written < 0 && errno != EINTR) return;  // the program closed its standard output
    if (written < 0) continue;
    at += written;
    left -= static_cast<std::size_t>(written);
  }
}

void Session::handle(const wire::ContextNotice& message, Incoming&) {
  const Ref<Context> context = find<Context>(message.context);
  if (!context || context->notify().function == nullptr) return;
  callbacks_.run([context, notice = std::string(message.notice)] {
    const Context::Notify notify = context->notify();
    notify.function(notice.c_str(), nullptr, 0, notify.user_data);
  });
}

void Session::handle(const wire::DeferredError& message, Incoming&) {
  log(LogLevel::info, std::string(wire::opcode_name(static_cast<std::uint16_t>(message.opcode))) +
                          " failed in the worker with code " + std::to_string(message.status));
  const auto opcode = static_cast<wire::Opcode>(message.opcode);
  const std::lock_guard lock(table_mutex_);
  Object* object = table_.find(message.target);
  if (object == nullptr || message.status >= 0) return;
  // A queue's failed commands are reported by its next finish; only a queue that was never made is
  // dead.
  if (object->kind() == Kind::queue && opcode != wire::Opcode::create_queue) {
    static_cast<Queue*>(object)->note_failure();
    return;
  }
  object->set_poison(message.status);
}

void Session::handle(const wire::LongAnswerPiece& message, Incoming& incoming) {
  const std::span<const std::byte> bytes(incoming.bulk.data(), incoming.bulk.size());
  if (long_answers_.add(message.number, message.size, bytes) == LongReceiver::Taken::refused) {
    throw ChannelClosed("the worker sent a piece of a message that does not fit the others");
  }
}

void Session::handle(const wire::LongAnswer& message, Incoming& incoming) {
  Incoming whole;
  std::shared_ptr<const void> fields;
  if (long_answers_.take(message.number, message.opcode, message.fields_size, incoming.sequence,
                         whole, fields) == LongReceiver::Taken::refused) {
    throw ChannelClosed("the worker sent the end of a message whose pieces are missing");
  }
  const auto opcode = static_cast<wire::Opcode>(whole.opcode);
  if (opcode == wire::Opcode::long_answer_piece || opcode == wire::Opcode::long_answer ||
      wire::dispatch_to_client(*this, whole) != wire::Dispatched::handled) {
    throw ChannelClosed(std::string("the worker sent a malformed long message: ") +
                        wire::opcode_name(whole.opcode));
  }
}

void Session::tell_of_loss() {
  std::map<std::uint64_t, std::unique_ptr<Transfer>> reads;
  {
    const std::lock_guard lock(reads_mutex_);
    reads.swap(reads_);
  }
  for (const auto& [ticket, transfer] : reads) transfer->fail(CL_OUT_OF_RESOURCES);

  std::vector<Ref<Event>> events;
  std::vector<Ref<Context>> contexts;
  {
    const std::lock_guard lock(table_mutex_);
    table_.each([&](Object* object) {
      if (object->kind() == Kind::event && object->try_hold()) {
        events.push_back(Ref<Event>::adopt(static_cast<Event*>(object)));
      } else if (object->kind() == Kind::context && object->try_hold()) {
        contexts.push_back(Ref<Context>::adopt(static_cast<Context*>(object)));
      }
    });
  }
  for (const auto& event : events) event->on_session_lost();
  std::map<wire::Id, std::function<void()>> gone;
  {
    const std::lock_guard lock(gone_mutex_);
    gone.swap(when_gone_);
  }
  for (auto& [id, then] : gone) callbacks_.deliver(std::move(then));
  on_session_lost(*this);
  for (const auto& context : contexts) {
    if (context->notify().function == nullptr) continue;
    callbacks_.run([context] {
      const Context::Notify notify = context->notify();
      notify.function("Tessera: the session with the GPU's worker is lost", nullptr, 0,
                      notify.user_data);
    });
  }
}

}  // namespace tessera::client

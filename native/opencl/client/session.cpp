// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/session.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>

#include "generated/dispatch_to_client.h"
#include "opencl/client/log.h"
#include "opencl/client/queue.h"
#include "opencl/client/transfer.h"

namespace tessera::client {
namespace {

using namespace std::chrono_literals;

// Long enough that waking up for it costs nothing; a waiting leader is otherwise woken by messages.
constexpr Wait kLookAgain{.timeout = 1h, .spin = false};
constexpr Wait kNoWait{.timeout = 0ns, .spin = false};
// Answers that come before their caller has written down what it waits for.
constexpr std::size_t kMaxEarlyReplies = 4096;

// What this thread is doing for which session. Plain values: nothing to destroy when a thread ends.
thread_local const Session* leading_for = nullptr;
thread_local bool handling = false;

}  // namespace

struct Session::PendingCall {
  std::uint64_t sequence = 0;
  Reply reply;
  std::atomic<bool> done{false};
};

Session::Session(std::unique_ptr<Channel> channel)
    : channel_(std::move(channel)), callbacks_(*this) {
  channel_->on_stall([this] { on_stall(); });
  channel_->on_place(
      [this](std::uint64_t tag, std::size_t size) { return place_of_read(tag, size); });
}

Session::~Session() {
  close();
}

void Session::close() noexcept {
  lose("it was closed");
  callbacks_.stop();
}

std::uint64_t Session::send(std::uint16_t opcode, std::span<const std::byte> fields, Bulk bulk) {
  if (lost()) throw SessionLost();
  std::uint64_t sequence = 0;
  try {
    sequence = is_long(fields, bulk)
                   ? long_messages_.send(*channel_, opcode, fields, {bulk.data(), bulk.size()})
                   : channel_->send(opcode, fields, std::move(bulk));
  } catch (const ChannelClosed& closed) {
    lose(closed.what());
    throw SessionLost();
  }
  if (has_parked_.load(std::memory_order_relaxed)) send_parked();
  return sequence;
}

Bulk Session::reserve(std::size_t size) {
  if (lost()) throw SessionLost();
  if (size == 0) return {};
  try {
    return channel_->reserve(size);
  } catch (const ChannelClosed& closed) {
    lose(closed.what());
    throw SessionLost();
  }
}

Bulk Session::lend(std::span<const std::byte> bytes) {
  if (lost()) throw SessionLost();
  try {
    return channel_->lend(bytes);
  } catch (const ChannelClosed& closed) {
    lose(closed.what());
    throw SessionLost();
  }
}

UniqueFd Session::take_descriptor(std::uint64_t tag) {
  if (lost()) throw SessionLost();
  try {
    return channel_->take_descriptor(tag);
  } catch (const ChannelClosed& closed) {
    lose(closed.what());
    throw SessionLost();
  }
}

Bulk Session::bulk_of(const void* from, std::size_t size) {
  if (size > kMaxBulk) return long_payload(from, size);
  Bulk bulk = reserve(size);
  if (size != 0) std::memcpy(bulk.data(), from, size);
  return bulk;
}

void Session::flush() {
  if (lost()) throw SessionLost();
  try {
    channel_->flush();
  } catch (const ChannelClosed& closed) {
    lose(closed.what());
    throw SessionLost();
  }
}

// ---- calls

Reply Session::call_encoded(std::uint16_t opcode, std::span<const std::byte> fields, Bulk bulk) {
  PendingCall pending;
  {
    const std::lock_guard lock(calls_mutex_);
    ++calls_being_sent_;
  }
  std::uint64_t sequence = 0;
  try {
    sequence = send(opcode, fields, std::move(bulk));
  } catch (...) {
    const std::lock_guard lock(calls_mutex_);
    if (--calls_being_sent_ == 0) early_replies_.clear();
    throw;
  }
  {
    // The number is known only now, and another thread may have received the answer already.
    const std::lock_guard lock(calls_mutex_);
    pending.sequence = sequence;
    if (auto early = early_replies_.extract(sequence)) {
      pending.reply = std::move(early.mapped());
      pending.done = true;
    } else {
      calls_.push_back(&pending);
    }
    if (--calls_being_sent_ == 0) early_replies_.clear();
  }
  count_round_trip();
  const Waiter here(*this);
  try {
    wait_until([&] { return pending.done.load(std::memory_order_acquire); });
  } catch (...) {
    const std::lock_guard lock(calls_mutex_);
    std::erase(calls_, &pending);
    throw;
  }
  return std::move(pending.reply);
}

void Session::synchronise() {
  // Any call will do: the worker answers in order, and this one disturbs nothing.
  call(wire::GetDeviceAndHostTimer());
}

void Session::handle(const wire::Reply& message, Incoming& incoming) {
  sessions_.store(message.sessions, std::memory_order_relaxed);
  Reply reply{.status = message.status,
              .values = {message.values.begin(), message.values.end()},
              .data = {message.data.begin(), message.data.end()},
              .bulk = std::move(incoming.bulk)};
  const std::lock_guard lock(calls_mutex_);
  const auto at = std::find_if(calls_.begin(), calls_.end(), [&](const PendingCall* call) {
    return call->sequence == message.of;
  });
  if (at != calls_.end()) {
    PendingCall& call = **at;
    calls_.erase(at);
    call.reply = std::move(reply);
    call.done.store(true, std::memory_order_release);
  } else if (calls_being_sent_ != 0 && early_replies_.size() < kMaxEarlyReplies) {
    early_replies_.emplace(message.of, std::move(reply));
  } else {
    throw ChannelClosed("the worker answered a message that nobody waits for");
  }
}

// ---- receiving

bool Session::wait(Condition done, Deadline deadline) {
  if (done()) return true;
  flush();
  std::unique_lock lock(waiting_mutex_);
  while (!done() && !lost() && std::chrono::steady_clock::now() < deadline) {
    if (!leading_) {
      leading_ = true;
      lock.unlock();
      lead(done, deadline);
      lock.lock();
      leading_ = false;
    } else {
      followers_.wait(lock, done, deadline);
    }
  }
  const bool holds = done();
  const bool gone = lost();
  // Who was to lead next may be this one, which leaves.
  if (!leading_) followers_.wake_done_and_next(std::move(lock));
  if (!holds && gone) throw SessionLost();
  return holds;
}

void Session::lead(Condition done, Deadline deadline) {
  Wait patience = kLookAgain;
  patience.spin = device_idle();
  leading_for = this;
  while (!done() && !lost()) {
    if (deadline != kForEver) {
      patience.timeout = deadline - std::chrono::steady_clock::now();
      if (patience.timeout <= 0ns) break;
    }
    if (!receive_one(patience)) continue;
    send_parked();
    followers_.wake_done(std::unique_lock(waiting_mutex_));
  }
  leading_for = nullptr;
}

void Session::drain() {
  {
    const std::lock_guard lock(waiting_mutex_);
    if (leading_ || lost()) return;
    leading_ = true;
  }
  while (receive_one(kNoWait)) {
  }
  {
    std::unique_lock lock(waiting_mutex_);
    leading_ = false;
    followers_.wake_done_and_next(std::move(lock));
  }
  if (leading_for == nullptr) send_parked();
}

// The channel is full and this thread is in the middle of sending, so nothing may be sent here.
void Session::on_stall() {
  if (handling) return;
  if (leading_for == this) {
    while (receive_one(kNoWait)) {
    }
    return;
  }
  leading_for = this;  // keeps drain() from sending
  drain();
  leading_for = nullptr;
}

bool Session::receive_one(Wait wait) {
  if (lost()) return false;
  try {
    if (channel_->receive(incoming_, wait) == Received::timeout) return false;
    handle_incoming(incoming_);
    incoming_.bulk.reset();
    return true;
  } catch (const ChannelClosed& closed) {
    lose(closed.what());
  } catch (const std::exception& error) {
    // What a message brought is lost, and somebody may wait for it for ever: better none than half.
    lose(error.what());
  }
  return false;
}

void Session::handle_incoming(Incoming& incoming) {
  struct Mark {
    Mark() { handling = true; }
    ~Mark() { handling = false; }
  } mark;
  if (incoming.bulk.tag() != 0 &&
      incoming.opcode != static_cast<std::uint16_t>(wire::Opcode::read_done)) {
    throw ChannelClosed("the worker sent a read's bytes with another message");
  }
  if (wire::dispatch_to_client(*this, incoming) != wire::Dispatched::handled) {
    throw ChannelClosed(std::string("the worker sent a malformed message: ") +
                        wire::opcode_name(incoming.opcode));
  }
}

bool Session::handling_message() {
  return handling;
}

void Session::wake_waiting() noexcept {
  if (handling) return;  // the leader looks at every condition after each message
  std::unique_lock lock(waiting_mutex_);
  if (leading_) channel_->interrupt();
  followers_.wake_all(std::move(lock));
}

bool Session::device_idle() {
  const Platform* platform = Platform::known();
  if (platform != nullptr && platform->devices_apart()) return true;
  const std::lock_guard lock(queues_mutex_);
  return std::all_of(queues_.begin(), queues_.end(), [](Queue* queue) { return queue->idle(); });
}

void Session::add_queue(Queue& queue) {
  const std::lock_guard lock(queues_mutex_);
  queues_.insert(&queue);
}

void Session::remove_queue(Queue& queue) noexcept {
  const std::lock_guard lock(queues_mutex_);
  queues_.erase(&queue);
}

std::vector<Ref<Queue>> Session::queues_of(const Context& context) {
  std::vector<Ref<Queue>> queues;
  const std::lock_guard lock(queues_mutex_);
  for (Queue* queue : queues_) {
    if (&queue->context() == &context && queue->try_hold()) {
      queues.push_back(Ref<Queue>::adopt(queue));
    }
  }
  return queues;
}

// ---- objects

std::uint32_t Session::new_sub_devices(std::uint32_t count) {
  const std::uint64_t first = next_sub_device_.fetch_add(count, std::memory_order_relaxed);
  ensure(first + kMaxSubDevices <= std::numeric_limits<std::uint32_t>::max(), CL_OUT_OF_RESOURCES);
  return static_cast<std::uint32_t>(first);
}

void Session::enroll(Object& object) {
  const std::lock_guard lock(table_mutex_);
  table_.insert(object.id(), &object);
  object.set_announced(true);
}

void Session::strike(Object& object) noexcept {
  const std::lock_guard lock(table_mutex_);
  table_.take(object.id());
  object.set_announced(false);
}

const Object* Session::known(const void* handle) {
  const Object* found = nullptr;
  const std::lock_guard lock(table_mutex_);
  table_.each([&](const Object* object) {
    if (object == handle) found = object;
  });
  return found;
}

Object* Session::find_object(wire::Id id, Kind kind) {
  const std::lock_guard lock(table_mutex_);
  Object* object = table_.find(id);
  return object != nullptr && object->kind() == kind && object->try_hold() ? object : nullptr;
}

Ref<Object> Session::find_any(wire::Id id) {
  const std::lock_guard lock(table_mutex_);
  Object* object = table_.find(id);
  return Ref<Object>::adopt(object != nullptr && object->try_hold() ? object : nullptr);
}

void Session::release(wire::Id id) noexcept {
  try {
    if (handling) {
      const std::lock_guard lock(parked_mutex_);
      parked_.push_back(id);
      has_parked_.store(true, std::memory_order_relaxed);
      return;
    }
    wire::Release message;
    message.target = id;
    post(message);
  } catch (...) {  // the session is lost, and the worker's objects with it
  }
}

void Session::send_parked() {
  if (handling || !has_parked_.load(std::memory_order_relaxed)) return;
  std::vector<wire::Id> ids;
  {
    const std::lock_guard lock(parked_mutex_);
    ids.swap(parked_);
    has_parked_.store(false, std::memory_order_relaxed);
  }
  for (const wire::Id id : ids) release(id);
  try {
    if (callbacks_.expects()) flush();  // for what is destroyed with them
  } catch (const SessionLost&) {        // and all objects with it
  }
}

void Session::expect_read(std::uint64_t ticket, std::unique_ptr<Transfer> transfer) {
  const std::lock_guard lock(reads_mutex_);
  if (lost()) throw SessionLost();
  reads_.emplace(ticket, std::move(transfer));
}

bool Session::awaits_bytes(const std::byte* at, std::size_t size) {
  if (!unfinished_.reads()) return false;
  const std::lock_guard lock(reads_mutex_);
  if (arriving_ != nullptr && arriving_->goes_to(at, size)) return true;
  return std::ranges::any_of(reads_,
                             [&](const auto& read) { return read.second->goes_to(at, size); });
}

void Session::when_gone(wire::Id id, std::function<void()> then) {
  {
    const std::lock_guard lock(gone_mutex_);
    if (gone_.erase(id) == 0 && !lost()) {
      when_gone_.emplace(id, std::move(then));
      return;
    }
  }
  callbacks_.deliver(std::move(then));
}

std::byte* Session::place_of_read(std::uint64_t ticket, std::size_t size) {
  const std::lock_guard lock(reads_mutex_);
  const auto at = reads_.find(ticket);
  return at == reads_.end() ? nullptr : at->second->place(size);
}

void Session::run_if_gone(wire::Id id) {
  {
    const std::lock_guard lock(gone_mutex_);
    if (!when_gone_.contains(id)) return;  // something of this process still needs it
    asked_.insert(id);
  }
  std::function<void()> then;
  try {
    synchronise();
  } catch (const SessionLost&) {  // then it is delivered, or found
  }
  {
    const std::lock_guard lock(gone_mutex_);
    asked_.erase(id);
    if (auto node = found_gone_.extract(id)) then = std::move(node.mapped());
  }
  if (!then) return;
  callbacks_.forget();
  then();
}

// ---- the end

void Session::lose(const std::string& why) noexcept {
  {
    // Under the lock: a thread that is about to sleep sees it, or is woken.
    std::unique_lock lock(waiting_mutex_);
    if (lost_.exchange(true, std::memory_order_acq_rel)) return;
    followers_.wake_all(std::move(lock));
  }
  channel_->close();
  if (forked_away()) return;
  try {
    log(LogLevel::error, "the session with the GPU's worker is lost (" + why +
                             "); OpenCL calls now fail with CL_OUT_OF_RESOURCES");
    tell_of_loss();
  } catch (...) {  // out of memory: what was not told is found out by asking
  }
  wake_waiting();
}

void Session::abandon_after_fork() noexcept {
  forked_away_.store(true, std::memory_order_relaxed);
  lost_.store(true, std::memory_order_relaxed);
  channel_->abandon_after_fork();
}

Session::Counters Session::counters() const {
  const ChannelCounters channel = channel_->counters();
  return {.messages = channel.messages_sent,
          .round_trips = round_trips_.load(std::memory_order_relaxed),
          .bytes_to_worker = channel.bytes_sent,
          .bytes_to_client = channel.bytes_received,
          .wakes = channel.wakes,
          .sleeps = channel.sleeps};
}

}  // namespace tessera::client

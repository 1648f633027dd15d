// SPDX-License-Identifier: Apache-2.0
//
// One connection to a lease, and everything that hangs on it.
//
// Sending: any thread encodes on its stack and sends; nothing of the session is locked meanwhile.
//
// Receiving: whichever thread waits for something becomes the leader, takes messages off the
// channel and handles them, its own answer and everybody else's; further waiting threads sleep and
// one of them leads when the leader has what it wanted (followers.h). A receiving thread
// of its own was refused: it costs one more wake-up for every answer. Handling a message never
// waits, never runs the program's code and never sends: objects whose last hold goes then are
// parked and released to the worker afterwards.
//
// Locks, outermost first: a queue's order lock, the turn of long messages, the channel's own, then
// the leaves (table, calls, reads, waiting, account), of which a thread holds one at a time.
//
// A session is never destroyed. At exit other threads may still be inside it, and a child of fork()
// inherits objects that point to it; both are harmless only if it stays. The kernel closes the
// connection.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/id_table.h"
#include "generated/messages_context.h"
#include "generated/messages_device.h"
#include "generated/messages_event.h"
#include "generated/messages_kernel.h"
#include "generated/messages_program.h"
#include "generated/messages_session.h"
#include "opencl/client/account.h"
#include "opencl/client/build_list.h"
#include "opencl/client/callback_thread.h"
#include "opencl/client/device.h"
#include "opencl/client/followers.h"
#include "opencl/client/object.h"
#include "opencl/client/svm_table.h"
#include "opencl/client/unfinished.h"
#include "opencl/long_message.h"
#include "opencl/sub_device.h"
#include "transport/channel.h"

namespace tessera::client {

class Transfer;

// The answer to a call, copied out of the message.
struct Reply {
  cl_int status = CL_SUCCESS;
  std::vector<std::uint64_t> values;
  std::vector<std::byte> data;
  Bulk bulk;  // only ever copied out of: a hostile worker can change it at any time
};

class Session {
 public:
  // This process's session; opens it if there is none (first use, or the first after a fork).
  // Throws ConnectError.
  static Session& current();
  static Session* existing();

  explicit Session(std::unique_ptr<Channel> channel);
  ~Session();
  // Ends the session and its thread. For tests: a process's session ends with the process.
  void close() noexcept;
  // Says hello and takes the snapshot. Once, before anything else.
  Snapshot open();

  wire::Id new_id() { return next_id_.fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t new_ticket() { return next_ticket_.fetch_add(1, std::memory_order_relaxed); }

  // Sends without waiting for an answer. Throws SessionLost.
  template <class Message>
  void post(const Message& message, Bulk bulk = {}) {
    wire::Encoder out;
    encode(out, message);
    send(static_cast<std::uint16_t>(Message::kOpcode), out.bytes(), std::move(bulk));
  }
  // Sends and waits for the reply to this message: one round trip. A status < 0 is in the reply,
  // not thrown.
  template <class Message>
  Reply call(const Message& message, Bulk bulk = {}) {
    wire::Encoder out;
    encode(out, message);
    return call_encoded(static_cast<std::uint16_t>(Message::kOpcode), out.bytes(), std::move(bulk));
  }
  // Like post and call for the message that makes `object`. From then on the worker hears of its
  // release, whether or not the creation succeeds there.
  template <class Message>
  void create(Object& object, const Message& message, Bulk bulk = {}) {
    enroll(object);
    try {
      post(message, std::move(bulk));
    } catch (...) {
      strike(object);
      throw;
    }
  }
  template <class Message>
  Reply create_call(Object& object, const Message& message, Bulk bulk = {}) {
    enroll(object);
    return call(message, std::move(bulk));
  }

  // Payload memory of the channel with a copy of the bytes; an empty Bulk for size 0. More than
  // kMaxBulk are lent: they must stay until the message was sent.
  Bulk bulk_of(const void* from, std::size_t size);
  Bulk reserve(std::size_t size);
  // The bytes themselves as a payload, until send() returns; empty where they have to be copied.
  Bulk lend(std::span<const std::byte> bytes);
  std::size_t bulk_ahead() const { return channel_->bulk_ahead(); }

  // Pumps until the condition holds, sleeping in between; any thread may make it true while
  // handling a message, and then it must be an atomic that says so. Flushes first. Throws
  // SessionLost. Counts nothing.
  template <class Callable>
  void wait_until(const Callable& done) {
    wait(Condition(done), kForEver);
  }
  // The same for at most this long; false: it does not hold yet.
  template <class Callable>
  bool wait_for(const Callable& done, std::chrono::milliseconds longest) {
    return wait(Condition(done), std::chrono::steady_clock::now() + longest);
  }
  // A thread that is about to wait for the worker, as long as this lives.
  class Waiter {
   public:
    explicit Waiter(Session& session)
        : session_(session),
          first_(session.waiters_.fetch_add(1, std::memory_order_relaxed) == 0) {}
    ~Waiter() { session_.waiters_.fetch_sub(1, std::memory_order_relaxed); }
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    // No other thread waits: the worker may do nothing else meanwhile, which is the shortest way.
    // Else it should go on receiving, and push the end.
    bool alone() const { return first_; }

   private:
    Session& session_;
    const bool first_;
  };
  // Returns when the worker has handled everything sent before: one round trip.
  void synchronise();
  // A command failed, or the program made a user event fail.
  void note_failure() { failure_.store(true, std::memory_order_relaxed); }
  bool saw_failure() const { return failure_.load(std::memory_order_relaxed); }
  // Handles what has arrived, without waiting. No effect if another thread is at it.
  void drain();
  void flush();
  void count_round_trip() { round_trips_.fetch_add(1, std::memory_order_relaxed); }

  // The live object with this id, held; empty if there is none or it is of another type.
  template <class T>
  Ref<T> find(wire::Id id) {
    return Ref<T>::adopt(static_cast<T*>(find_object(id, Traits<T>::kKind)));
  }
  Ref<Object> find_any(wire::Id id);
  // The live object behind a word of the program that may be a handle, or nullptr. Compares without
  // looking into the memory, and with every object: for the rare word of unknown meaning only.
  const Object* known(const void* handle);
  // Objects enroll by create(); events that the worker will talk about, by themselves.
  void enroll(Object& object);
  void strike(Object& object) noexcept;
  // The last hold went: the worker may forget it too. Never throws, never waits inside message
  // handling.
  void release(wire::Id id) noexcept;

  // Transfers of data to the client, by ticket.
  void expect_read(std::uint64_t ticket, std::unique_ptr<Transfer> transfer);
  // Bytes of a read are still to arrive somewhere in [at, at + size).
  bool awaits_bytes(const std::byte* at, std::size_t size);
  Unfinished& unfinished() { return unfinished_; }
  // Runs `then` on the callback thread when the worker says that the memory object with this id,
  // which it was asked to watch, is destroyed; the thread expects it. Also while a message is
  // handled.
  void when_gone(wire::Id id, std::function<void()> then);
  // The program has released the object. Where nothing uses it any more, what was to be run is run
  // here, before the call returns: one round trip.
  void run_if_gone(wire::Id id);

  // The first of so many numbers that no device of this session has. Throws
  // ApiError(CL_OUT_OF_RESOURCES) where there are none left.
  std::uint32_t new_sub_devices(std::uint32_t count);
  Account& account() { return account_; }
  BuildList& builds() { return builds_; }
  SvmTable& svm() { return svm_; }
  // What the worker sent under this tag, before the message that names it. Throws SessionLost.
  UniqueFd take_descriptor(std::uint64_t tag);
  CallbackThread& callbacks() { return callbacks_; }
  // Another session of the lease may hold memory that this client cannot know of.
  bool alone() const { return sessions_.load(std::memory_order_relaxed) <= 1; }

  bool lost() const { return lost_.load(std::memory_order_acquire); }
  bool forked_away() const { return forked_away_.load(std::memory_order_relaxed); }
  void abandon_after_fork() noexcept;
  // A thread sleeps in wait_until() although its condition holds by now: look again.
  void wake_waiting() noexcept;

  // This thread is inside handle(): it must not send, wait or run the program's code.
  static bool handling_message();

  void add_queue(Queue& queue);
  void remove_queue(Queue& queue) noexcept;
  std::vector<Ref<Queue>> queues_of(const Context& context);

  struct Counters {
    std::uint64_t messages, round_trips, bytes_to_worker, bytes_to_client, wakes, sleeps;
  };
  Counters counters() const;

  // What the messages do; called by the leader only (session_handle.cpp). Public for the
  // dispatcher.
  void handle(const wire::Reply& message, Incoming& incoming);
  void handle(const wire::DeviceSnapshot& message, Incoming& incoming);
  void handle(const wire::SubDeviceFacts& message, Incoming& incoming);
  void handle(const wire::ImageFormats& message, Incoming& incoming);
  void handle(const wire::PlatformSnapshot& message, Incoming& incoming);
  void handle(const wire::LeaseLimits& message, Incoming& incoming);
  void handle(const wire::EventDone& message, Incoming& incoming);
  void handle(const wire::EventState& message, Incoming& incoming);
  void handle(const wire::EventsDone& message, Incoming& incoming);
  void handle(const wire::ObjectGone& message, Incoming& incoming);
  void handle(const wire::ReadDone& message, Incoming& incoming);
  void handle(const wire::BuildLog& message, Incoming& incoming);
  void handle(const wire::KernelFacts& message, Incoming& incoming);
  void handle(const wire::BuildDone& message, Incoming& incoming);
  void handle(const wire::Output& message, Incoming& incoming);
  void handle(const wire::ContextNotice& message, Incoming& incoming);
  void handle(const wire::DeferredError& message, Incoming& incoming);
  void handle(const wire::LongAnswerPiece& message, Incoming& incoming);
  void handle(const wire::LongAnswer& message, Incoming& incoming);

 private:
  struct PendingCall;

  std::uint64_t send(std::uint16_t opcode, std::span<const std::byte> fields, Bulk bulk);
  Reply call_encoded(std::uint16_t opcode, std::span<const std::byte> fields, Bulk bulk);
  using Deadline = std::chrono::steady_clock::time_point;
  static constexpr Deadline kForEver = Deadline::max();
  bool wait(Condition done, Deadline deadline);
  void lead(Condition done, Deadline deadline);
  bool receive_one(Wait wait);
  void handle_incoming(Incoming& incoming);
  void on_stall();
  std::byte* place_of_read(std::uint64_t ticket, std::size_t size);
  void send_parked();
  Object* find_object(wire::Id id, Kind kind);
  // The connection is over: every waiting thread and every event learns of it. Says why on stderr,
  // once.
  void lose(const std::string& why) noexcept;
  void tell_of_loss();
  bool device_idle();

  std::unique_ptr<Channel> channel_;
  LongSender<wire::LongMessagePiece, wire::LongMessage> long_messages_;
  LongReceiver long_answers_;
  std::atomic<wire::Id> next_id_{1};
  std::atomic<std::uint64_t> next_ticket_{1};
  std::atomic<std::uint64_t> next_sub_device_{kFirstSubDevice};
  std::atomic<std::uint64_t> round_trips_{0};
  std::atomic<std::uint32_t> sessions_{1};
  std::atomic<bool> failure_{false};
  std::atomic<bool> lost_{false};
  std::atomic<bool> forked_away_{false};
  Account account_;
  BuildList builds_;
  SvmTable svm_;
  CallbackThread callbacks_;

  std::atomic<std::size_t> waiters_{0};
  std::mutex waiting_mutex_;
  Followers followers_;
  bool leading_ = false;
  Incoming incoming_;  // the leader's

  std::mutex calls_mutex_;
  std::vector<PendingCall*> calls_;
  std::size_t calls_being_sent_ = 0;
  std::map<std::uint64_t, Reply> early_replies_;

  std::mutex table_mutex_;
  IdTable<Object*> table_;

  std::mutex reads_mutex_;
  std::map<std::uint64_t, std::unique_ptr<Transfer>> reads_;
  const Transfer* arriving_ = nullptr;  // whose bytes are being put where they belong

  Unfinished unfinished_;
  std::mutex gone_mutex_;
  std::map<wire::Id, std::function<void()>> when_gone_;
  std::set<wire::Id> gone_;                               // whose release is still to come
  std::set<wire::Id> asked_;                              // a thread looks whether it is gone
  std::map<wire::Id, std::function<void()>> found_gone_;  // for that thread

  std::mutex parked_mutex_;
  std::vector<wire::Id> parked_;
  std::atomic<bool> has_parked_{false};

  std::mutex queues_mutex_;
  std::set<Queue*> queues_;

  Snapshot snapshot_;  // only while open() runs
  bool opening_ = false;
};

// What a program does with its messages; in its own files. Called while a message is handled: they
// copy what they need and return, and neither send nor wait nor run callbacks (deliver() those).
void on_build_log(Session& session, const wire::BuildLog& message, const Bulk& bulk);
void on_kernel_facts(Session& session, const wire::KernelFacts& message);
void on_build_done(Session& session, const wire::BuildDone& message);
// The session is lost: builds that are under way end with CL_OUT_OF_RESOURCES.
void on_session_lost(Session& session);

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
//
// A command on its way into a queue: checks what all commands have in common, then sends.
//
//   Command command(queue, CL_COMMAND_..., count, wait_list, event);
//   Mem& buffer = command.mem(buffer_handle);
//   ...checks of this command...
//   wire::X message;  fill its own fields;  command.post(message);
//
// queue, wait_list and event of the message are filled by post(), read() and write().
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "opencl/client/event.h"
#include "opencl/client/host_work.h"
#include "opencl/client/mem.h"
#include "opencl/client/queue.h"
#include "opencl/client/session.h"
#include "opencl/client/transfer.h"
#include "opencl/read_wait.h"
#include "transport/bulk_copy.h"

namespace tessera::client {

// The events that a command waits for, as ids; on the stack as long as they are few.
class WaitList {
 public:
  // Throws ApiError: CL_INVALID_EVENT_WAIT_LIST, CL_INVALID_CONTEXT.
  WaitList(const Queue& queue, cl_uint count, const cl_event* events);
  std::span<const wire::Id> ids() const {
    return many_.empty() ? std::span(few_.data(), count_) : std::span(many_);
  }
  void replace(std::vector<wire::Id> ids) { many_ = std::move(ids); }
  void set_single(wire::Id id) {
    many_.clear();
    few_[0] = id;
    count_ = 1;
  }
  void clear() {
    many_.clear();
    count_ = 0;
  }

 private:
  std::array<wire::Id, 16> few_;
  std::vector<wire::Id> many_;
  std::size_t count_ = 0;
};

class Command {
 public:
  // Throws ApiError: CL_INVALID_COMMAND_QUEUE, CL_INVALID_EVENT_WAIT_LIST, CL_INVALID_CONTEXT.
  Command(cl_command_queue queue, cl_command_type type, cl_uint count, const cl_event* wait_list,
          cl_event* event);

  Queue& queue() const { return queue_; }
  Context& context() const { return queue_.context(); }
  Session& session() const { return queue_.session(); }
  std::span<const wire::Id> wait_list() const { return wait_list_.ids(); }
  cl_command_type type() const { return type_; }
  // In its queue, once it was posted.
  std::uint64_t number() const { return last_number_; }

  // Throws ApiError: CL_INVALID_MEM_OBJECT, CL_INVALID_CONTEXT, or why the object could not be
  // made.
  Mem& mem(cl_mem handle) const;
  std::vector<wire::Id> mems(cl_uint count, const cl_mem* handles) const;

  // Sends the command and gives the program its event, if it asked for one.
  template <class Message>
  void post(Message& message, Bulk bulk = {}) {
    {
      Step step(*this, 0, 1);
      step.send(message, std::move(bulk));
    }
    give_event();
  }
  // The program sees the object's memory itself, so that a blocking command has to be waited for.
  void always_wait() { always_waits_ = true; }
  // For a transfer of nothing, which keeps its place in the order.
  void post_nothing(bool blocking = false);

  // Reads `region` (x in elements of `element_bytes`) into `to`, cut into pieces. `prepare(message,
  // piece)` fills the message's own fields for one piece, but neither ticket nor blocking. `keeps`:
  // the object whose shadow `to` is part of. Waits if `blocking`; throws what the command then
  // failed with.
  template <class Message, class Prepare>
  std::shared_ptr<const ReadState> read(const wire::Id3& region, std::size_t element_bytes,
                                        const ReadBox& to, bool blocking, Prepare&& prepare,
                                        Mem* keeps = nullptr) {
    const Cutting cutting(region, element_bytes);
    Reading reading(*this, keeps, cutting.count(), to.bytes() >= kPastCaches, blocking);
    for (std::size_t i = 0; i < cutting.count(); ++i) {
      const Piece piece = cutting.at(i);
      Message message;
      prepare(message, piece);
      message.blocking = static_cast<std::uint32_t>(reading.waits(i));
      {
        Step step(*this, i, cutting.count());
        message.ticket = reading.expect(part_of(to, piece, element_bytes), step.number());
        step.send(message);
      }
      if (blocking) reading.keep_window(i + 1);
    }
    if (blocking) reading.wait();
    give_event();
    return reading.state();
  }

  // The same way out. The bytes were copied or sent before it returns, unless an earlier read of
  // the program is still to bring them (write_later). `prepare` may be copied and called later.
  template <class Message, class Prepare>
  void write(const wire::Id3& region, std::size_t element_bytes, const WriteBox& from,
             bool blocking, const Prepare& prepare) {
    if (session().awaits_bytes(from.at, extent(from))) {
      if (!blocking) return write_later<Message>(region, element_bytes, from, prepare);
      wait_for_turn();
    }
    write_now<Message>(region, element_bytes, from, blocking, prepare);
  }

  // The same, of what the program's memory has now.
  template <class Message, class Prepare>
  void write_now(const wire::Id3& region, std::size_t element_bytes, const WriteBox& from,
                 bool blocking, const Prepare& prepare) {
    begin_ending(blocking);
    const Cutting cutting(region, element_bytes);
    for (std::size_t i = 0; i < cutting.count(); ++i) {
      const Piece piece = cutting.at(i);
      const WriteBox part = part_of(from, piece, element_bytes);
      Message message;
      prepare(message, piece);
      Bulk bulk = payload(part, from.bytes() >= kPastCaches);
      Step step(*this, i, cutting.count());
      if constexpr (requires { message.fence; }) message.fence = step.is_fence() ? 1 : 0;
      step.send(message, std::move(bulk));
    }
    end();
  }

 private:
  // One of the command's messages. Holds the queue's order lock from numbering to sending. Pieces
  // of one transfer depend on each other by order in an in-order queue, else by hidden events.
  class Step {
   public:
    Step(Command& command, std::size_t index, std::size_t count);
    ~Step();
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;
    std::uint64_t number() const { return number_; }
    // The last message of a command that the program takes for complete.
    bool is_fence() const { return last_ && command_.ending_ == Ending::fence; }

    template <class Message>
    void send(Message& message, Bulk bulk = {}) {
      message.queue = command_.queue_.id();
      message.wait_list = command_.wait_list_.ids();
      message.event = event_id_;
      command_.session().post(message, std::move(bulk));
      sent();
    }

   private:
    void sent();
    void make_event();
    Command& command_;
    std::unique_lock<std::mutex> lock_;
    bool last_;
    bool sent_ = false;
    std::uint64_t number_;
    wire::Id event_id_ = 0;
  };

  // How a command that may block ends: it does not, it is waited for, or only later commands could
  // show that it was not, and they wait for it in the worker.
  enum class Ending { open, waited, fence };
  void begin_ending(bool blocking);
  // After the command was sent; gives the program its event. Throws what the command failed with.
  void end();
  // Waits for all that the command, which is not sent yet, would wait for.
  void wait_for_turn();

  // Writes what the program's memory has when the command's turn has come: an earlier read, which
  // the command waits for, fills it. That takes a queue of its own, and a command here that waits
  // for it.
  template <class Message, class Prepare>
  void write_later(const wire::Id3& region, std::size_t element_bytes, const WriteBox& from,
                   const Prepare& prepare) {
    enqueue_host_work(queue_.handle(), type_, given_count_, given_list_, event_place_,
                      [=, aside = queue_.transfers()] {
                        Command command(aside->handle(), CL_COMMAND_WRITE_BUFFER, 0, nullptr,
                                        nullptr);
                        command.always_wait();  // what waits for this write was sent before it
                        command.write_now<Message>(region, element_bytes, from, true, prepare);
                      });
  }

  // The receiving side of read().
  class Reading {
   public:
    std::shared_ptr<const ReadState> state() const { return state_; }
    Reading(Command& command, Mem* keeps, std::size_t pieces, bool past_caches, bool blocking);
    // For the piece with this index.
    ReadWait waits(std::size_t index) const {
      return index + 1 == pieces_ ? waits_ : ReadWait::not_at_all;
    }
    std::uint64_t expect(const ReadBox& to, std::uint64_t number);
    // Waits while too many of the `sent` pieces are under way.
    void keep_window(std::size_t sent);
    void wait();

   private:
    void count_once();
    Command& command_;
    std::shared_ptr<ReadState> state_;
    std::size_t pieces_;
    std::optional<Session::Waiter> waiter_;  // of a blocking read
    ReadWait waits_ = ReadWait::not_at_all;
    std::uint64_t last_number_ = 0;
    bool counted_ = false;
  };

  Bulk payload(const WriteBox& part, bool past_caches);
  void fold_wait_list();
  void give_event();

  Queue& queue_;
  cl_command_type type_;
  WaitList wait_list_;
  const cl_uint given_count_;
  const cl_event* const given_list_;  // the program's, as long as its call lasts
  cl_event* event_place_;
  bool wants_event_;
  bool always_waits_ = false;
  Ending ending_ = Ending::open;
  std::uint64_t expected_number_ = 0;  // of the next message, if no other thread comes first
  Ref<Event> event_;
  std::uint64_t last_number_ = 0;  // of the command's messages, in its queue
  wire::Id hidden_ = 0;            // of the previous piece, out of order
  std::vector<wire::Id> folded_;   // events of the markers that stand for a long wait list
};

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/transfer.h"

#include <utility>

namespace tessera::worker {
namespace {

Session::HeldRead as_held(Command& command, std::unique_ptr<Landing> landing) {
  return {command.shared_queue(),
          command.event_entry(),
          std::make_shared<Retained<cl_event>>(command.own_event()),
          command.blocked(),
          command.queue().enqueued,
          command.session().completions().position(),
          std::move(landing)};
}

void answer_read(Session& session, std::uint64_t ticket, Session::HeldRead read, cl_int status) {
  if (read.entry != nullptr) {
    session.completions().add(read.event->get(), read.entry, false);
    read.position = session.completions().position();
  }
  session.completions().tell(read.position);
  const cl_int deferred = std::exchange(read.queue->deferred, CL_SUCCESS);
  const cl_int answer = status != CL_SUCCESS ? status : deferred;
  session.answers().read_done(ticket, answer,
                              answer == CL_SUCCESS ? read.landing->payload() : Bulk(), true);
}

// Waits for the read and answers. A suspend may take it off the device; then the resume enqueues it
// again, and the wait begins anew.
void finish_blocking(Command& command, const ReadRequest& request,
                     std::unique_ptr<Landing> landing) {
  Session& session = command.session();
  const std::uint64_t ticket = request.ticket;
  Session::HeldRead read = as_held(command, std::move(landing));
  command.let_go();
  for (;;) {
    const std::uint64_t before = session.epoch();
    const auto held_back = [&] { return !read.command.expired(); };
    const cl_event event = read.event->get();
    const cl_int status =
        session.wait_in_driver(held_back, [&] { return clWaitForEvents(1, &event); });
    if (!session.cut_short(before)) {
      if (!read.queue->out_of_order) session.count_finished(*read.queue, read.number);
      session.settle_gates();
      return answer_read(session, ticket, std::move(read), status);
    }
    read = {};
    session.claim_read(ticket);
    session.wait_until_active();
    read = session.take_read(ticket);
    if (read.queue == nullptr) return session.answers().read_done(ticket, status, {}, true);
  }
}

void finish_later(Command& command, const ReadRequest& request, std::unique_ptr<Landing> landing) {
  Completions& completions = command.session().completions();
  const auto blocked = command.blocked().lock();
  const auto read = completions.add_read(command.own_event(), command.event_entry(), request.ticket,
                                         std::move(landing), request.wait != ReadWait::not_at_all,
                                         blocked != nullptr);
  if (blocked != nullptr) blocked->completion = read;
  if (command.event_entry() != nullptr) command.event_entry()->watched = true;
  std::function<void()> then;
  if (read->waited && command.queue().prompt) {
    then = [&session = command.session(),
            ended = EndedQueues::Ended{command.shared_queue(), command.queue().enqueued}] {
      session.ended_promptly(ended);
    };
  }
  command.session().callbacks().watch(read, std::move(then));
  // Some drivers do not call back for an event that has failed already.
  if (read->status() < CL_COMPLETE) completions.tell(read->number + 1);
  clFlush(command.queue().handle);
}

// Not with an error of an earlier command, which only a thread that waits tells.
bool answers_promptly(Command& command) {
  return command.session().is_prompt(command.queue()) && command.queue().deferred == CL_SUCCESS;
}

}  // namespace

ReadWait read_wait(std::uint32_t number) {
  if (number > static_cast<std::uint32_t>(ReadWait::for_bytes)) {
    throw ProtocolError("a read that is waited for in no known way");
  }
  return static_cast<ReadWait>(number);
}

void read_into_bulk(Command& command, const ReadRequest& request, const Enqueue& enqueue) {
  Session& session = command.session();
  if (request.size > kMaxBulk) throw ProtocolError("a read of more than one message can carry");
  if (request.size == 0) command.check(CL_INVALID_VALUE);
  const bool waited = request.wait != ReadWait::not_at_all;
  const bool answers = request.wait == ReadWait::for_answer;
  std::unique_ptr<Landing> landing;
  if (command.status() == CL_SUCCESS) {
    landing = std::make_unique<Landing>(session.landing_share(), session.answers().channel(),
                                        request.size);
  }
  command.hold_news();
  const cl_int status = command.run(
      [&](cl_command_queue queue, cl_uint count, const cl_event* list, cl_event* event) {
        return enqueue(queue, landing->data(), count, list, event);
      },
      true);
  if (status != CL_SUCCESS) {
    // This answer tells the error; a finish need not repeat it.
    if (waited) command.queue().deferred = CL_SUCCESS;
    session.answers().read_done(request.ticket, status, {}, waited);
  } else if (answers && session.is_claimed(request.ticket)) {
    session.hold_read(request.ticket, as_held(command, std::move(landing)));
  } else if (answers && !answers_promptly(command) && session.may_block() &&
             !session.answers().muted()) {
    finish_blocking(command, request, std::move(landing));
  } else {
    finish_later(command, request, std::move(landing));
  }
}

void write_from_bulk(Command& command, Incoming& incoming, std::uint64_t size, bool fence,
                     const Enqueue& enqueue) {
  if (incoming.bulk.size() != size) throw ProtocolError("a write with another size than its bulk");
  if (size == 0) command.check(CL_INVALID_VALUE);
  const auto payload = command.session().pinned().hold(std::move(incoming.bulk));
  command.carry(payload);
  const cl_int status = command.run(
      [&](cl_command_queue queue, cl_uint count, const cl_event* list, cl_event* event) {
        return enqueue(queue, payload->data(), count, list, event);
      },
      true);
  if (status != CL_SUCCESS) return;
  command.session().callbacks().when_done(command.own_event(), [payload](cl_int) {});
  if (fence) command.fence();
}

}  // namespace tessera::worker

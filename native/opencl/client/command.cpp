// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/command.h"

#include <algorithm>

#include "generated/messages_event.h"

namespace tessera::client {
namespace {

// Ids that fit a message beside everything else.
constexpr std::size_t kMaxWaitList = 4096;

}  // namespace

WaitList::WaitList(const Queue& queue, cl_uint count, const cl_event* events) : count_(count) {
  ensure((count == 0) == (events == nullptr), CL_INVALID_EVENT_WAIT_LIST);
  if (count > few_.size()) many_.resize(count);
  wire::Id* ids = many_.empty() ? few_.data() : many_.data();
  for (cl_uint i = 0; i < count; ++i) {
    const auto* object = reinterpret_cast<const Object*>(events[i]);
    ensure(object != nullptr && object->kind() == Kind::event, CL_INVALID_EVENT_WAIT_LIST);
    const Event& event = require<Event>(events[i]);
    ensure(&event.context() == &queue.context(), CL_INVALID_CONTEXT);
    ids[i] = event.id();
  }
}

Command::Command(cl_command_queue queue, cl_command_type type, cl_uint count,
                 const cl_event* wait_list, cl_event* event)
    : queue_(require<Queue>(queue)),
      type_(type),
      wait_list_(queue_, count, wait_list),
      given_count_(count),
      given_list_(wait_list),
      event_place_(event),
      wants_event_(event != nullptr) {
  ensure_success(queue_.poison());
}

Mem& Command::mem(cl_mem handle) const {
  Mem& mem = require<Mem>(handle);
  ensure(&mem.context() == &context(), CL_INVALID_CONTEXT);
  ensure_success(mem.poison());
  return mem;
}

std::vector<wire::Id> Command::mems(cl_uint count, const cl_mem* handles) const {
  ensure(count != 0 && handles != nullptr, CL_INVALID_VALUE);
  std::vector<wire::Id> ids;
  for (cl_uint i = 0; i < count; ++i) ids.push_back(mem(handles[i]).id());
  return ids;
}

// A wait list that no message can carry becomes markers, each of which waits for a part of it.
void Command::post_nothing(bool blocking) {
  begin_ending(blocking);
  wire::EnqueueNothing message;
  {
    Step step(*this, 0, 1);
    message.fence = step.is_fence() ? 1 : 0;
    step.send(message);
  }
  end();
}

// What is found here holds for the commands that the queue has by now. Another thread may send one
// before this one has its number: then it is waited for after all (Step).
void Command::begin_ending(bool blocking) {
  if (!blocking) return;
  expected_number_ = queue_.sent() + 1;
  const auto complete = [](cl_event event) {
    return require<Event>(event).status() == CL_COMPLETE;
  };
  const bool at_once =
      queue_.idle() && std::all_of(given_list_, given_list_ + given_count_, complete);
  // Its times would tell.
  const bool timed = event_place_ != nullptr && queue_.profiling();
  if (!always_waits_ && !timed && (at_once || session().unfinished().none())) {
    ending_ = Ending::fence;
  } else {
    ending_ = Ending::waited;
    wants_event_ = true;
  }
}

void Command::end() {
  if (ending_ == Ending::waited) {
    wait_for_events(std::span(&event_, 1));
  } else if (ending_ == Ending::fence) {
    if (event_) event_->take_for_complete();
    queue_.set_complete_after_all(last_number_);
  }
  give_event();
}

void Command::wait_for_turn() {
  Command before(queue_.handle(), CL_COMMAND_MARKER, given_count_, given_list_, nullptr);
  before.post_nothing(true);
}

void Command::fold_wait_list() {
  const std::vector<wire::Id> ids(wait_list_.ids().begin(), wait_list_.ids().end());
  for (std::size_t at = 0; at < ids.size(); at += kMaxWaitList) {
    wire::EnqueueMarker message;
    message.queue = queue_.id();
    message.wait_list = std::span(ids).subspan(at, std::min(kMaxWaitList, ids.size() - at));
    message.event = session().new_id();
    folded_.push_back(message.event);
    session().post(message);
  }
  wait_list_.replace(folded_);
}

Bulk Command::payload(const WriteBox& part, bool past_caches) {
  if (is_whole(part)) {
    if (Bulk lent = session().lend({part.at, part.bytes()})) return lent;
  }
  Bulk bulk = session().reserve(part.bytes());
  pack(bulk.data(), part, past_caches);
  return bulk;
}

void Command::give_event() {
  if (event_place_ != nullptr && event_) *event_place_ = give_handle(std::move(event_));
}

Command::Step::Step(Command& command, std::size_t index, std::size_t count)
    : command_(command), last_(index + 1 == count) {
  Queue& queue = command.queue_;
  Session& session = command.session();
  make_event();
  lock_ = std::unique_lock(queue.order());
  if (index == 0 && command.wait_list_.ids().size() > kMaxWaitList) command.fold_wait_list();
  number_ = queue.number_next();
  command.last_number_ = number_;
  if (command.ending_ == Ending::fence && number_ != command.expected_number_++) {
    command.ending_ = Ending::waited;
    command.wants_event_ = true;
    make_event();
  }
  if (index != 0) {
    // The piece before it stands for everything that it waited for.
    queue.in_order() ? command.wait_list_.clear() : command.wait_list_.set_single(command.hidden_);
  }
  if (last_ && command.event_) {
    event_id_ = command.event_->id();
    command.event_->set_number(number_);
    session.enroll(*command.event_);
  } else if (!last_ && !queue.in_order()) {
    event_id_ = session.new_id();
  } else if (!last_ && index == 0 && command.event_ && queue.profiling()) {
    auto head = make<Event>(session, queue, command.type_);
    event_id_ = head->id();
    head->set_number(number_);
    session.enroll(*head);
    command.event_->set_head(std::move(head));
  }
}

void Command::Step::make_event() {
  if (!command_.wants_event_ || command_.event_) return;
  command_.event_ = make<Event>(command_.session(), command_.queue_, command_.type_);
}

Command::Step::~Step() {
  if (!sent_ && last_ && command_.event_) command_.session().strike(*command_.event_);
}

void Command::Step::sent() {
  sent_ = true;
  Session& session = command_.session();
  if (!command_.queue_.in_order()) {
    if (command_.hidden_ != 0) session.release(command_.hidden_);
    command_.hidden_ = last_ ? 0 : event_id_;
  }
  for (const wire::Id id : command_.folded_) session.release(id);
  command_.folded_.clear();
}

Command::Reading::Reading(Command& command, Mem* keeps, std::size_t pieces, bool past_caches,
                          bool blocking)
    : command_(command), state_(std::make_shared<ReadState>()), pieces_(pieces) {
  state_->queue = Ref<Queue>(command.queue_);
  if (keeps != nullptr) state_->keeps = Ref<Mem>(*keeps);
  state_->past_caches = past_caches;
  state_->left.store(pieces, std::memory_order_relaxed);
  if (!blocking) return;
  waiter_.emplace(command.session());
  const bool answered = pieces == 1 && (waiter_->alone() || command.queue_.has_failure());
  waits_ = answered ? ReadWait::for_answer : ReadWait::for_bytes;
}

std::uint64_t Command::Reading::expect(const ReadBox& to, std::uint64_t number) {
  if (state_->number == 0) {
    state_->number = number;
    if (command_.event_) {
      command_.event_->expect_transfer();
      state_->event = command_.event_;
    }
    command_.queue_.read_begins(number);
    command_.session().unfinished().add_read();
  }
  last_number_ = number;
  const std::uint64_t ticket = command_.session().new_ticket();
  command_.session().expect_read(ticket, std::make_unique<Transfer>(state_, to));
  return ticket;
}

void Command::Reading::keep_window(std::size_t sent) {
  const auto under_way = [&] {
    return sent + state_->left.load(std::memory_order_acquire) - pieces_;
  };
  const std::size_t ahead = command_.session().bulk_ahead() / kPiece;
  if (sent == pieces_ || under_way() < ahead) return;
  count_once();
  // Asking may have to wake the worker, so it is done for a quarter of them together.
  command_.session().wait_until([&] { return under_way() <= ahead - ahead / 4; });
}

void Command::Reading::wait() {
  count_once();
  command_.session().wait_until([&] { return state_->finished.load(std::memory_order_acquire); });
  ensure_success(state_->status.load());
  if (command_.event_) command_.event_->take_for_complete();
  if (command_.queue_.in_order()) command_.queue_.set_complete(last_number_);
}

void Command::Reading::count_once() {
  if (!counted_) command_.session().count_round_trip();
  counted_ = true;
}

}  // namespace tessera::client

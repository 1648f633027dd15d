// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/event.h"

#include <algorithm>
#include <chrono>

#include "generated/messages_event.h"
#include "opencl/client/session.h"

namespace tessera::client {
namespace {

constexpr std::int64_t kAskAgainNs = 1'000'000;

}  // namespace

Event::Event(Session& session, Queue& queue, cl_command_type type)
    : Typed(&session),
      context_(queue.context()),
      queue_(queue),
      type_(type),
      status_(CL_QUEUED),
      // The worker reports every event of a profiling queue by itself.
      subscribed_(queue.profiling() ? kToTheEnd : kNothing) {
  session.unfinished().add_event();
}

Event::Event(Session& session, Context& context)
    : Typed(&session),
      context_(context),
      type_(CL_COMMAND_USER),
      status_(CL_SUBMITTED),
      subscribed_(kEveryState) {
  session.unfinished().add_event();
  session.unfinished().add_unset();
}

Event::~Event() {
  // What waits for a user event that nobody can set any more waits for ever.
  if (is_user() && !user_set_.load(std::memory_order_relaxed)) session().unfinished().add_event();
  close();
}

void Event::close() {
  if (open_.exchange(false, std::memory_order_relaxed)) session().unfinished().end_event();
}

cl_int Event::own_status() const {
  cl_int status = status_.load(std::memory_order_acquire);
  if (status > CL_COMPLETE && queue_ && queue_->is_complete(number_)) status = CL_COMPLETE;
  if (status == CL_COMPLETE) {
    if (transferring_.load(std::memory_order_acquire)) return CL_RUNNING;
    status = transfer_status_.load(std::memory_order_relaxed);
  }
  if (status > CL_COMPLETE && session().lost()) return CL_OUT_OF_RESOURCES;
  return status;
}

cl_int Event::status() const {
  const cl_int status = own_status();
  // In order, the bytes of every earlier read are in place before a later command counts as
  // complete.
  const bool early = status == CL_COMPLETE && queue_ && queue_->in_order() && !session().lost() &&
                     !queue_->reads_arrived(number_);
  return early ? CL_RUNNING : status;
}

void Event::subscribe(bool every_state) {
  const int depth = every_state ? kEveryState : kToTheEnd;
  int known = subscribed_.load(std::memory_order_relaxed);
  while (known < depth) {
    if (subscribed_.compare_exchange_weak(known, depth)) return send_question(every_state);
  }
}

bool Event::ask() {
  if (is_user()) return false;  // only this program ends it
  const std::int64_t now = std::chrono::steady_clock::now().time_since_epoch().count();
  std::int64_t before = asked_.load(std::memory_order_relaxed);
  if (now - before < kAskAgainNs || !asked_.compare_exchange_strong(before, now)) return false;
  subscribed_.fetch_or(kToTheEnd);
  send_question(false);
  return true;
}

void Event::send_question(bool every_state) {
  wire::SubscribeEvent message;
  message.event = id();
  message.every_state = every_state ? 1 : 0;
  session().post(message);
  session().flush();
}

void Event::on_state(cl_int status) {
  cl_int known = status_.load(std::memory_order_relaxed);
  // States only go down.
  while (status < known && !status_.compare_exchange_weak(known, status)) {
  }
  fire();
}

void Event::on_done(cl_int status, std::span<const std::uint64_t> times) {
  if (times.size() == kTimes && !has_times_.load(std::memory_order_relaxed)) {
    std::copy(times.begin(), times.end(), times_.begin());
    has_times_.store(true, std::memory_order_release);
  }
  cl_int known = status_.load(std::memory_order_relaxed);
  while (known > CL_COMPLETE &&
         !status_.compare_exchange_weak(known, status, std::memory_order_release)) {
  }
  if (queue_ && queue_->in_order() && status == CL_COMPLETE) queue_->set_complete(number_);
  close();
  fire();
}

void Event::on_transfer_done(cl_int status) {
  transfer_status_.store(status, std::memory_order_relaxed);
  transferring_.store(false, std::memory_order_release);
  fire();
}

void Event::on_session_lost() {
  transferring_.store(false, std::memory_order_release);
  cl_int known = status_.load(std::memory_order_relaxed);
  while (known > CL_COMPLETE && !status_.compare_exchange_weak(known, CL_OUT_OF_RESOURCES)) {
  }
  close();
  fire();
}

void Event::set_user_status(cl_int status) {
  ensure(status <= CL_COMPLETE, CL_INVALID_VALUE);
  ensure(!user_set_.exchange(true), CL_INVALID_OPERATION);
  const Ref<Event> self(*this);  // a callback may give the program's reference back
  // First here: what waits for it may end, and be seen by another thread, before this one goes on.
  if (status < 0) session().note_failure();
  on_done(status, {});
  wire::SetUserEventStatus message;
  message.event = id();
  message.status = status;
  session().post(message);
  session().flush();
  session().unfinished().end_unset();
}

void Event::add_callback(cl_int state, tessera_event_callback function, void* user_data) {
  // The callback may run, and give the event back, before the end here.
  const Ref<Event> self(*this);
  session().callbacks().expect();
  {
    const std::lock_guard lock(mutex_);
    callbacks_.push_back({state, function, user_data, Ref<Event>(*this)});
  }
  try {
    if (own_status() > CL_COMPLETE) subscribe(state != CL_COMPLETE);
  } catch (const SessionLost&) {  // fire() hands it the error
  }
  fire();  // it may have been due before it was there
}

void Event::fire() {
  const cl_int status = own_status();
  std::vector<Callback> due;
  {
    const std::lock_guard lock(mutex_);
    const auto later =
        std::stable_partition(callbacks_.begin(), callbacks_.end(),
                              [&](const Callback& callback) { return status > callback.state; });
    std::move(later, callbacks_.end(), std::back_inserter(due));
    callbacks_.erase(later, callbacks_.end());
  }
  for (Callback& callback : due) {
    const cl_int told = status < 0 ? status : callback.state;
    session().callbacks().deliver([callback = std::move(callback), told] {
      callback.function(callback.event->handle(), told, callback.user_data);
    });
  }
}

std::uint64_t Event::time(Time which) const {
  // A large transfer began when its first piece did.
  if (head_ && head_->has_times() && which <= kStart) return head_->times_[which];
  return times_[which];
}

}  // namespace tessera::client

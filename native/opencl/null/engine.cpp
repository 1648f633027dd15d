// SPDX-License-Identifier: Apache-2.0
//
// When commands run.
//
// A command counts the unfinished events that it waits for; whoever ends an event counts its
// dependents down and puts those that reach 0 on the ready list. The thread that made something
// ready runs the list (or the device thread does, with TESSERA_NULL_ASYNC=1). Everything happens
// under big_lock(); callbacks, and the last references to objects, whose destructors call back too,
// are collected and dealt with after it is let go.
#include "opencl/null/engine.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <thread>

namespace tessera::null {
namespace {

using Event = Ref<_cl_event>;

// What has to be done without the lock.
struct Aftermath {
  std::vector<std::function<void()>> calls;
  std::vector<std::function<cl_int()>> works;
  std::vector<Event> events;

  void happen() {
    for (const auto& call : calls) call();
    calls.clear();
    works.clear();
    events.clear();
  }
};

struct Engine {
  std::deque<Event> ready;
  std::condition_variable ended;
  std::condition_variable work_came;
  bool asynchronous = false;
  bool late = false;
  bool silent = false;
  bool early = false;
  int forgotten_failures = 0;
  int hasty_failures = 0;
};

void device_thread(Engine& engine);

Engine& engine() {
  static Engine* const instance = [] {
    auto* const made = new Engine;
    made->asynchronous = std::getenv("TESSERA_NULL_ASYNC") != nullptr;
    made->late = std::getenv("TESSERA_NULL_LATE") != nullptr;
    made->early = std::getenv("TESSERA_NULL_EARLY") != nullptr;
    made->silent = std::getenv("TESSERA_NULL_SILENT") != nullptr;
    if (made->asynchronous) std::thread(device_thread, std::ref(*made)).detach();
    return made;
  }();
  return *instance;
}

cl_ulong now() {
  return static_cast<cl_ulong>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

bool has_ended(cl_event event) {
  return event->status <= CL_COMPLETE;
}

void collect_callbacks(cl_event event, Aftermath& after) {
  if (event->status < 0 && engine().silent) return;
  for (const auto& callback : event->callbacks) {
    const cl_int told = event->status < 0 ? event->status : callback.when;
    after.calls.push_back([held = Event(event), callback, told] {
      callback.call(held.get(), told, callback.user_data);
    });
  }
  event->callbacks.clear();
}

bool may_run_before(cl_event dependent) {
  return std::ranges::any_of(engine().ready, [&](const Event& each) {
    return !each->dependency_failed &&
           std::ranges::any_of(each->dependents,
                               [&](const Event& other) { return other.get() == dependent; });
  });
}

// One that waited for the event. `failed` gets it where it ends with the event.
void count_down(Event dependent, bool failing, std::vector<Event>& failed) {
  if (has_ended(dependent.get())) {
    if (dependent->api.load() == 0) ++engine().forgotten_failures;
    return;
  }
  --dependent->waits_for;
  if (failing) {
    dependent->dependency_failed = true;
    if (may_run_before(dependent.get())) ++engine().hasty_failures;
    if (engine().early) return failed.push_back(std::move(dependent));
  }
  if (dependent->waits_for == 0) engine().ready.push_back(std::move(dependent));
}

void end_one(cl_event event, cl_int status, Aftermath& after, std::vector<Event>& failed) {
  event->status = status;
  event->times[3] = now();
  after.events.emplace_back(event);
  collect_callbacks(event, after);
  if (event->work) after.works.push_back(std::move(event->work));
  event->work = nullptr;
  for (auto& dependent : event->dependents) {
    count_down(dependent, status < 0, failed);
    after.events.push_back(std::move(dependent));
  }
  event->dependents.clear();
  if (event->queue) {
    if (event->queue->last == event) event->queue->last = nullptr;
    event->queue->pending.erase(event);
  }
}

void end_event(cl_event event, cl_int status, Aftermath& after) {
  std::vector<Event> failed;
  end_one(event, status, after, failed);
  while (!failed.empty()) {
    const Event next = std::move(failed.back());
    failed.pop_back();
    if (has_ended(next.get())) continue;
    end_one(next.get(), CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, after, failed);
  }
  engine().ended.notify_all();
}

void run_one(Aftermath& after) {
  const Event event = std::move(engine().ready.front());
  engine().ready.pop_front();
  event->times[1] = event->times[2] = now();
  const cl_int status =
      event->dependency_failed ? CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST : event->work();
  end_event(event.get(), status, after);
  after.events.push_back(event);
}

void run_ready(std::unique_lock<std::mutex>& lock) {
  if (engine().late) return;
  if (engine().asynchronous) {
    engine().work_came.notify_one();
    return;
  }
  Aftermath after;
  while (!engine().ready.empty()) run_one(after);
  lock.unlock();
  after.happen();
  lock.lock();
}

// Sleeps until the condition holds; a late engine first runs what may run, the newest first, and no
// more than it takes.
template <class Condition>
void wait_until(std::unique_lock<std::mutex>& lock, const Condition& holds) {
  while (!holds()) {
    auto& ready = engine().ready;
    if (!engine().late || ready.empty()) {
      engine().ended.wait(lock);
      continue;
    }
    std::rotate(ready.begin(), ready.end() - 1, ready.end());
    Aftermath after;
    run_one(after);
    lock.unlock();
    after.happen();
    lock.lock();
  }
}

void device_thread(Engine& engine) {
  for (;;) {
    Aftermath after;
    {
      std::unique_lock lock(big_lock());
      engine.work_came.wait(lock, [&] { return !engine.ready.empty(); });
      run_one(after);
    }
    after.happen();
  }
}

void wait_for(cl_event event, cl_event dependency) {
  if (dependency == nullptr || dependency == event) return;
  if (has_ended(dependency)) {
    if (dependency->status < 0) event->dependency_failed = true;
    return;
  }
  ++event->waits_for;
  dependency->dependents.emplace_back(event);
}

void add_dependencies(cl_event event, const Submission& submission) {
  cl_command_queue queue = submission.queue;
  for (cl_uint i = 0; i < submission.count; ++i) wait_for(event, submission.list[i]);
  wait_for(event, queue->last);
  if (submission.fence && submission.count == 0) {
    for (const auto& [pending, held] : queue->pending) wait_for(event, pending);
  }
}

}  // namespace

int hasty_failures() {
  const std::lock_guard lock(big_lock());
  return engine().hasty_failures;
}

int forgotten_failures() {
  const std::lock_guard lock(big_lock());
  return engine().forgotten_failures;
}

cl_int check_submission(const Submission& submission) {
  if (!valid(submission.queue)) return CL_INVALID_COMMAND_QUEUE;
  if ((submission.count == 0) != (submission.list == nullptr)) return CL_INVALID_EVENT_WAIT_LIST;
  for (cl_uint i = 0; i < submission.count; ++i) {
    if (!valid(submission.list[i])) return CL_INVALID_EVENT_WAIT_LIST;
    if (submission.list[i]->context.get() != submission.queue->context.get()) {
      return CL_INVALID_CONTEXT;
    }
  }
  return CL_SUCCESS;
}

cl_int submit(const Submission& submission, std::function<cl_int()> work) {
  if (const cl_int error = check_submission(submission)) return error;
  auto made = std::make_unique<_cl_event>();
  cl_command_queue queue = submission.queue;
  made->context = queue->context;
  made->queue = Ref<_cl_command_queue>(queue);
  made->type = submission.type;
  made->work = std::move(work);
  made->times[0] = now();
  const Event event(made.get());
  if (submission.event != nullptr) {
    *submission.event = publish(std::move(made));
  } else {
    Event::drop(made.release());
  }
  std::unique_lock lock(big_lock());
  add_dependencies(event.get(), submission);
  queue->pending.emplace(event.get(), event);
  const bool in_order = (queue->properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) == 0;
  if (in_order || submission.barrier) queue->last = event.get();
  if (event->waits_for == 0) engine().ready.push_back(event);
  run_ready(lock);
  if (!submission.blocking) return CL_SUCCESS;
  wait_until(lock, [&] { return has_ended(event.get()); });
  return event->status < 0 ? event->status : CL_SUCCESS;
}

cl_int end_user_event(cl_event event, cl_int status) {
  Aftermath after;
  std::unique_lock lock(big_lock());
  if (has_ended(event)) return CL_INVALID_OPERATION;
  end_event(event, status, after);
  run_ready(lock);
  lock.unlock();
  after.happen();
  return CL_SUCCESS;
}

cl_int wait_until_ended(const std::vector<cl_event>& events) {
  std::unique_lock lock(big_lock());
  cl_int result = CL_SUCCESS;
  for (cl_event event : events) {
    wait_until(lock, [&] { return has_ended(event); });
    if (event->status < 0) result = CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST;
  }
  return result;
}

void finish(cl_command_queue queue) {
  std::unique_lock lock(big_lock());
  wait_until(lock, [&] { return queue->pending.empty(); });
}

void add_callback(cl_event event, _cl_event::Callback callback) {
  Aftermath after;
  {
    const std::lock_guard lock(big_lock());
    event->callbacks.push_back(callback);
    if (has_ended(event)) collect_callbacks(event, after);
  }
  after.happen();
}

}  // namespace tessera::null

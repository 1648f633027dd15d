// SPDX-License-Identifier: Apache-2.0
#include "tests/random/session.h"

#include <sched.h>

#include <algorithm>
#include <exception>
#include <sstream>
#include <thread>

namespace tessera::random {

Session::Session(const Device& device, const Plan& plan, Output& output)
    : device_(device),
      plan_(plan),
      output_(output),
      order_(plan),
      expected_(expected_of(plan, order_)),
      live_(plan.objects.size()),
      events_(plan.steps.size()),
      given_back_(plan.steps.size()),
      returned_(plan.steps.size()),
      at_(plan.threads),
      mapped_(plan.steps.size()),
      mapped_pitch_(plan.steps.size()) {
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    called_.push_back(std::make_unique<Called>());
    called_.back()->session = this;
    called_.back()->step = static_cast<int>(i);
  }
}

Session::~Session() = default;

void Session::run() {
  output_.clear();
  make_queues();
  for (int i = 0; i < static_cast<int>(plan_.objects.size()); ++i) {
    if (plan_.objects[i].creator < 0) make_object(i);
  }
  phase_ = "its steps";
  std::atomic<bool> over{false};
  std::exception_ptr error;
  const auto guarded = [&](auto work) {
    return [&, work] {
      try {
        work();
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!error) error = std::current_exception();
      }
    };
  };
  std::thread builder;
  if (plan_.rebuilds) {
    builder = std::thread(guarded([&] {
      for (unsigned i = 0; i < 3 && !over; ++i)
        rebuild(device_, static_cast<unsigned>(plan_.seed) + i);
    }));
  }
  std::vector<std::thread> threads;
  for (int t = 1; t < plan_.threads; ++t) {
    threads.emplace_back(guarded([this, t] { run_thread(t); }));
  }
  guarded([this] { run_thread(0); })();
  const auto failed = [&] {
    const std::lock_guard lock(mutex_);
    return error != nullptr;
  };
  // After a failed call the others wait for what never comes; the process ends with them.
  if (failed()) {
    for (std::thread& one : threads) one.detach();
    if (builder.joinable()) builder.detach();
    std::rethrow_exception(error);
  }
  for (std::thread& one : threads) one.join();
  over = true;
  if (builder.joinable()) builder.join();
  if (error) std::rethrow_exception(error);
  finish();
}

void Session::run_thread(int index) {
  Thread thread;
  for (int i = 0; i < static_cast<int>(plan_.steps.size()); ++i) {
    if (plan_.steps[i].thread != index) continue;
    at_[index] = i;
    for (int other : plan_.steps[i].after) returned_[other].wait(0);
    try {
      run_step(thread, i);
    } catch (const CallFailed&) {
      failed_step_ = i;
      throw;
    }
    returned_[i] = 1;
    returned_[i].notify_all();
  }
  at_[index] = -1;
}

void Session::run_step(Thread& thread, int i) {
  const Step& step = plan_.steps[i];
  if (is_command(step.op)) {
    run_command(thread, i);
  } else if (step.op <= Op::release || step.op >= Op::host_fill) {
    run_host(i);
  } else {
    run_event(i);
  }
  if (is_observing(step)) look(i, expected_.moment[i], "has returned");
}

void Session::run_command(Thread& thread, int i) {
  const Step& step = plan_.steps[i];
  flush_sources(step);
  std::vector<cl_event> waits;
  for (int other : step.waits) waits.push_back(events_[other]);
  cl_event event = nullptr;
  const cl_int code =
      enqueue(thread, i, static_cast<cl_uint>(waits.size()), waits.empty() ? nullptr : waits.data(),
              step.has_event ? &event : nullptr);
  const bool failing = step.blocking && order_.is_failing(i);
  expect_code(code, failing ? CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST : CL_SUCCESS,
              as_code(plan_, i).c_str());
  if (step.has_event && event == nullptr && !failing) {
    throw CallFailed(as_code(plan_, i) + " gave no event and", code, CL_SUCCESS);
  }
  events_[i] = event;
}

void Session::run_host(int i) {
  const Step& step = plan_.steps[i];
  switch (step.op) {
    case Op::create:
      make_object(step.to);
      break;
    case Op::release:
      give_back(step.to);
      break;
    case Op::host_fill:
      fill_pattern(step.value, host_at(step.to, step.to_at), step.row);
      break;
    case Op::host_check:
      compare(i, host_at(step.from, step.from_at), expected_.seen[i], "host memory");
      break;
    default:
      touch(i);
      break;
  }
}

void Session::touch(int i) {
  const Step& step = plan_.steps[i];
  const Step& map = plan_.steps[step.target];
  auto* at = static_cast<std::uint8_t*>(mapped_[step.target]);
  const std::size_t pitch = mapped_pitch_[step.target];
  const Bytes& want = expected_.seen[i];
  if (!want.empty()) {
    Bytes got(map.bytes());
    for (std::size_t r = 0; r < map.rows; ++r) {
      std::copy_n(at + r * pitch, map.row, got.data() + r * map.row);
    }
    compare(i, got.data(), want, "mapped memory");
  }
  if (!is_write_map(map.mode)) return;
  Bytes bytes(step.row);
  fill_pattern(step.value, bytes.data(), bytes.size());
  for (std::size_t done = 0; done < bytes.size(); done += map.row) {
    const std::size_t part = std::min(map.row, bytes.size() - done);
    std::copy_n(bytes.data() + done, part, at + done / map.row * pitch);
  }
}

void Session::run_event(int i) {
  const Step& step = plan_.steps[i];
  cl_int code = CL_SUCCESS;
  std::vector<cl_event> waits;
  for (int other : step.waits) waits.push_back(events_[other]);
  switch (step.op) {
    case Op::user_event:
      events_[i] = clCreateUserEvent(device_.context, &code);
      expect_code(code, CL_SUCCESS, "clCreateUserEvent");
      break;
    case Op::set_user_event:
      OK(clSetUserEventStatus(events_[step.target], plan_.steps[step.target].state));
      break;
    case Op::wait:
      code = clWaitForEvents(static_cast<cl_uint>(waits.size()), waits.data());
      expect_code(code,
                  order_.is_failing(step.waits[0]) ? CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST
                                                   : CL_SUCCESS,
                  as_code(plan_, i).c_str());
      break;
    case Op::finish:
      OK(clFinish(queues_[step.queue]));
      break;
    case Op::flush:
      OK(clFlush(queues_[step.queue]));
      break;
    case Op::poll:
      flush_queue_of(step.target);
      for (cl_int status = CL_QUEUED; status > CL_COMPLETE;) {
        OK(clGetEventInfo(events_[step.target], CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status,
                          &status, nullptr));
        if (status > CL_COMPLETE) sched_yield();
      }
      break;
    case Op::callback:
      register_callback(i);
      break;
    case Op::wait_callback:
      flush_queue_of(plan_.steps[step.target].target);
      while (!called_[step.target]->done) sched_yield();
      break;
    case Op::wait_destroyed:
      for (cl_command_queue queue : queues_) OK(clFlush(queue));
      while (!live_[plan_.steps[step.target].to].destroyed) sched_yield();
      break;
    default:
      given_back_[step.target] = true;
      OK(clReleaseEvent(events_[step.target]));
      break;
  }
}

// What another queue waits for has to be flushed, says the standard, and what is polled too.
void Session::flush_sources(const Step& step) {
  for (int other : step.waits) {
    if (plan_.steps[other].queue != step.queue) flush_queue_of(other);
  }
}

void Session::flush_queue_of(int step) {
  if (plan_.steps[step].queue >= 0) OK(clFlush(queues_[plan_.steps[step].queue]));
}

void Session::register_callback(int i) {
  const Step& step = plan_.steps[i];
  cl_event event = events_[step.target];
  if (step.drops) given_back_[step.target] = true;
  OK(clSetEventCallback(event, step.state, on_event, called_[i].get()));
  if (step.sets >= 0) flush_queue_of(step.target);
}

void CL_CALLBACK Session::on_event(cl_event, cl_int status, void* data) {
  auto* called = static_cast<Called*>(data);
  called->session->in_callback(*called, status);
}

void Session::in_callback(Called& called, cl_int status) {
  const Step& step = plan_.steps[called.step];
  if (called.done) note(called.step, "a callback is called twice");
  const bool failing = order_.is_failing(step.target);
  if (failing ? status >= 0 : status > step.state || status < 0) {
    note(called.step, "a callback is called with the status " + std::to_string(status));
  }
  if (step.state == CL_COMPLETE && !failing) {
    look(called.step, expected_.moment[called.step], "is called back");
  }
  if (step.sets >= 0) {
    const cl_int code = clSetUserEventStatus(events_[step.sets], CL_COMPLETE);
    if (code != CL_SUCCESS) note(called.step, "clSetUserEventStatus gave " + std::to_string(code));
  }
  if (step.drops) {
    const cl_int code = clReleaseEvent(events_[step.target]);
    if (code != CL_SUCCESS) note(called.step, "clReleaseEvent gave " + std::to_string(code));
  }
  called.done = true;
}

void CL_CALLBACK Session::on_destroyed(cl_mem, void* data) {
  static_cast<Live*>(data)->destroyed = true;
}

std::vector<Mismatch> Session::mismatches() const {
  const std::lock_guard lock(mutex_);
  return mismatches_;
}

void Session::note(int step, std::string text) {
  const std::lock_guard lock(mutex_);
  mismatches_.push_back({step, std::move(text)});
}

std::string Session::position() const {
  std::ostringstream out;
  out << "it stands in " << phase_.load();
  for (int t = 0; t < plan_.threads; ++t) {
    const int step = at_[t];
    out << "; thread " << t;
    if (step < 0) {
      out << " is over";
    } else {
      out << " in step " << step << ": " << as_code(plan_, step);
    }
  }
  return out.str();
}

}  // namespace tessera::random

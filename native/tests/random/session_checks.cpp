// SPDX-License-Identifier: Apache-2.0
//
// What a run is held to: statuses at once when they are certain, bytes, lines, times.
#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <sstream>

#include "tests/random/session.h"

namespace tessera::random {
namespace {

std::string hex(const std::uint8_t* at, std::size_t bytes) {
  std::string text;
  char room[4];
  for (std::size_t i = 0; i < std::min<std::size_t>(bytes, 8); ++i) {
    std::snprintf(room, sizeof room, "%02x", at[i]);
    text += room;
  }
  return text;
}

std::string status_name(cl_int status) {
  switch (status) {
    case CL_COMPLETE:
      return "CL_COMPLETE";
    case CL_RUNNING:
      return "CL_RUNNING";
    case CL_SUBMITTED:
      return "CL_SUBMITTED";
    case CL_QUEUED:
      return "CL_QUEUED";
    default:
      return std::to_string(status);
  }
}

struct Times {
  cl_ulong queued = 0, submitted = 0, start = 0, end = 0;
};

Times times_of(cl_event event) {
  Times t;
  const auto get = [&](cl_profiling_info what, cl_ulong* value) {
    OK(clGetEventProfilingInfo(event, what, sizeof *value, value, nullptr));
  };
  get(CL_PROFILING_COMMAND_QUEUED, &t.queued);
  get(CL_PROFILING_COMMAND_SUBMIT, &t.submitted);
  get(CL_PROFILING_COMMAND_START, &t.start);
  get(CL_PROFILING_COMMAND_END, &t.end);
  return t;
}

}  // namespace

void Session::look(int step, const Moment& moment, const char* when) {
  const auto lines = [&] {
    const std::size_t found = output_.size();
    if (found < moment.lines_least * kLineBytes || found > moment.lines_most * kLineBytes) {
      note(step, std::string("step ") + std::to_string(step) + " " + when + " and " +
                     std::to_string(found) + " bytes are printed, not " +
                     std::to_string(moment.lines_least * kLineBytes) + " to " +
                     std::to_string(moment.lines_most * kLineBytes));
    }
  };
  // What is looked at first is looked at soonest.
  const bool lines_first = (plan_.seed + static_cast<unsigned>(step)) % 3 == 0;
  if (lines_first) lines();
  look_at_events(step, moment, when);
  if (!lines_first) lines();
}

void Session::look_at_events(int step, const Moment& moment, const char* when) {
  const auto status_of = [&](int other) {
    cl_int status = 99;
    const cl_int code = clGetEventInfo(events_[other], CL_EVENT_COMMAND_EXECUTION_STATUS,
                                       sizeof status, &status, nullptr);
    if (code != CL_SUCCESS) note(step, "clGetEventInfo gave " + std::to_string(code));
    return status;
  };
  const auto found = [&](int other, cl_int status, const std::string& want) {
    note(step, std::string("step ") + std::to_string(step) + " " + when + " and step " +
                   std::to_string(other) + ", " + as_code(plan_, other) + ", is " +
                   status_name(status) + ", not " + want);
  };
  const std::size_t count = moment.complete.size();
  const std::size_t first = count == 0 ? 0 : (plan_.seed + static_cast<unsigned>(step) * 7) % count;
  for (std::size_t k = 0; k < count; ++k) {
    const int other = moment.complete[(first + k) % count];
    if (events_[other] == nullptr) continue;  // of a map that failed
    const cl_int status = status_of(other);
    if (!order_.is_failing(other)) {
      if (status != CL_COMPLETE) found(other, status, "CL_COMPLETE");
    } else if (plan_.steps[other].op == Op::user_event) {
      if (status != plan_.steps[other].state) {
        found(other, status, std::to_string(plan_.steps[other].state));
      }
    } else if (status >= 0) {
      found(other, status, "an error");
    }
  }
  for (int other : moment.waiting) {
    const cl_int status = status_of(other);
    if (status != CL_QUEUED && status != CL_SUBMITTED) found(other, status, "CL_SUBMITTED");
  }
}

void Session::compare(int step, const std::uint8_t* got, const Bytes& want,
                      const std::string& what) {
  const auto [at, _] = std::mismatch(want.begin(), want.end(), got);
  if (at == want.end()) return;
  const std::size_t first = static_cast<std::size_t>(at - want.begin());
  std::size_t count = 0;
  for (std::size_t i = 0; i < want.size(); ++i) count += got[i] != want[i] ? 1 : 0;
  std::ostringstream text;
  text << what << " differs in " << count << " of " << want.size() << " bytes, first at " << first
       << ": got " << hex(got + first, want.size() - first) << ", not "
       << hex(want.data() + first, want.size() - first);
  note(step, text.str());
}

void Session::finish() {
  phase_ = "the finish of its queues";
  for (cl_command_queue queue : queues_) OK(clFinish(queue));
  phase_ = "the wait for its callbacks";
  for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
    while (plan_.steps[i].op == Op::callback && !called_[i]->done) sched_yield();
  }
  check_output();
  phase_ = "the check of its objects";
  check_contents();
  check_profiles();
  release_all();
}

void Session::check_contents() {
  for (int i = 0; i < static_cast<int>(plan_.objects.size()); ++i) {
    const Object& o = plan_.objects[i];
    const Live& live = live_[i];
    const Bytes& want = expected_.contents[i];
    if (o.parent >= 0 || live.released || (live.memory == nullptr && live.svm == nullptr)) {
      if (o.kind == ObjectKind::host && !live.host.empty()) {
        compare(-1, live.host.data(), want, "at the end host memory h" + std::to_string(i));
      }
      continue;
    }
    Bytes got(o.size);
    cl_command_queue queue = queues_[static_cast<std::size_t>(i) % queues_.size()];
    if (o.kind == ObjectKind::svm) {
      OK(clEnqueueSVMMap(queue, CL_TRUE, CL_MAP_READ, live.svm, o.size, 0, nullptr, nullptr));
      std::copy_n(static_cast<const std::uint8_t*>(live.svm), o.size, got.data());
      OK(clEnqueueSVMUnmap(queue, live.svm, 0, nullptr, nullptr));
      OK(clFinish(queue));
    } else if (o.kind == ObjectKind::image) {
      const std::size_t origin[3] = {0, 0, 0}, region[3] = {o.width, o.size / o.pitch(), 1};
      OK(clEnqueueReadImage(queue, live.memory, CL_TRUE, origin, region, 0, 0, got.data(), 0,
                            nullptr, nullptr));
    } else {
      OK(clEnqueueReadBuffer(queue, live.memory, CL_TRUE, 0, o.size, got.data(), 0, nullptr,
                             nullptr));
    }
    compare(-1, got.data(), want, "at the end object " + std::to_string(i));
  }
}

void Session::check_profiles() {
  std::vector<std::pair<int, Times>> known;
  for (int i = 0; i < static_cast<int>(plan_.steps.size()); ++i) {
    const Step& step = plan_.steps[i];
    const bool has = is_command(step.op) && step.has_event && plan_.queues[step.queue].profiling &&
                     !order_.is_failing(i) && !given_back_[i];
    if (has) known.emplace_back(i, times_of(events_[i]));
  }
  for (const auto& [step, t] : known) {
    if (t.queued > t.submitted || t.submitted > t.start || t.start > t.end) {
      note(step, "the times of step " + std::to_string(step) + ", " + as_code(plan_, step) +
                     ", are not in order: queued " + std::to_string(t.queued) + ", submitted +" +
                     std::to_string(static_cast<cl_long>(t.submitted - t.queued)) + ", start +" +
                     std::to_string(static_cast<cl_long>(t.start - t.queued)) + ", end +" +
                     std::to_string(static_cast<cl_long>(t.end - t.queued)));
    }
    for (const auto& [other, before] : known) {
      if (order_.before(done_of(other), done_of(step)) && t.start < before.end) {
        note(step, "step " + std::to_string(step) + ", " + as_code(plan_, step) + ", started " +
                       std::to_string(before.end - t.start) + " ns before the end of step " +
                       std::to_string(other) + ", " + as_code(plan_, other));
      }
    }
  }
}

void Session::check_output() {
  std::vector<std::string> lines;
  std::istringstream text(output_.text());
  for (std::string line; std::getline(text, line);) lines.push_back(line + "\n");
  std::sort(lines.begin(), lines.end());
  if (lines != expected_.lines) {
    note(-1, "at the end " + std::to_string(lines.size()) + " lines are printed, not the " +
                 std::to_string(expected_.lines.size()) + " of its kernels");
  }
}

}  // namespace tessera::random

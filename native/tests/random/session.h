// SPDX-License-Identifier: Apache-2.0
//
// One run of one program: its objects, its threads, and what was seen that is not as expected.
//
// A wrong byte or status is written down and the program goes on, because its ordering does not
// depend on what it sees. A call that fails ends the process, as threads would wait for a step that
// never comes. What the program waits for without OpenCL (other threads, callbacks) has no limit of
// its own: the watchdog of the process sees that a program is late, and asks where it stands.
#pragma once

#include <CL/cl.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/random/device.h"
#include "tests/random/model.h"
#include "tests/random/output.h"

namespace tessera::random {

struct Mismatch {
  int step = -1;  // -1: after the last one
  std::string text;
};

class Session {
 public:
  Session(const Device& device, const Plan& plan, Output& output);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Throws CallFailed.
  void run();
  std::vector<Mismatch> mismatches() const;
  // Where each thread stands, for a program that does not end.
  std::string position() const;
  // The step that a call failed in.
  int failed_step() const { return failed_step_; }

 private:
  struct Live {
    cl_mem memory = nullptr;
    void* svm = nullptr;
    Bytes host;  // a host object; a buffer's own memory for CL_MEM_USE_HOST_PTR
    std::atomic<bool> destroyed{false};
    bool released = false;
  };
  struct Called {
    Session* session = nullptr;
    int step = -1;
    std::atomic<bool> done{false};
  };
  // What a thread has to itself: an argument of a kernel belongs to the next launch.
  struct Thread {
    cl_kernel kernels[4] = {};
    Thread() = default;
    ~Thread();
    Thread(const Thread&) = delete;
    Thread& operator=(const Thread&) = delete;
  };

  void make_object(int object);
  void make_queues();
  void run_thread(int thread);
  void run_step(Thread& thread, int step);
  void run_command(Thread& thread, int step);
  void expect_status(int step, cl_int code, const char* call);
  cl_int enqueue(Thread& thread, int step, cl_uint count, const cl_event* waits, cl_event* event);
  cl_int transfer(const Step& step, bool write, cl_uint count, const cl_event* waits,
                  cl_event* event);
  cl_int copy(const Step& step, cl_uint count, const cl_event* waits, cl_event* event);
  cl_int fill(const Step& step, cl_uint count, const cl_event* waits, cl_event* event);
  cl_int map(int step, cl_uint count, const cl_event* waits, cl_event* event);
  cl_int unmap(const Step& step, cl_uint count, const cl_event* waits, cl_event* event);
  cl_int launch(Thread& thread, const Step& step, cl_uint count, const cl_event* waits,
                cl_event* event);
  void run_host(int step);
  void run_event(int step);
  void touch(int step);
  void flush_sources(const Step& step);
  void flush_queue_of(int step);
  void give_back(int object);
  void register_callback(int step);
  void in_callback(Called& called, cl_int status);
  static void CL_CALLBACK on_event(cl_event event, cl_int status, void* data);
  static void CL_CALLBACK on_destroyed(cl_mem memory, void* data);

  void look(int step, const Moment& moment, const char* when);
  void look_at_events(int step, const Moment& moment, const char* when);
  void compare(int step, const std::uint8_t* got, const Bytes& want, const std::string& what);
  void note(int step, std::string text);

  void finish();
  void check_contents();
  void check_profiles();
  void check_output();
  void release_all();

  std::uint8_t* host_at(int object, const Place& place) {
    return live_[object].host.data() + place.offset;
  }
  std::uint8_t* svm_at(int object, const Place& place) {
    return static_cast<std::uint8_t*>(live_[object].svm) + place.offset;
  }

  const Device& device_;
  const Plan& plan_;
  Output& output_;
  Order order_;
  Expected expected_;
  std::vector<cl_command_queue> queues_;
  std::vector<Live> live_;
  std::vector<std::atomic<cl_event>> events_;
  std::vector<std::atomic<bool>> given_back_;  // the step's event
  std::vector<std::atomic<int>> returned_;
  std::vector<std::atomic<int>> at_;  // of each thread: its step, then -1
  std::vector<void*> mapped_;
  std::vector<std::size_t> mapped_pitch_;
  std::vector<std::unique_ptr<Called>> called_;
  std::atomic<int> failed_step_{-1};
  std::atomic<const char*> phase_{"the start"};
  mutable std::mutex mutex_;
  std::vector<Mismatch> mismatches_;
};

}  // namespace tessera::random

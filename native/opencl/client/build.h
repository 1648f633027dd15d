// SPDX-License-Identifier: Apache-2.0
//
// A build, compilation or link that is under way in the worker.
//
// Logs and kernel facts arrive before the message that ends it; they are gathered here and taken
// over by the program in one step, so that a query meanwhile sees either the old or the new state.
// A build with a callback is posted and ends whenever the worker is done; one without waits for the
// same end.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "generated/messages_program.h"
#include "opencl/client/callbacks.h"
#include "opencl/client/program.h"
#include "opencl/client/session.h"

namespace tessera::client {

class Build {
 public:
  struct Notify {
    tessera_program_callback function = nullptr;
    void* user_data = nullptr;
    explicit operator bool() const { return function != nullptr; }
  };
  struct Result {
    std::uint32_t device;
    cl_build_status status;
    cl_program_binary_type binary_type;
    std::size_t binary_size;
    std::size_t global_variables;
  };

  Build(Program& program, std::vector<Device*> devices, std::string options, Notify notify)
      : program(program),
        ticket(program.session().new_ticket()),
        devices(std::move(devices)),
        options(std::move(options)),
        notify(notify) {}

  const Ref<Program> program;
  const std::uint64_t ticket;
  const std::vector<Device*> devices;
  const std::string options;
  const Notify notify;
  // What the program is to be when the build succeeds.
  bool uniform = false;
  bool arg_info = true;

  // Gathered by the thread that handles messages.
  std::map<std::uint32_t, std::string> logs;  // by device index
  std::size_t log_bytes = 0;                  // that came, of all of them
  std::vector<Facts> facts;
  std::vector<Result> results;
  cl_int status = CL_SUCCESS;

  bool ended() const { return ended_.load(std::memory_order_acquire); }
  void set_ended() { ended_.store(true, std::memory_order_release); }

 private:
  std::atomic<bool> ended_{false};
};

// Starts `build` by `send`, which posts its message, and waits for its end unless the program wants
// a callback. Throws ApiError: that of Program::begin_build, or what the worker answered.
void run_build(const std::shared_ptr<Build>& build, const std::function<void(Session&)>& send);

// The indexes that a message names devices by.
std::vector<std::uint32_t> device_indexes(const std::vector<Device*>& devices);

}  // namespace tessera::client

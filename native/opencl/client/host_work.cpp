// SPDX-License-Identifier: Apache-2.0
//
// A command that does nothing ends when the work may begin; a user event, which only this process
// can complete, holds a second one, the visible command, back until the work is done. Waiting for
// the first in the call was refused: the program may complete an event of the wait-list itself,
// right after the call.
#include "opencl/client/host_work.h"

#include <memory>

#include "generated/client_entries.h"
#include "generated/messages_event.h"
#include "opencl/client/command.h"

namespace tessera::client {
namespace {

struct Work {
  std::function<void()> run;
  Ref<Event> done;
};

void CL_CALLBACK on_begin(cl_event, cl_int status, void* user_data) {
  const std::unique_ptr<Work> work(static_cast<Work*>(user_data));
  if (status == CL_COMPLETE) status = guarded(work->run);
  guarded([&] { work->done->set_user_status(status); });
}

Ref<Event> posted_nothing(cl_command_queue queue, cl_command_type type, cl_uint count,
                          const cl_event* wait_list) {
  cl_event made = nullptr;
  Command command(queue, type, count, wait_list, &made);
  command.post_nothing();
  return Ref<Event>::adopt(&require<Event>(made));
}

Ref<Event> user_event(const Context& context) {
  cl_int code = CL_SUCCESS;
  const cl_event made = entry::clCreateUserEvent(const_cast<Context&>(context).handle(), &code);
  ensure_success(code);
  return Ref<Event>::adopt(&require<Event>(made));
}

}  // namespace

void enqueue_host_work(cl_command_queue queue, cl_command_type type, cl_uint count,
                       const cl_event* wait_list, cl_event* event, std::function<void()> work) {
  const Ref<Event> done = user_event(require<Queue>(queue).context());
  auto held = std::unique_ptr<Work>(new Work{std::move(work), done});
  const Ref<Event> begin = posted_nothing(queue, CL_COMMAND_MARKER, count, wait_list);
  begin->add_callback(CL_COMPLETE, &on_begin, held.get());
  held.release();
  const cl_event waits_for = done->handle();
  Command command(queue, type, 1, &waits_for, event);
  command.post_nothing();
}

}  // namespace tessera::client

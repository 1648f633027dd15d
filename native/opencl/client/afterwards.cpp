// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/afterwards.h"

#include <atomic>
#include <memory>
#include <vector>

#include "generated/messages_event.h"
#include "opencl/client/command.h"
#include "opencl/client/session.h"

namespace tessera::client {
namespace {

// What the last of several markers sets off.
struct Countdown {
  std::atomic<std::size_t> left{1};
  std::function<void()> what;
  void count() {
    if (left.fetch_sub(1, std::memory_order_acq_rel) == 1) what();
  }
};

void CL_CALLBACK marker_ended(cl_event, cl_int, void* user_data) {
  const std::unique_ptr<std::shared_ptr<Countdown>> countdown(
      static_cast<std::shared_ptr<Countdown>*>(user_data));
  (*countdown)->count();
}

// Behind everything in the queue.
void post_marker(Queue& queue, const std::shared_ptr<Countdown>& countdown) {
  cl_event handle = nullptr;
  Command command(queue.handle(), CL_COMMAND_MARKER, 0, nullptr, &handle);
  wire::EnqueueMarker message;
  command.post(message);
  // The program's reference to the event is ours here.
  const auto event = Ref<Event>::adopt(&require<Event>(handle));
  countdown->left.fetch_add(1, std::memory_order_relaxed);
  event->add_callback(CL_COMPLETE, &marker_ended, new std::shared_ptr<Countdown>(countdown));
}

}  // namespace

void after_commands(Context& context, std::function<void()> what) {
  auto countdown = std::make_shared<Countdown>();
  countdown->what = std::move(what);
  for (const Ref<Queue>& queue : context.session().queues_of(context)) {
    if (queue->idle()) continue;
    try {
      post_marker(*queue, countdown);
    } catch (const ApiError&) {  // a queue that takes no commands has none either
    }
  }
  countdown->count();
}

}  // namespace tessera::client

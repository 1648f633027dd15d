// SPDX-License-Identifier: Apache-2.0
//
// Command buffers: recording waits for nothing, and a launch is one message.
#include "tests/conformance/command_buffers.h"
#include "tests/conformance/roundtrips.h"

namespace tessera::conformance {
namespace {

constexpr std::size_t kOrigin[3] = {0, 0, 0};
constexpr std::size_t kRegion[3] = {8, 8, 1};
constexpr std::size_t kItems = 16;
constexpr int kCommands = 200;
constexpr int kLaunches = 50;
constexpr cl_uint kOne = 1;
constexpr cl_float kColor[4] = {};
constexpr cl_properties kSimultaneous = 1;

CommandBuffer& kept() {
  static CommandBuffer buffer;
  return buffer;
}
void start(World& w) {
  kept() = new_command_buffer(w, w.queue, kSimultaneous);
}
void fill_and_finalize(World& w) {
  start(w);
  for (int i = 0; i < kCommands; ++i) {
    OK(command_buffers(w).nd_range(kept(), nullptr, nullptr, w.add_one, 1, nullptr, &kItems,
                                   nullptr, 0, nullptr, nullptr, nullptr));
  }
  OK(command_buffers(w).finalize(kept()));
}
void drop(World&) {
  kept().reset();
}

void launch(World& w, int times) {
  for (int i = 0; i < times; ++i) {
    OK(command_buffers(w).enqueue(0, nullptr, kept(), 0, nullptr, nullptr));
  }
}

}  // namespace

std::vector<CountedCall> command_buffer_calls() {
#define RECORD(entry, function, ...)                                                  \
  {                                                                                   \
#entry, 0, [](World & w) {                                                          \
      OK(command_buffers(w).function(kept(), nullptr, __VA_ARGS__, 0, nullptr, nullptr, \
                                     nullptr));                                         \
    }, start, drop, 1 \
  }
  return {
      {"clCreateCommandBufferKHR", 0, start, {}, drop, 1},
      {"clReleaseCommandBufferKHR", 0, drop, start},
      {"clFinalizeCommandBufferKHR", 0, [](World& w) { OK(command_buffers(w).finalize(kept())); },
       start, drop, 1},
      {"clCommandBarrierWithWaitListKHR", 0,
       [](World& w) {
         OK(command_buffers(w).barrier(kept(), nullptr, 0, nullptr, nullptr, nullptr));
       },
       start, drop, 1},
      RECORD(clCommandCopyBufferKHR, copy_buffer, w.buf, w.dst, 0, 0, 64),
      RECORD(clCommandCopyBufferRectKHR, copy_rect, w.buf, w.dst, kOrigin, kOrigin, kRegion, 0, 0,
             0, 0),
      RECORD(clCommandCopyBufferToImageKHR, copy_buffer_to_image, w.buf, w.image, 0, kOrigin,
             kRegion),
      RECORD(clCommandCopyImageKHR, copy_image, w.image, w.dst_image, kOrigin, kOrigin, kRegion),
      RECORD(clCommandCopyImageToBufferKHR, copy_image_to_buffer, w.image, w.dst, kOrigin, kRegion,
             0),
      RECORD(clCommandFillBufferKHR, fill_buffer, w.dst, &kOne, 4, 0, 64),
      RECORD(clCommandFillImageKHR, fill_image, w.dst_image, kColor, kOrigin, kRegion),
      RECORD(clCommandNDRangeKernelKHR, nd_range, nullptr, w.add_one, 1, nullptr, &kItems, nullptr),
      {"clEnqueueCommandBufferKHR", 0, [](World& w) { launch(w, 1); }, fill_and_finalize, drop, 1},
      {"clEnqueueCommandBufferKHR:many", 0, [](World& w) { launch(w, kLaunches); },
       fill_and_finalize, drop, kLaunches},
      // What it was waited for is known, so a second launch asks nothing.
      {"clEnqueueCommandBufferKHR:again", 1,
       [](World& w) {
         launch(w, 1);
         OK(clFinish(w.queue));
         launch(w, 1);
       },
       [](World& w) {
         kept() = new_command_buffer(w, w.queue);
         OK(command_buffers(w).finalize(kept()));
       },
       drop},
      {"clGetCommandBufferInfoKHR", 1,
       [](World& w) {
         cl_uint state = 0;
         OK(command_buffers(w).info(kept(), CL_COMMAND_BUFFER_STATE_KHR, sizeof state, &state,
                                    nullptr));
       },
       [](World& w) {
         fill_and_finalize(w);
         launch(w, 1);
       },
       drop},
  };
#undef RECORD
}

}  // namespace tessera::conformance

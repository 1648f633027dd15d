// SPDX-License-Identifier: Apache-2.0
#include "tests/conformance/command_buffers.h"

namespace tessera::conformance {
namespace {

template <class Function>
void find(const World& w, const char* name, Function& function) {
  function = reinterpret_cast<Function>(clGetExtensionFunctionAddressForPlatform(w.platform, name));
  if (function == nullptr) throw Failure("NULL", "a function", name);
}

CommandBuffers find_all(const World& w) {
  CommandBuffers f{};
  find(w, "clCreateCommandBufferKHR", f.create);
  find(w, "clFinalizeCommandBufferKHR", f.finalize);
  find(w, "clRetainCommandBufferKHR", f.retain);
  find(w, "clReleaseCommandBufferKHR", f.release);
  find(w, "clEnqueueCommandBufferKHR", f.enqueue);
  find(w, "clCommandBarrierWithWaitListKHR", f.barrier);
  find(w, "clCommandCopyBufferKHR", f.copy_buffer);
  find(w, "clCommandCopyBufferRectKHR", f.copy_rect);
  find(w, "clCommandCopyBufferToImageKHR", f.copy_buffer_to_image);
  find(w, "clCommandCopyImageKHR", f.copy_image);
  find(w, "clCommandCopyImageToBufferKHR", f.copy_image_to_buffer);
  find(w, "clCommandFillBufferKHR", f.fill_buffer);
  find(w, "clCommandFillImageKHR", f.fill_image);
  find(w, "clCommandNDRangeKernelKHR", f.nd_range);
  find(w, "clGetCommandBufferInfoKHR", f.info);
  return f;
}

}  // namespace

const CommandBuffers& command_buffers(const World& w) {
  const std::string list = " " + device_text(w.device, CL_DEVICE_EXTENSIONS) + " ";
  if (list.find(" cl_khr_command_buffer ") == list.npos) throw Skip("no command buffers");
  static const CommandBuffers functions = find_all(w);
  return functions;
}

cl_int release_command_buffer(cl_command_buffer_khr buffer) {
  return command_buffers(world()).release(buffer);
}

CommandBuffer new_command_buffer(const World& w, cl_command_queue queue, cl_properties flags) {
  const cl_properties list[] = {CL_COMMAND_BUFFER_FLAGS_KHR, flags, 0};
  cl_int e = 1;
  CommandBuffer made(command_buffers(w).create(1, &queue, flags != 0 ? list : nullptr, &e));
  OK(e);
  return made;
}

}  // namespace tessera::conformance

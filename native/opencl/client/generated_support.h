// SPDX-License-Identifier: Apache-2.0
//
// What the generated entry points are written with.
#pragma once

#include "generated/messages_buffer.h"
#include "generated/messages_event.h"
#include "generated/messages_image.h"
#include "opencl/client/checks.h"
#include "opencl/client/command.h"
#include "opencl/client/command_buffer.h"
#include "opencl/client/context.h"
#include "opencl/client/kernel.h"
#include "opencl/client/program.h"
#include "opencl/client/sampler.h"

namespace tessera::client {

inline wire::Id3 triple(const size_t* from) {
  return {from[0], from[1], from[2]};
}
inline wire::Blob bytes(const void* from, size_t size) {
  return {static_cast<const std::byte*>(from), size};
}

template <class T>
void retain_reference(T& object) {
  object.retain();
}
template <class T>
void release_reference(T& object) {
  if (object.release()) object.drop();
}
// A queue's last release flushes it, even while events still hold it.
void release_reference(Queue& queue);
// The program waits for the destructor callbacks of a buffer or image, perhaps without another
// call.
void release_reference(Mem& mem);
// The lease's devices are not counted.
inline void retain_reference(Device& device) {
  if (device.is_sub_device()) device.retain();
}
inline void release_reference(Device& device) {
  if (device.is_sub_device() && device.release()) device.drop();
}

}  // namespace tessera::client

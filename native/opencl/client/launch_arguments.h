// SPDX-License-Identifier: Apache-2.0
//
// The arguments that a launch brings with it: those of its kernel that the worker has not got yet.
// On the stack, and bounded, so that every launch fits its message. Holds the kernel's lock until
// the launch is sent, if there are any: another thread's launch must not overtake it without them.
#pragma once

#include <array>
#include <mutex>

#include "generated/messages_kernel.h"
#include "opencl/client/kernel.h"

namespace tessera::client {

class LaunchArguments {
 public:
  // Sends those for which there is no room before the launch.
  explicit LaunchArguments(Kernel& kernel);
  LaunchArguments(const LaunchArguments&) = delete;
  LaunchArguments& operator=(const LaunchArguments&) = delete;

  // The message refers to this object from then on.
  void put_into(wire::EnqueueNdRange& message) const;
  // The message was sent.
  void sent();

 private:
  static constexpr std::size_t kMost = 64;
  static constexpr std::size_t kMostBytes = KernelArgument::kMostBytesTogether;

  // False where there is no room.
  bool add(cl_uint index, const KernelArgument& argument);

  Kernel& kernel_;
  std::unique_lock<std::mutex> lock_;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
  // Deliberately not cleared: the counts say which part was written.
  std::array<std::uint32_t, kMost> indices_;
  std::array<std::uint32_t, kMost> kinds_;
  std::array<std::uint64_t, kMost> numbers_;
  std::array<std::byte, kMostBytes> values_;
};

}  // namespace tessera::client

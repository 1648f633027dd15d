// SPDX-License-Identifier: Apache-2.0
//
// A queue numbers its commands in the order in which they are sent. What is complete is known from
// an answer about a later moment: after a finish everything that was sent before it is.
#pragma once

#include <atomic>
#include <mutex>
#include <set>
#include <vector>

#include "opencl/client/context.h"
#include "opencl/client/object.h"

namespace tessera::client {

class Queue final : public Typed<Queue> {
 public:
  Queue(Session& session, Context& context, Device& device, cl_command_queue_properties properties,
        std::vector<cl_queue_properties> given);
  ~Queue();

  Context& context() const { return *context_; }
  Device& device() const { return device_; }
  cl_command_queue_properties properties() const { return properties_; }
  const std::vector<cl_queue_properties>& given() const { return given_; }
  bool in_order() const { return (properties_ & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) == 0; }
  bool profiling() const { return (properties_ & CL_QUEUE_PROFILING_ENABLE) != 0; }

  // Held while a command is numbered and sent, so that the numbers follow the order on the wire.
  std::mutex& order() { return order_; }
  std::uint64_t number_next() { return sent_.fetch_add(1, std::memory_order_relaxed) + 1; }
  std::uint64_t sent() const { return sent_.load(std::memory_order_relaxed); }
  bool is_complete(std::uint64_t number) const {
    return complete_.load(std::memory_order_acquire) >= number;
  }
  void set_complete(std::uint64_t number) noexcept;
  // The command is complete, and so is the queue up to it, if it was up to the one before.
  void set_complete_after_all(std::uint64_t number) noexcept {
    if (in_order() || is_complete(number - 1)) set_complete(number);
  }
  bool idle() const { return is_complete(sent()); }

  // A queue of the same device, in order, for transfers that the client adds.
  Ref<Queue> transfers();

  // Reads whose bytes have not arrived, by the number of their command.
  void read_begins(std::uint64_t number);
  void read_ends(std::uint64_t number) noexcept;
  // The bytes of every read up to this command are in the program's memory.
  bool reads_arrived(std::uint64_t number);

 private:
  Ref<Context> context_;
  Device& device_;
  cl_command_queue_properties properties_;
  std::vector<cl_queue_properties> given_;  // with the closing 0, or empty
  std::mutex order_;
  std::atomic<std::uint64_t> sent_{0};
  std::atomic<std::uint64_t> complete_{0};
  std::mutex reads_mutex_;
  std::multiset<std::uint64_t> reads_;
  std::atomic<std::size_t> read_count_{0};
  std::mutex transfers_mutex_;
  Ref<Queue> transfers_;  // made when first needed
};

// Waits until everything sent so far is complete and its bytes are here: one round trip. Returns
// what the worker has to report of commands that failed, or CL_SUCCESS. Throws SessionLost.
cl_int finish(Queue& queue);

}  // namespace tessera::client

// SPDX-License-Identifier: Apache-2.0
//
// What the tests of suspend and resume have in common: a session with a queue, a file to keep its
// state in, and short ways to say what is sent.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "check.h"
#include "opencl/worker/state.h"
#include "worker/worker_pair.h"

namespace tessera::test {

inline constexpr wire::Id kContext = 1;
inline constexpr wire::Id kQueue = 2;
inline constexpr wire::Id kBuffer = 3;

// A folder of its own, removed with what is in it.
class StateFolder {
 public:
  StateFolder() {
    CHECK(::mkdtemp(folder_.data()) != nullptr);
    path_ = folder_ + "/session.state";
  }
  StateFolder(const StateFolder&) = delete;
  StateFolder& operator=(const StateFolder&) = delete;
  ~StateFolder() {
    ::unlink(path_.c_str());
    ::rmdir(folder_.c_str());
  }
  const std::string& path() const { return path_; }
  bool has_state() const { return ::access(path_.c_str(), F_OK) == 0; }

 private:
  std::string folder_ = "/tmp/tessera-state-XXXXXX";
  std::string path_;
};

// Empty: in memory.
inline worker::StateNeeds suspend(WorkerPair& pair, const std::string& path = "") {
  return pair.session().suspend({path, "test"});
}

inline void resume(WorkerPair& pair) {
  pair.session().resume({});
}

// The name of the error that `call` ends with; fails the test where it ends well.
template <class F>
std::string error_of(F&& call) {
  try {
    call();
  } catch (const worker::StateError& error) {
    CHECK(*error.what() != '\0');
    return error.name();
  }
  CHECK(!"an error was expected");
  return {};
}

inline std::vector<std::byte> pattern(std::size_t size, int seed = 1) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>(i * 7 + static_cast<std::size_t>(seed) + (i >> 12));
  }
  return bytes;
}

inline void begin(WorkerPair& pair, cl_command_queue_properties properties = 0) {
  pair.open();
  pair.make_queue(kContext, kQueue, properties);
}

inline void create_buffer(WorkerPair& pair, wire::Id id, std::uint64_t size) {
  wire::CreateBuffer message;
  message.buffer = id;
  message.context = kContext;
  message.size = size;
  pair.send(message);
}

inline void write(WorkerPair& pair, wire::Id buffer, std::span<const std::byte> bytes,
                  std::span<const wire::Id> waits = {}, wire::Id event = 0) {
  wire::WriteBuffer message;
  message.queue = kQueue;
  message.buffer = buffer;
  message.wait_list = waits;
  message.event = event;
  pair.send(message, bytes);
}

inline wire::ReadBuffer read_of(wire::Id buffer, std::uint64_t size, std::uint64_t ticket) {
  wire::ReadBuffer message;
  message.queue = kQueue;
  message.buffer = buffer;
  message.size = size;
  message.ticket = ticket;
  message.blocking = 1;
  return message;
}

inline std::vector<std::byte> read(WorkerPair& pair, wire::Id buffer, std::uint64_t size) {
  pair.send(read_of(buffer, size, 77));
  const auto done = pair.until<wire::ReadDone>();
  CHECK(done.status == CL_SUCCESS && done.ticket == 77);
  return pair.bulk();
}

inline void create_user_event(WorkerPair& pair, wire::Id id) {
  wire::CreateUserEvent message;
  message.event = id;
  message.context = kContext;
  pair.send(message);
}

inline void set_user_event(WorkerPair& pair, wire::Id id, cl_int status = CL_COMPLETE) {
  wire::SetUserEventStatus message;
  message.event = id;
  message.status = status;
  pair.send(message);
}

inline void release(WorkerPair& pair, wire::Id id) {
  wire::Release message;
  message.target = id;
  pair.send(message);
}

inline std::uint64_t finish(WorkerPair& pair) {
  wire::FinishQueue message;
  message.queue = kQueue;
  return pair.send(message);
}

inline cl_int finished(WorkerPair& pair) {
  const std::uint64_t sequence = finish(pair);
  const auto reply = pair.until<wire::Reply>();
  CHECK(reply.of == sequence);
  return reply.status;
}

// Every message sent so far has been handled.
inline void settle(WorkerPair& pair) {
  wire::GetDeviceAndHostTimer message;
  const std::uint64_t sequence = pair.send(message);
  CHECK(pair.until<wire::Reply>().of == sequence);
}

}  // namespace tessera::test

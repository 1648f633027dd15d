// SPDX-License-Identifier: Apache-2.0
//
// Joins a port, which carries frames, to somebody's descriptors, which carry plain bytes.
//
// The same code runs on both ends of a port: in the guest for a program's connection to its GPU and
// for its standard streams, on the host for the connection to the lease's gatekeeper. What a socket
// says by hanging up, a lane says by `close`, in order: what was sent before it still arrives. Each
// side says it once, and the port is free for the next program when both have, so that no byte of
// one connection can be taken for one of the next.
//
// Nothing here waits. A lane reads from one side only when what it read before has gone out on the
// other, so whoever is slow slows its own peer down and nobody else, and a lane holds a bounded
// number of bytes. (Credits were refused: a port is a lane of its own already, with QEMU's and the
// guest kernel's queues behind it.)
//
// Bulk goes by shared memory where there is some (window.h). A lane whose slots are all lent waits
// for one to come back, unless it does not listen to its port at that moment, because what came
// from there waits for its sink: then it writes to the port, so that one direction never waits for
// the other.
#pragma once

#include <poll.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/unique_fd.h"
#include "guest/frame.h"
#include "guest/window.h"

namespace tessera::guest {

class Lane {
 public:
  static constexpr std::size_t kEntries = 3;  // that watch() appends

  // Called when the other end says `open`: a socket that does not block, or none to refuse.
  using Connect = std::function<UniqueFd()>;

  // `port` must not block, and belongs to somebody who keeps it open. Without `connect`, only this
  // end may open.
  explicit Lane(int port, Connect connect = {}, Slots slots = {});

  // Nobody is joined, and the other end knows it.
  bool free() const { return state_ == State::free && end_ == 0; }
  // Joins descriptors that do not block: what comes out of `source` goes to the port, what comes
  // from the port goes to `sink`. Either may be none. Both ends know of it: nothing is said.
  void join(UniqueFd source, UniqueFd sink);
  // Joins a socket, and says `open`.
  void open(UniqueFd socket);
  // What can be read from the source now is the last of it.
  void finish();

  void watch(std::vector<pollfd>& entries) const;
  // Does what can be done without waiting, after a poll of watch()'s entries. Throws BadFrame, or
  // std::system_error when the port is gone.
  void serve(std::span<const pollfd> entries);

 private:
  static constexpr std::size_t kAnswer = 8 * kHeader;  // more than is said to one frame

  enum class State { free, joined, left };  // left: we said `close`, they did not yet

  bool sink_waits() const { return !pending_.empty(); }
  bool can_read_source() const;
  // There is room for what is answered. A frame of data that waits for its way out does not count:
  // two lanes that both wait so must listen, or neither goes on.
  bool port_may_speak() const { return !sink_waits() && output_.size() - end_ >= kAnswer; }
  void say(Kind kind, std::span<const std::uint32_t> numbers = {});
  void leave();
  void drop();
  void read_source();
  void read_into_frame();
  void read_into_slot(std::uint32_t slot);
  void take_source(ssize_t got);
  void write_port();
  void read_port();
  void decode();
  void take(const Frame& frame);
  void take_open();
  void take_close();
  void take_lent(std::uint32_t slot, std::uint32_t bytes);
  void take_returned(std::uint32_t slot);
  std::size_t give_sink(std::span<const std::byte> bytes);
  void write_sink();
  void return_slot();

  const int port_;
  const Connect connect_;
  const Slots slots_;
  Lent lent_;
  State state_ = State::free;
  UniqueFd source_, sink_;
  bool finishing_ = false;
  std::size_t left_to_finish_ = 0;  // bytes
  FrameDecoder decoder_;
  std::vector<std::byte> output_;  // frames on their way to the port: from begin_ to end_
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::span<const std::byte> pending_;  // plain bytes on their way to the sink, in kept_ or a slot
  std::vector<std::byte> kept_;
  std::optional<std::uint32_t> borrowed_;  // the slot that they are in
};

}  // namespace tessera::guest

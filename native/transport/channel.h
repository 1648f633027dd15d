// SPDX-License-Identifier: Apache-2.0
//
// A channel: one session's way between client and worker, whatever carries it.
//
// A message is an opcode, a sequence number, `fields` (small, encoded by generated code) and an
// optional `bulk` (user data, up to kMaxBulk bytes). Fields are always a private copy at the
// receiver: nothing is parsed where the other side can still write. Bulk may lie in shared memory,
// is never interpreted, and may change under the reader's hands if the peer is hostile.
//
// Why bulk is reserved before it is sent: over shared memory the payload is written once, straight
// into the arena that the peer reads from. An interface that takes a pointer and copies was
// refused: it costs the worker one more copy of every read.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace tessera {

inline constexpr std::uint32_t kProtocolVersion = 1;
inline constexpr std::size_t kMaxFields = 64 * 1024;       // bytes
inline constexpr std::size_t kMaxBulk = 16 * 1024 * 1024;  // bytes, one message
inline constexpr std::size_t kPiece = 1024 * 1024;         // bytes, large copies are cut into these

enum class TransportKind : std::uint32_t { shm = 1, unix_stream = 2, tcp_stream = 3 };

// The peer is gone, or broke the framing. Every later use of the channel throws it again.
class ChannelClosed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The session could not be opened: no listener, wrong token, other protocol version, lease full.
class ConnectError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Memory for one payload. On the sending side it is writable and goes back unused when dropped; on
// the receiving side dropping it tells the sender that the bytes were consumed. May outlive the
// message and be dropped by any thread; must not outlive the channel.
class Bulk {
 public:
  using Release = void (*)(void* owner, std::uint64_t token) noexcept;
  Bulk() = default;
  Bulk(std::byte* data, std::size_t size, Release release, void* owner, std::uint64_t token)
      : data_(data), size_(size), release_(release), owner_(owner), token_(token) {}
  Bulk(Bulk&& other) noexcept { swap(other); }
  Bulk& operator=(Bulk&& other) noexcept {
    Bulk(std::move(other)).swap(*this);
    return *this;
  }
  ~Bulk() { reset(); }

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  explicit operator bool() const { return data_ != nullptr; }
  std::uint64_t token() const { return token_; }
  // By this the receiver may know where the bytes belong (on_place); it is not asked for 0. On the
  // receiving side 0 unless they lie there.
  std::uint64_t tag() const { return tag_; }
  void set_tag(std::uint64_t tag) { tag_ = tag; }

  void reset() noexcept {
    if (release_ != nullptr) release_(owner_, token_);
    forget();
  }
  // The channel takes over the memory (it was sent).
  void forget() noexcept {
    data_ = nullptr;
    size_ = 0;
    release_ = nullptr;
    tag_ = 0;
  }
  void swap(Bulk& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(release_, other.release_);
    std::swap(owner_, other.owner_);
    std::swap(token_, other.token_);
    std::swap(tag_, other.tag_);
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  Release release_ = nullptr;
  void* owner_ = nullptr;
  std::uint64_t token_ = 0;
  std::uint64_t tag_ = 0;
};

struct Incoming {
  std::uint16_t opcode = 0;
  std::uint64_t sequence = 0;
  std::span<const std::byte> fields;  // 8-aligned, private, valid until the next receive()
  Bulk bulk;
};

// How long a nap is, unless the channel is told (nap_for).
inline constexpr std::chrono::nanoseconds kShortNap = std::chrono::microseconds(500);

// How a receiver waits. `spin` = may burn its core for a bounded, adaptive time before it sleeps; a
// caller that knows the device to be busy says no, because the embedded device computes on these
// cores. `nap` = a message that nobody waits for may lie for a moment, so that its sender does not
// pay for waking the receiver: for who has given the device enough to do.
struct Wait {
  std::chrono::nanoseconds timeout;
  bool spin;
  bool nap = false;
};

enum class Received { message, timeout };

// Monotonic, single-session totals; read by any thread.
struct ChannelCounters {
  std::uint64_t messages_sent, messages_received, bytes_sent, bytes_received, wakes, sleeps;
};

class Channel {
 public:
  virtual ~Channel() = default;
  virtual TransportKind kind() const = 0;

  // Memory for a payload of `bytes` (1..kMaxBulk). Blocks while the window is full. Throws
  // ChannelClosed.
  virtual Bulk reserve(std::size_t bytes) = 0;
  // Like reserve(), but the payload is `bytes` where they are; they must stay until send() returns.
  // Empty where the carrier cannot send from foreign memory: then reserve and copy.
  virtual Bulk lend(std::span<const std::byte> /*bytes*/) { return {}; }
  // Bytes of payloads that a large transfer in pieces should have under way at a time.
  virtual std::size_t bulk_ahead() const = 0;
  // Sends one message and returns its sequence number (1, 2, ... for each direction). Any thread;
  // messages of one thread stay in order. The peer is woken if it sleeps, though not out of a nap;
  // a stream may hold small messages back for at most its buffer until flush(). Blocks while the
  // window is full. Throws ChannelClosed.
  virtual std::uint64_t send(std::uint16_t opcode, std::span<const std::byte> fields,
                             Bulk bulk = {}) = 0;
  // Everything sent so far leaves now.
  virtual void flush() = 0;

  // Takes the next message. One thread at a time (the caller's business). Throws ChannelClosed when
  // the peer is gone and everything it sent has been received.
  virtual Received receive(Incoming& into, Wait wait) = 0;
  // Asked at the beginning of each nap, by the receiving thread, and called when one has ended
  // without a message. To be set before the first receive(); carriers that know no naps take no
  // notice.
  virtual void nap_for(std::function<std::chrono::nanoseconds()> /*length*/,
                       std::function<void()> /*ended*/ = {}) {}
  // Ends a receive() that waits in another thread, early and with `timeout`; any thread. Where none
  // waits, the next one does not wait.
  virtual void interrupt() = 0;
  // The same in no hurry: a nap is left to end by itself, unless a receiver that waits anew and may
  // spin would likely get a message in the spin.
  virtual void nudge() { interrupt(); }

  // Called again and again while send() or reserve() waits for room. The client drains what the
  // worker sent in it: the worker may itself wait for room, and one of the two has to give way.
  // The handler may receive but must not send or reserve; several senders may run it at once.
  virtual void on_stall(std::function<void()> handler) = 0;

  // Where the bytes of a payload that the peer tagged belong, or nullptr to have them in memory of
  // the channel; asked once for each payload, before its first byte. The bytes may be written there
  // until a message with this bulk and tag is received, or close() returns. The handler may not use
  // the channel.
  using Place = std::function<std::byte*(std::uint64_t tag, std::size_t bytes)>;
  virtual void on_place(Place /*place*/) {}

  // Readable or hung up when the peer's process is gone (never read from it).
  virtual int liveness_fd() const = 0;
  // Ends the session for both sides; any thread; receive() and send() then throw. No byte is
  // written to a place of on_place() any more when it returns.
  virtual void close() noexcept = 0;
  // After fork(), in the child: forget everything without telling the peer or touching shared
  // state.
  virtual void abandon_after_fork() noexcept = 0;
  virtual ChannelCounters counters() const = 0;

  // Descriptors beside the messages; only shared memory carries them. The descriptor is sent before
  // the message that names it by its tag, and taken after that message was received. Any thread.
  virtual bool passes_descriptors() const { return false; }
  // Sends a copy of `fd`; false if it could not leave now.
  virtual bool send_descriptor(std::uint64_t /*tag*/, int /*fd*/) { return false; }
  // Empty if the peer sent none under this tag.
  virtual UniqueFd take_descriptor(std::uint64_t /*tag*/) { return {}; }
};

// Client side. `endpoint` = shm:PATH | unix:PATH | tcp:HOST:PORT; `token` = 32 bytes for tcp, else
// empty. Throws ConnectError with a sentence that names the cause and what to do.
std::unique_ptr<Channel> connect_channel(std::string_view endpoint,
                                         std::span<const std::byte> token);

// Worker side, on an accepted socket: reads the hello (at most 5 s), checks version and token
// (`token` empty = none asked, which only a unix socket may have), sets up what the client asked
// for. `client_pid` receives what the kernel says of the peer (SO_PEERCRED), 0 over TCP.
// Takes `fd` over, also when it throws ConnectError (the client has then been told why).
std::unique_ptr<Channel> accept_channel(int fd, std::span<const std::byte> token,
                                        std::int32_t* client_pid);

}  // namespace tessera

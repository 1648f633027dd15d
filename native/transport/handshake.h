// SPDX-License-Identifier: Apache-2.0
//
// How a session begins: one hello from the client, one reply from the worker, 64 bytes each.
//
// The first 16 bytes of both (magic and version; for the reply also the status) keep their meaning
// in every version, so that two versions can still tell each other why they do not talk. The worker
// reads exactly one hello, for a bounded time, and compares the token in constant time. Shared
// memory comes with the reply, as a descriptor.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "transport/channel.h"

namespace tessera {

inline constexpr std::size_t kTokenBytes = 32;

enum class HelloStatus : std::uint32_t {
  ok = 0,
  version = 1,    // the worker speaks another protocol version
  token = 2,      // the token is missing or wrong
  transport = 3,  // not over this socket
  full = 4,       // the lease has no room for another session
  malformed = 5,  // not a hello
  failed = 6,     // the worker could not set the session up
};

struct Hello {
  static constexpr std::uint64_t kMagic = 0x4f4c4c4548525354;  // "TSRHELLO" in memory order
  std::uint64_t magic = kMagic;
  std::uint32_t version = kProtocolVersion;
  TransportKind transport = TransportKind::shm;
  std::uint32_t token_bytes = 0;  // 0 or kTokenBytes
  std::uint32_t reserved = 0;
  std::array<std::byte, kTokenBytes> token{};
  std::uint64_t reserved_end = 0;
};
static_assert(sizeof(Hello) == 64);

struct HelloReply {
  static constexpr std::uint64_t kMagic = 0x594c504552525354;  // "TSRREPLY" in memory order
  std::uint64_t magic = kMagic;
  std::uint32_t version = kProtocolVersion;
  HelloStatus status = HelloStatus::ok;
  std::uint64_t region_bytes = 0;  // of the memfd that comes along; 0 for streams
  std::array<std::uint64_t, 5> reserved{};
};
static_assert(sizeof(HelloReply) == 64);

// Does `hello` open a session on this kind of socket? An empty `token` asks for none, which is
// never enough over TCP.
HelloStatus judge_hello(const Hello& hello, bool over_tcp, std::span<const std::byte> token);

// Tells a client on a freshly accepted socket why it is not served, without waiting for it, and
// closes `fd`. For a gatekeeper whose lease is full.
void refuse_channel(int fd, HelloStatus status) noexcept;

// What the client is told for a refusal, as a sentence that names the cause and what to do.
std::string refusal_sentence(HelloStatus status, std::uint32_t peer_version);

// Whole-buffer transfers; false when the peer hung up or the deadline passed (errno = ETIMEDOUT).
bool write_all(int socket, std::span<const std::byte> bytes, const Deadline& deadline);
bool read_all(int socket, std::span<std::byte> bytes, const Deadline& deadline);

// The reply, with a descriptor when `passed` is not negative.
bool write_reply(int socket, const HelloReply& reply, int passed, const Deadline& deadline);
bool read_reply(int socket, HelloReply& reply, UniqueFd& passed, const Deadline& deadline);

}  // namespace tessera

// SPDX-License-Identifier: Apache-2.0
//
// The control socket of a lease: how the daemon tells a gatekeeper to do something.
//
// A connection carries one request, a line of words, and one answer: a line that begins with `ok`,
// or with `error CAUSE`. Plain text, because a person with `socat` should be able to ask when all
// else is broken, and because there is nothing to version: an unknown word is an error with a name.
// One request for each connection was chosen over a conversation: an answer that takes its time
// belongs to its own connection, and nothing has to be numbered.
//
// The gatekeeper has one thread and its clients wait for it, so nothing here ever waits: sockets do
// not block, lines and peers are bounded, and who does not speak or listen is dropped. A command
// may take its time all the same: its handler keeps the Answer and gives it later, from the same
// thread.
//
// Who may ask: processes of the gatekeeper's own user and of root, as the kernel tells
// (SO_PEERCRED). The socket's mode says the same, but a mode can be changed by mistake.
#pragma once

#include <poll.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gatekeeper/listener.h"

namespace tessera::gatekeeper {

inline constexpr std::size_t kMaxControlLine = 4096;  // request or answer, with its newline
inline constexpr std::size_t kMaxControlPeers = 16;
// For the request's line to come, and again for the answer's to be taken. Each fits a socket's
// buffer, so a peer that means well needs next to nothing of it.
inline constexpr std::chrono::milliseconds kControlPatience{5000};

struct ControlPeer;
class ControlPeers;

// The right to answer one request, once. Move-only. Dropping it unused tells the peer so. A peer
// that has left in the meantime is no error: its answer goes nowhere.
class Answer {
 public:
  Answer(std::weak_ptr<ControlPeers> peers, std::uint64_t peer)
      : peers_(std::move(peers)), peer_(peer) {}
  Answer(Answer&& other) noexcept = default;
  Answer& operator=(Answer&& other) noexcept;
  ~Answer();

  // `text` may be empty.
  void ok(std::string_view text = {});
  // `cause`: one word for programs; `text`: the rest, for people.
  void error(std::string_view cause, std::string_view text);

 private:
  void give(std::string line);
  std::weak_ptr<ControlPeers> peers_;  // empty once the answer was given
  std::uint64_t peer_;
};

using Words = std::span<const std::string_view>;

// Thrown by a command for words that do not have its form.
class WrongForm : public std::exception {};

// One word that can be asked for.
struct Command {
  std::string_view name;
  std::string_view form;  // the whole request, as told to who asks wrongly
  // Gets the words behind the name, which live for the call only. Must not wait: it answers, or
  // moves the answer away to give it later. What it throws is answered as `error failed`.
  std::function<void(Words words, Answer& answer)> run;
};

class Control {
 public:
  // Listens at `path`. Throws as UnixListener does.
  Control(std::string path, std::vector<Command> commands,
          std::chrono::milliseconds patience = kControlPatience);
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  // The gatekeeper's poll loop waits for what watch() appends (the listening socket first), no
  // longer than wait_ms(), and hands the same entries to serve(). -1 ms: no limit.
  void watch(std::vector<pollfd>& entries) const;
  int wait_ms(int limit_ms) const;
  // False when the machine has no descriptor for a new peer at the moment.
  bool serve(std::span<const pollfd> entries);

 private:
  bool admit();
  void attend(ControlPeer& peer);
  void listen_to(ControlPeer& peer);
  void run(std::string_view line, Answer answer);

  UnixListener listener_;
  std::vector<Command> commands_;
  std::shared_ptr<ControlPeers> peers_;
};

}  // namespace tessera::gatekeeper

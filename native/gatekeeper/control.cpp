// SPDX-License-Identifier: Apache-2.0
#include "gatekeeper/control.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "gatekeeper/control_peers.h"

namespace tessera::gatekeeper {
namespace {

using Stage = ControlPeer::Stage;

bool may_ask(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == ::geteuid() || peer.uid == 0;
}

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const std::size_t end = std::min(line.find(' '), line.size());
    if (end > 0) words.push_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return words;
}

bool try_later() {
  return errno == EAGAIN || errno == EINTR;
}

bool out_of_descriptors() {
  return errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
}

}  // namespace

Answer& Answer::operator=(Answer&& other) noexcept {
  std::swap(peers_, other.peers_);
  std::swap(peer_, other.peer_);
  return *this;
}

Answer::~Answer() {
  if (!peers_.expired()) error("failed", "the command gave no answer");
}

void Answer::ok(std::string_view text) {
  give(text.empty() ? "ok" : "ok " + std::string(text));
}

void Answer::error(std::string_view cause, std::string_view text) {
  give("error " + std::string(cause) + " " + std::string(text));
}

void Answer::give(std::string line) {
  std::ranges::replace(line, '\n', ' ');
  line.resize(std::min(line.size(), kMaxControlLine - 1));
  line += '\n';
  const auto peers = std::exchange(peers_, {}).lock();
  if (peers) peers->answer(peer_, std::move(line));
}

Control::Control(std::string path, std::vector<Command> commands,
                 std::chrono::milliseconds patience)
    : listener_(std::move(path)),
      commands_(std::move(commands)),
      peers_(std::make_shared<ControlPeers>(patience)) {}

Control::~Control() = default;

void Control::watch(std::vector<pollfd>& entries) const {
  // Those that find no place wait in the backlog.
  entries.push_back({peers_->full() ? -1 : listener_.fd(), POLLIN, 0});
  for (const ControlPeer& peer : peers_->all()) {
    // The hang-up of one that waits is reported without being asked for.
    const int events = peer.stage == Stage::asks      ? POLLIN
                       : peer.stage == Stage::is_told ? POLLOUT
                                                      : 0;
    entries.push_back({peer.fd.get(), static_cast<short>(events), 0});
  }
}

int Control::wait_ms(int limit_ms) const {
  for (const ControlPeer& peer : peers_->all()) {
    if (peer.stage == Stage::waits) continue;
    // Rounded up: a poll that ends just before the limit would spin until it.
    const auto left = static_cast<int>(peer.deadline.left_ns() / 1'000'000 + 1);
    limit_ms = limit_ms < 0 ? left : std::min(limit_ms, left);
  }
  return limit_ms;
}

bool Control::serve(std::span<const pollfd> entries) {
  // Serving one may drop it, so those that were polled are found again by number.
  std::vector<std::uint64_t> ready;
  for (std::size_t i = 1; i < entries.size(); ++i) {
    if (entries[i].revents != 0) ready.push_back(peers_->all()[i - 1].number);
  }
  for (const std::uint64_t number : ready) attend(*peers_->find(number));
  peers_->drop_late();
  return entries[0].revents == 0 || admit();
}

bool Control::admit() {
  while (!peers_->full()) {
    UniqueFd peer(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (peer) {
      if (may_ask(peer.get())) peers_->add(std::move(peer));
    } else if (out_of_descriptors()) {
      return false;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return true;
    }
  }
  return true;
}

void Control::attend(ControlPeer& peer) {
  if (peer.stage == Stage::asks) return listen_to(peer);
  if (peer.stage == Stage::waits) return peers_->drop(peer.number);
  const ssize_t sent = ::send(peer.fd.get(), peer.line.data(), peer.line.size(), MSG_NOSIGNAL);
  if (sent < 0 && try_later()) return;
  if (sent >= 0) peer.line.erase(0, static_cast<std::size_t>(sent));
  if (sent < 0 || peer.line.empty()) peers_->drop(peer.number);
}

void Control::listen_to(ControlPeer& peer) {
  std::array<char, kMaxControlLine> data;
  const std::size_t room = kMaxControlLine - peer.line.size();
  const ssize_t got = ::recv(peer.fd.get(), data.data(), room, 0);
  if (got < 0 && try_later()) return;
  if (got <= 0) return peers_->drop(peer.number);
  peer.line.append(data.data(), static_cast<std::size_t>(got));
  const std::size_t end = peer.line.find('\n');
  if (end == std::string::npos && peer.line.size() < kMaxControlLine) return;
  peer.stage = Stage::waits;
  Answer answer(peers_, peer.number);
  if (end == std::string::npos || end + 1 != peer.line.size()) {
    return answer.error("wrong-form", "a request is one line of at most 4096 bytes");
  }
  // Answering uses the peer's line.
  const std::string line = peer.line.substr(0, end);
  run(line, std::move(answer));
}

void Control::run(std::string_view line, Answer answer) {
  const auto words = split(line);
  const std::string_view name = words.empty() ? std::string_view() : words.front();
  const auto command = std::ranges::find(commands_, name, &Command::name);
  if (command == commands_.end()) {
    return answer.error("unknown-command", "this gatekeeper knows no such command");
  }
  try {
    command->run(Words(words).subspan(1), answer);
  } catch (const WrongForm&) {
    answer.error("wrong-form", "the form is: " + std::string(command->form));
  } catch (const std::exception& error) {
    answer.error("failed", error.what());
  }
}

}  // namespace tessera::gatekeeper

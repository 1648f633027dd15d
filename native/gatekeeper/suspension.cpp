// SPDX-License-Identifier: Apache-2.0
#include "gatekeeper/suspension.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <sstream>

namespace tessera::gatekeeper {
namespace {

constexpr std::size_t kMaxAnswer = 4096;  // bytes

// One P:D:BYTES[@BOARD] for each GPU of the lease; what is not said stays as it is.
std::vector<Gpu> placed_anew(const std::vector<Gpu>& before, Words words) {
  if (words.empty()) return before;
  if (words.size() != before.size()) throw WrongForm();
  std::vector<Gpu> gpus;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::size_t at = words[i].find('@');
    Gpu gpu;
    try {
      gpu = parse_gpu(std::string(words[i].substr(0, at)));
    } catch (const UsageError&) {
      throw WrongForm();
    }
    if (at != std::string_view::npos) gpu.board = words[i].substr(at + 1);
    gpu.share_ppm = before[i].share_ppm;
    gpus.push_back(std::move(gpu));
  }
  return gpus;
}

}  // namespace

std::vector<Command> Suspension::commands() {
  return {
      {"state", "state", [this](Words words, Answer& a) { tell_state(words, a); }},
      {"suspend-check", "suspend-check", [this](Words words, Answer& a) { check(words, a); }},
      {"suspend", "suspend memory | suspend disk FOLDER",
       [this](Words words, Answer& a) { suspend(words, a); }},
      {"resume", "resume [P:D:BYTES[@BOARD] ...]",
       [this](Words words, Answer& a) { resume(words, a); }},
  };
}

std::string Suspension::state_file(std::size_t slot) const {
  return folder_ + "/session-" + std::to_string(slot) + ".state";
}

void Suspension::tell_state(Words words, Answer& answer) const {
  if (!words.empty()) throw WrongForm();
  answer.ok(active() ? "active" : state_ == State::suspended ? "suspended" : "busy");
}

void Suspension::check(Words words, Answer& answer) {
  if (!words.empty()) throw WrongForm();
  if (answer_) return answer.error("Busy", "another request is under way");
  if (!active()) return answer.error("AlreadySuspended", "the lease is suspended already");
  ask_all(Kind::check, std::move(answer));
}

void Suspension::suspend(Words words, Answer& answer) {
  const bool disk = words.size() >= 2 && words[0] == "disk";
  if (!disk && (words.size() != 1 || words[0] != "memory")) throw WrongForm();
  if (answer_) return answer.error("Busy", "another request is under way");
  if (!active()) return answer.error("AlreadySuspended", "the lease is suspended already");
  folder_.clear();
  // A path may have single spaces in it.
  for (const auto& word : words.subspan(1)) {
    folder_ += (folder_.empty() ? "" : " ") + std::string(word);
  }
  state_ = State::suspending;
  ask_all(Kind::suspend, std::move(answer));
}

void Suspension::resume(Words words, Answer& answer) {
  const auto gpus = placed_anew(options_.gpus, words);
  if (answer_) return answer.error("Busy", "another request is under way");
  if (state_ != State::suspended) return answer.error("NotSuspended", "the lease is not suspended");
  gpus_before_ = std::exchange(options_.gpus, gpus);
  try {
    tenancy_.emplace(options_);
  } catch (...) {
    options_.gpus = std::move(gpus_before_);
    throw;
  }
  state_ = State::resuming;
  ask_all(Kind::resume, std::move(answer));
}

void Suspension::ask_all(Kind kind, Answer answer) {
  kind_ = kind;
  answer_.emplace(std::move(answer));
  error_.clear();
  sums_ = {};
  asked_.clear();
  for (const std::size_t slot : workers_.slots()) asked_.push_back({slot});
  for (Asked& each : asked_) ask(each, kind);
  conclude_if_all();
}

void Suspension::ask(Asked& asked, Kind kind) {
  std::string words = "check";
  std::vector<int> boards;
  if (kind == Kind::suspend) {
    words = "suspend " + std::string(folder_.empty() ? "memory " : "disk ") + options_.lease;
    if (!folder_.empty()) words += " " + state_file(asked.slot);
  } else if (kind == Kind::resume) {
    words = "resume";
    for (std::size_t i = 0; i < options_.gpus.size(); ++i) {
      words += " " + options_.gpus[i].argument;
      const auto place = tenancy_->place_on(i);
      if (!place) continue;
      words += "@" + std::to_string(place->tenant);
      boards.push_back(place->board_fd);
    }
  }
  asked.answered = !workers_.ask(asked.slot, words, boards);
}

void Suspension::watch(std::vector<pollfd>& entries) const {
  for (const Asked& each : asked_) {
    entries.push_back({each.answered ? -1 : workers_.control_fd(each.slot), POLLIN, 0});
  }
}

void Suspension::serve(std::span<const pollfd> entries) {
  if (asked_.empty()) return;
  for (std::size_t i = 0; i < asked_.size() && i < entries.size(); ++i) {
    Asked& each = asked_[i];
    if (each.answered) continue;
    // Reaped meanwhile: its descriptor may be another's by now.
    if (workers_.control_fd(each.slot) != entries[i].fd) {
      each.answered = true;
      continue;
    }
    if (entries[i].revents == 0) continue;
    std::array<char, kMaxAnswer> line;
    const ssize_t got = ::recv(entries[i].fd, line.data(), line.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    each.answered = true;
    if (got > 0) take(each, std::string(line.data(), static_cast<std::size_t>(got)));
  }
  conclude_if_all();
}

void Suspension::take(Asked& asked, const std::string& line) {
  std::istringstream words(line);
  std::string first;
  words >> first;
  asked.ok = first == "ok";
  if (asked.ok) {
    for (auto& sum : sums_) {
      std::uint64_t value = 0;
      if (words >> value) sum += value;
    }
  } else if (error_.empty()) {
    error_ = line.substr(std::min(line.size(), first.size() + 1));
  }
}

void Suspension::conclude_if_all() {
  if (!answer_ || !std::ranges::all_of(asked_, &Asked::answered)) return;
  conclude();
}

void Suspension::conclude() {
  const bool failed = !error_.empty();
  switch (state_) {
    case State::suspending:
      if (failed) return undo(Kind::resume, State::undoing_suspend);
      state_ = State::suspended;
      tenancy_.reset();
      break;
    case State::resuming:
      if (failed) return undo(Kind::suspend, State::undoing_resume);
      state_ = State::active;
      break;
    case State::undoing_suspend:
      state_ = State::active;
      break;
    case State::undoing_resume:
      state_ = State::suspended;
      tenancy_.reset();
      options_.gpus = std::move(gpus_before_);
      break;
    case State::active:
    case State::suspended:
      break;
  }
  give_answer();
}

// Those that did what was asked do the opposite; what the first one said is what is answered.
void Suspension::undo(Kind kind, State state) {
  state_ = state;
  std::erase_if(asked_, [](const Asked& each) { return !each.ok; });
  for (Asked& each : asked_) {
    each = {each.slot};
    ask(each, kind);
  }
  conclude_if_all();
}

void Suspension::give_answer() {
  asked_.clear();
  Answer answer = std::move(*answer_);
  answer_.reset();
  if (error_.empty()) {
    std::string numbers;
    for (const std::uint64_t sum : sums_) {
      numbers += (numbers.empty() ? "" : " ") + std::to_string(sum);
    }
    return answer.ok(numbers);
  }
  const std::size_t end = std::min(error_.find(' '), error_.size());
  answer.error(error_.substr(0, end), error_.substr(std::min(end + 1, error_.size())));
}

void Suspension::worker_ended(std::size_t slot) {
  if (!folder_.empty() && !active()) ::unlink(state_file(slot).c_str());
}

}  // namespace tessera::gatekeeper

// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/control.h"

#include <sys/prctl.h>
#include <sys/socket.h>

#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "opencl/worker/devices.h"
#include "opencl/worker/options.h"
#include "opencl/worker/session.h"

namespace tessera::worker {
namespace {

constexpr std::size_t kMaxRequest = 4096;  // bytes

struct Request {
  std::string words;
  std::vector<UniqueFd> descriptors;
};

// Nothing when the other end is gone.
std::optional<Request> receive(int socket) {
  std::array<char, kMaxRequest> text;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxGpus * sizeof(int))> extra{};
  iovec data{text.data(), text.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = extra.data();
  message.msg_controllen = extra.size();
  const ssize_t got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (got <= 0) return std::nullopt;
  Request request{std::string(text.data(), static_cast<std::size_t>(got)), {}};
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t i = 0; i < (part->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
      request.descriptors.emplace_back(fd);
    }
  }
  return request;
}

// Takes the first word off `text`.
std::string_view next_word(std::string_view& text) {
  const std::size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

std::string as_answer(const StateNeeds& needs) {
  return "ok " + std::to_string(needs.bytes) + " " + std::to_string(needs.device) + " " +
         std::to_string(needs.objects);
}

std::string suspend(Session& session, std::string_view rest) {
  const std::string_view where = next_word(rest);
  StatePlace place;
  place.lease = next_word(rest);
  if (where == "disk") place.path = rest;
  if (where != "memory" && place.path.empty()) throw UsageError("suspend memory|disk LEASE [PATH]");
  return as_answer(session.suspend(place));
}

std::string resume(Session& session, std::string_view rest, std::vector<UniqueFd> boards) {
  std::vector<GpuOption> gpus;
  std::vector<std::unique_ptr<Gate>> gates;
  auto board = boards.begin();
  while (!rest.empty()) {
    const std::string_view word = next_word(rest);
    const std::size_t at = word.find('@');
    gpus.push_back(parse_gpu(word.substr(0, at)));
    std::unique_ptr<Gate> gate;
    if (at != word.npos) {
      std::size_t tenant = 0;
      const std::string_view number = word.substr(at + 1);
      const auto [end, error] =
          std::from_chars(number.data(), number.data() + number.size(), tenant);
      if (error != std::errc() || board == boards.end()) throw UsageError("a tenant of no board");
      gate = std::make_unique<Gate>(BoardPage::attach((board++)->release()), tenant);
    }
    gates.push_back(std::move(gate));
  }
  if (gpus.size() > kMaxGpus) throw UsageError("too many GPUs");
  session.resume(open_devices(gpus), std::move(gates));
  return "ok";
}

std::string answer(Session& session, Request request) {
  std::string_view rest = request.words;
  const std::string_view word = next_word(rest);
  try {
    if (word == "check") return as_answer(session.check_suspend());
    if (word == "suspend") return suspend(session, rest);
    if (word == "resume") return resume(session, rest, std::move(request.descriptors));
    return "error WrongForm a worker knows no such request";
  } catch (const StateError& error) {
    return std::string("error ") + error.name() + " " + error.what();
  } catch (const UsageError& error) {
    return std::string("error WrongForm ") + error.what();
  } catch (const std::exception& error) {
    const bool resuming = word == "resume";
    return std::string("error ") + (resuming ? state_error::kRefused : state_error::kFailed) + " " +
           error.what();
  }
}

}  // namespace

void serve_control(UniqueFd socket, Session& session) {
  std::thread([socket = std::move(socket), &session] {
    ::prctl(PR_SET_NAME, "tessera-control");
    while (auto request = receive(socket.get())) {
      const std::string line = answer(session, std::move(*request));
      if (::send(socket.get(), line.data(), std::min(line.size(), kMaxRequest), MSG_NOSIGNAL) < 0) {
        return;
      }
    }
  }).detach();
}

}  // namespace tessera::worker

// SPDX-License-Identifier: Apache-2.0
//
// The process's session: opened by the first use, left alone at exit, replaced after a fork.
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "opencl/client/log.h"
#include "opencl/client/session.h"

namespace tessera::client {
namespace {

constexpr std::size_t kTokenBytes = 32;

// Constant-initialised and trivially destroyed, so that no order of starting or ending can hurt.
// The session itself is leaked on purpose; session.h says why.
constinit std::mutex opening;
constinit std::atomic<Session*> the_session{nullptr};

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::vector<std::byte> token_from_environment() {
  const char* text = std::getenv("TESSERA_TOKEN");
  std::vector<std::byte> token;
  if (text == nullptr || *text == '\0') return token;
  const std::string_view digits = text;
  if (digits.size() != 2 * kTokenBytes) {
    throw ConnectError("TESSERA_TOKEN must be 64 hexadecimal digits; take it from the lease");
  }
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    const int high = hex_digit(digits[i]);
    const int low = hex_digit(digits[i + 1]);
    if (high < 0 || low < 0) {
      throw ConnectError("TESSERA_TOKEN must be 64 hexadecimal digits; take it from the lease");
    }
    token.push_back(static_cast<std::byte>(high << 4 | low));
  }
  return token;
}

void write_statistics() {
  const char* path = std::getenv("TESSERA_STATS_FILE");
  const Session* session = Session::existing();
  if (path == nullptr || session == nullptr) return;
  std::FILE* file = std::fopen(path, "we");
  if (file == nullptr) {
    log(LogLevel::warn, std::string("TESSERA_STATS_FILE cannot be written: ") + path);
    return;
  }
  const Session::Counters c = session->counters();
  std::fprintf(file,
               "{\"messages\": %llu, \"round_trips\": %llu, \"bytes_to_worker\": %llu, "
               "\"bytes_to_client\": %llu, \"wakes\": %llu, \"sleeps\": %llu}\n",
               static_cast<unsigned long long>(c.messages),
               static_cast<unsigned long long>(c.round_trips),
               static_cast<unsigned long long>(c.bytes_to_worker),
               static_cast<unsigned long long>(c.bytes_to_client),
               static_cast<unsigned long long>(c.wakes), static_cast<unsigned long long>(c.sleeps));
  std::fclose(file);
}

// fork() copies a process with one thread. Nothing that another thread was in the middle of can be
// used in the child: it forgets the session, and opens its own when it makes a context.
void before_fork() {
  opening.lock();
}
void after_fork_in_parent() {
  opening.unlock();
}
void after_fork_in_child() {
  if (Session* session = the_session.exchange(nullptr)) session->abandon_after_fork();
  opening.unlock();
}

void register_once() {
  static constinit bool registered = false;  // guarded by `opening`
  if (registered) return;
  registered = true;
  pthread_atfork(&before_fork, &after_fork_in_parent, &after_fork_in_child);
  std::atexit(&write_statistics);
}

}  // namespace

Session* Session::existing() {
  return the_session.load(std::memory_order_acquire);
}

Session& Session::current() {
  if (Session* session = existing()) return *session;
  const std::lock_guard lock(opening);
  if (Session* session = existing()) return *session;
  const char* endpoint = std::getenv("TESSERA_ENDPOINT");
  if (endpoint == nullptr || *endpoint == '\0') {
    throw ConnectError("TESSERA_ENDPOINT is not set; start the program with `tessera run`");
  }
  auto session = std::make_unique<Session>(connect_channel(endpoint, token_from_environment()));
  Platform::publish(session->open());
  register_once();
  the_session.store(session.get(), std::memory_order_release);
  return *session.release();
}

Snapshot Session::open() {
  wire::OpenSession message;
  message.client_pid = static_cast<std::uint32_t>(::getpid());
  message.client_name = program_invocation_short_name;
  opening_ = true;
  cl_int status = CL_SUCCESS;
  try {
    status = call(message).status;
  } catch (const SessionLost&) {
    status = CL_OUT_OF_RESOURCES;
  }
  opening_ = false;
  if (status != CL_SUCCESS || snapshot_.devices.empty()) {
    throw ConnectError("the worker could not open the lease's GPU (code " + std::to_string(status) +
                       "); see the lease's gatekeeper.log");
  }
  return std::move(snapshot_);
}

}  // namespace tessera::client

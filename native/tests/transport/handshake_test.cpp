// SPDX-License-Identifier: Apache-2.0
//
// How sessions begin and how they are refused; every refusal names its cause to the client.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cstring>
#include <thread>

#include "channel_pair.h"
#include "check.h"
#include "transport/handshake.h"
#include "transport/shm_region.h"

namespace tessera::test {
namespace {

// Connects and returns what the user is told.
std::string connect_error(const std::string& endpoint, std::span<const std::byte> token) {
  try {
    connect_channel(endpoint, token);
  } catch (const ConnectError& error) {
    return error.what();
  }
  CHECK(!"a session was opened");
  return {};
}

bool mentions(const std::string& text, const char* word) {
  if (text.find(word) != std::string::npos) return true;
  ::fprintf(stderr, "no '%s' in: %s\n", word, text.c_str());
  return false;
}

void test_bad_endpoints() {
  for (const char* text :
       {"", "shm", "shm:", "unix:", "tcp:", "tcp:host", "tcp::1", "tcp:host:", "ftp:/x"}) {
    CHECK(mentions(connect_error(text, {}), "shm:PATH"));
  }
  CHECK(mentions(connect_error("unix:/nonexistent/gpu.sock", {}), "nothing is listening"));
  CHECK(mentions(connect_error("shm:/" + std::string(200, 'x'), {}), "longer than"));
  CHECK(mentions(connect_error("tcp:127.0.0.1:1", {}), "TESSERA_TOKEN"));
  const std::vector<std::byte> token(32);
  CHECK(mentions(connect_error("tcp:127.0.0.1:1", token), "nothing is listening"));
}

void test_refusals() {
  const struct {
    HelloStatus status;
    const char* word;
  } cases[] = {{HelloStatus::full, "as many sessions"}, {HelloStatus::version, "protocol version"},
               {HelloStatus::token, "token"},           {HelloStatus::transport, "transport"},
               {HelloStatus::malformed, "hello"},       {HelloStatus::failed, "gatekeeper.log"}};
  for (const TransportKind kind : kAllKinds) {
    for (const auto& each : cases) {
      const Listener listener(kind);
      std::thread gatekeeper([&] { refuse_channel(listener.accept_fd(), each.status); });
      CHECK(mentions(connect_error(listener.endpoint(), listener.token()), each.word));
      gatekeeper.join();
    }
  }
}

void test_wrong_token() {
  const Listener listener(TransportKind::tcp_stream);
  for (const std::size_t wrong : {0, 15, 31}) {
    std::thread worker([&] { CHECK_THROWS(listener.accept(), ConnectError); });
    std::vector<std::byte> token = listener.token();
    token[wrong] ^= std::byte{1};
    CHECK(mentions(connect_error(listener.endpoint(), token), "token"));
    worker.join();
  }
}

void test_tcp_needs_a_token() {
  const Listener listener(TransportKind::tcp_stream);
  std::thread worker(
      [&] { CHECK_THROWS(accept_channel(listener.accept_fd(), {}, nullptr), ConnectError); });
  CHECK(mentions(connect_error(listener.endpoint(), listener.token()), "token"));
  worker.join();
}

void test_something_else_answers() {
  const Listener listener(TransportKind::unix_stream);
  std::thread web([&] {
    const UniqueFd socket(listener.accept_fd());
    std::vector<char> answer(64, 'x');
    CHECK(::send(socket.get(), answer.data(), answer.size(), MSG_NOSIGNAL) == 64);
  });
  CHECK(mentions(connect_error(listener.endpoint(), {}), "something else"));
  web.join();
}

void test_hang_up_instead_of_answer() {
  const Listener listener(TransportKind::shm);
  std::thread worker([&] { const UniqueFd socket(listener.accept_fd()); });
  CHECK(mentions(connect_error(listener.endpoint(), {}), "hung up"));
  worker.join();
}

// What the worker says to bytes that a client of ours would not send.
HelloStatus answer_to(TransportKind kind, const Hello& hello, std::size_t bytes) {
  const Listener listener(kind);
  std::thread worker([&] { CHECK_THROWS(listener.accept(), ConnectError); });
  const UniqueFd socket(listener.raw_connection());
  CHECK(::send(socket.get(), &hello, bytes, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes));
  if (bytes < sizeof hello) ::shutdown(socket.get(), SHUT_WR);
  HelloReply reply;
  CHECK(::recv(socket.get(), &reply, sizeof reply, MSG_WAITALL) == sizeof reply);
  CHECK(reply.magic == HelloReply::kMagic && reply.version == kProtocolVersion);
  worker.join();
  return reply.status;
}

void test_strange_hellos() {
  constexpr auto kUnix = TransportKind::unix_stream;
  Hello hello;
  hello.version = 99;
  CHECK(answer_to(kUnix, hello, sizeof hello) == HelloStatus::version);
  hello = {};
  hello.magic = 0x0a0d0a0d20544547;
  CHECK(answer_to(kUnix, hello, sizeof hello) == HelloStatus::malformed);
  CHECK(answer_to(kUnix, Hello{}, 20) == HelloStatus::malformed);
  hello = {};
  hello.token_bytes = 31;
  CHECK(answer_to(kUnix, hello, sizeof hello) == HelloStatus::malformed);
  hello = {};
  hello.reserved = 1;
  CHECK(answer_to(kUnix, hello, sizeof hello) == HelloStatus::malformed);
  hello = {};
  hello.transport = TransportKind::tcp_stream;
  CHECK(answer_to(kUnix, hello, sizeof hello) == HelloStatus::transport);
  hello.transport = static_cast<TransportKind>(77);
  CHECK(answer_to(kUnix, hello, sizeof hello) == HelloStatus::transport);
  hello = {};
  CHECK(answer_to(TransportKind::tcp_stream, hello, sizeof hello) == HelloStatus::token);
}

void test_client_pid() {
  for (const TransportKind kind : kAllKinds) {
    const Listener listener(kind);
    std::int32_t pid = -1;
    std::unique_ptr<Channel> served;
    std::thread worker([&] { served = listener.accept(&pid); });
    const auto client = listener.connect();
    worker.join();
    CHECK(pid == (kind == TransportKind::tcp_stream ? 0 : ::getpid()));
  }
}

// Memory that the other side could still shrink is refused: a read behind its end would kill us.
void test_region_must_be_sealed() {
  const UniqueFd open(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  CHECK(::ftruncate(open.get(), sizeof(RegionLayout)) == 0);
  CHECK_THROWS(ShmRegion{open.get()}, ConnectError);
  CHECK(::ftruncate(open.get(), 4096) == 0);
  CHECK(::fcntl(open.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
  CHECK_THROWS(ShmRegion{open.get()}, ConnectError);
  const UniqueFd good = ShmRegion::create();
  CHECK(::ftruncate(good.get(), 0) != 0);
  const ShmRegion mapped(good.get());
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  test_bad_endpoints();
  test_refusals();
  test_wrong_token();
  test_tcp_needs_a_token();
  test_something_else_answers();
  test_hang_up_instead_of_answer();
  test_strange_hellos();
  test_client_pid();
  test_region_must_be_sealed();
}

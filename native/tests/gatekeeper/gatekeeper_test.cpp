// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "check.h"
#include "gatekeeper/harness.h"
#include "lease/quota.h"
#include "transport/handshake.h"

namespace tessera {
namespace {

void files_are_private_and_go_with_it() {
  Gatekeeper gatekeeper;
  CHECK(gatekeeper.ready_line() == "{\"tcp_port\": null}\n");
  struct stat facts {};
  CHECK(::stat(gatekeeper.socket().c_str(), &facts) == 0 && (facts.st_mode & 0777) == 0600);
  CHECK(::stat(gatekeeper.quota_path().c_str(), &facts) == 0 && (facts.st_mode & 0777) == 0600);
  CHECK(gatekeeper.stop() == 0);
  CHECK(::access(gatekeeper.socket().c_str(), F_OK) != 0);
  CHECK(::access(gatekeeper.quota_path().c_str(), F_OK) != 0);
}

void sessions_leave_nothing_behind() {
  Gatekeeper gatekeeper;
  Quota quota = gatekeeper.quota();
  const std::size_t before = gatekeeper.descriptors();
  int first = 0;
  for (int i = 0; i < 500; ++i) {
    const UniqueFd client = gatekeeper.connect();
    const int count = gatekeeper.greeted(client);
    CHECK(count > 0);
    if (i == 0) first = count;
    // A worker inherits the standard streams, its two sockets and the quota page, however many came
    // before.
    CHECK(count == first && count == 6);
  }
  CHECK(eventually([&] { return quota.page().live_sessions == 0; }));
  CHECK(gatekeeper.descriptors() == before);
  CHECK(quota.page().sessions_total == 500);
}

void a_crashed_worker_gives_its_memory_back() {
  Gatekeeper gatekeeper;
  Quota quota = gatekeeper.quota();
  const UniqueFd client = gatekeeper.connect();
  CHECK(gatekeeper.greeted(client) > 0);
  CHECK(quota.reserve(0, 1, 700));
  CHECK(eventually([&] { return quota.page().slots[0].worker_pid > 0; }));
  CHECK(::write(client.get(), "c", 1) == 1);
  CHECK(eventually([&] { return quota.page().gpus[0].used == 0; }));
  CHECK(quota.page().live_sessions == 0);
}

void a_full_lease_says_so() {
  Gatekeeper gatekeeper;
  std::vector<UniqueFd> clients;
  for (std::size_t i = 0; i < kMaxSessions; ++i) {
    clients.push_back(gatekeeper.connect());
    CHECK(gatekeeper.greeted(clients.back()) > 0);
  }
  const UniqueFd refused = gatekeeper.connect();
  HelloReply reply;
  CHECK(::recv(refused.get(), &reply, sizeof reply, MSG_WAITALL) == sizeof reply);
  CHECK(reply.status == HelloStatus::full);
  clients.pop_back();
  Quota quota = gatekeeper.quota();
  CHECK(eventually([&] { return quota.page().live_sessions == kMaxSessions - 1; }));
  const UniqueFd served = gatekeeper.connect();
  CHECK(gatekeeper.greeted(served) > 0);
}

void its_end_takes_the_workers_along() {
  Gatekeeper gatekeeper;
  const UniqueFd obedient = gatekeeper.connect();
  const UniqueFd stubborn = gatekeeper.connect();
  CHECK(gatekeeper.greeted(obedient) > 0 && gatekeeper.greeted(stubborn) > 0);
  char answer = 0;
  CHECK(::write(stubborn.get(), "h", 1) == 1 && ::read(stubborn.get(), &answer, 1) == 1);
  CHECK(gatekeeper.stop() == 0);
  CHECK(::read(obedient.get(), &answer, 1) == 0 && ::read(stubborn.get(), &answer, 1) == 0);
}

void workers_die_with_a_killed_gatekeeper() {
  Gatekeeper gatekeeper;
  const UniqueFd client = gatekeeper.connect();
  CHECK(gatekeeper.greeted(client) > 0);
  ::kill(gatekeeper.pid(), SIGKILL);
  wait_for(gatekeeper.pid());
  gatekeeper.forget();
  char end = 0;
  CHECK(::read(client.get(), &end, 1) <= 0);
}

void tcp_only_where_asked_for() {
  Gatekeeper gatekeeper(true);
  int port = 0;
  CHECK(::sscanf(gatekeeper.ready_line().c_str(), "{\"tcp_port\": %d}", &port) == 1 && port > 0);
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  // One descriptor more than over the unix socket: the token.
  CHECK(gatekeeper.greeted(client) == 7);
  const UniqueFd local = gatekeeper.connect();
  CHECK(gatekeeper.greeted(local) == 6);
}

void a_missing_worker_refuses_its_client() {
  Gatekeeper gatekeeper(false, "/nonexistent/tessera-worker");
  const UniqueFd client = gatekeeper.connect();
  HelloReply reply;
  CHECK(::recv(client.get(), &reply, sizeof reply, MSG_WAITALL) == sizeof reply);
  CHECK(reply.status == HelloStatus::failed);
  Quota quota = gatekeeper.quota();
  CHECK(eventually([&] { return quota.page().live_sessions == 0; }));
}

// The whole answer of the control socket to what was sent.
std::string told(const UniqueFd& control, const std::string& request) {
  CHECK(::write(control.get(), request.data(), request.size()) ==
        static_cast<ssize_t>(request.size()));
  std::string answer;
  char data[256];
  for (ssize_t got = 0; (got = ::read(control.get(), data, sizeof data)) > 0;) {
    answer.append(data, static_cast<std::size_t>(got));
  }
  return answer;
}

void limits_change_while_sessions_live() {
  Gatekeeper gatekeeper;
  Quota quota = gatekeeper.quota();
  const UniqueFd client = gatekeeper.connect();
  CHECK(gatekeeper.greeted(client) > 0);
  CHECK(quota.reserve(0, 1, 700));
  CHECK(told(connect_to(gatekeeper.control()), "resize 0 699\n") ==
        "error below-use GPU 0 has 700 bytes in use\n");
  CHECK(quota.limit(0) == 1000 && quota.page().resizes == 0);
  CHECK(told(connect_to(gatekeeper.control()), "resize 0 700\n") == "ok\n");
  CHECK(!quota.reserve(0, 1, 1));
  CHECK(told(connect_to(gatekeeper.control()), "resize 0 5000\n") == "ok\n");
  CHECK(quota.reserve(0, 1, 4300) && quota.page().resizes == 2);
  CHECK(told(connect_to(gatekeeper.control()), "resize 1 1\n") ==
        "error no-such-gpu the lease has no GPU 1\n");
  for (const char* wrong : {"resize\n", "resize 0\n", "resize 0 x\n", "resize 0 -1\n",
                            "resize 0 1 0\n", "resize 0 99999999999999999999\n"}) {
    CHECK(told(connect_to(gatekeeper.control()), wrong).starts_with("error wrong-form "));
  }
  CHECK(quota.limit(0) == 5000);
  struct stat facts {};
  CHECK(::stat(gatekeeper.control().c_str(), &facts) == 0 && (facts.st_mode & 0777) == 0600);
  CHECK(gatekeeper.stop() == 0);
  CHECK(::access(gatekeeper.control().c_str(), F_OK) != 0);
}

void silent_control_peers_hold_no_client_up() {
  Gatekeeper gatekeeper;
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 40; ++i) silent.push_back(connect_to(gatekeeper.control()));
  const UniqueFd client = gatekeeper.connect();
  CHECK(gatekeeper.greeted(client) == 6);
  silent.clear();
  CHECK(told(connect_to(gatekeeper.control()), "resize 0 1001\n") == "ok\n");
}

void wrong_arguments_are_usage_errors() {
  for (const std::vector<std::string>& extra : {std::vector<std::string>{"--wrong", "x"},
                                                {"--lease"},
                                                {"--gpu", "0:0"},
                                                {"--lease", "a"}}) {
    std::vector<std::string> arguments{gatekeeper_path};
    arguments.insert(arguments.end(), extra.begin(), extra.end());
    const int status = wait_for(spawn(arguments));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 2);
  }
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  using namespace tessera;
  CHECK(argc == 3);
  gatekeeper_path = argv[1];
  stub_path = argv[2];
  files_are_private_and_go_with_it();
  sessions_leave_nothing_behind();
  a_crashed_worker_gives_its_memory_back();
  a_full_lease_says_so();
  its_end_takes_the_workers_along();
  workers_die_with_a_killed_gatekeeper();
  tcp_only_where_asked_for();
  a_missing_worker_refuses_its_client();
  limits_change_while_sessions_live();
  silent_control_peers_hold_no_client_up();
  wrong_arguments_are_usage_errors();
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Two lanes, one at each end of a port: whatever one side's socket says, the other side's says too.
#include "guest/lane.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "check.h"

namespace tessera::guest {
namespace {

std::pair<UniqueFd, UniqueFd> make_pair() {
  int ends[2];
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::pair<UniqueFd, UniqueFd> make_pipe() {
  int ends[2];
  CHECK(::pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Whether ports of these tests have shared memory beside them.
bool with_slots = false;

// A port with a lane at each end; the host's connects to `server`.
struct Port {
  std::pair<UniqueFd, UniqueFd> ends = make_pair();
  std::vector<std::byte> memory = std::vector<std::byte>(with_slots ? kPortWindow : 0);
  UniqueFd server;  // the far end of the last connection
  bool refuses = false;
  Slots near = slots();
  Lane guest{ends.first.get(), {}, near};
  Lane host{ends.second.get(),
            [this] {
              if (refuses) return UniqueFd();
              auto pair = make_pair();
              server = std::move(pair.second);
              return std::move(pair.first);
            },
            Slots{near.in, near.out}};

  Slots slots() {
    const std::span all(memory);
    return {all.first(all.size() / 2), all.last(all.size() / 2)};
  }
  // One turn of both poll loops; false when nothing was to be done.
  bool turn() {
    std::vector<pollfd> entries;
    guest.watch(entries);
    host.watch(entries);
    if (::poll(entries.data(), entries.size(), 0) == 0) return false;
    guest.serve(std::span(entries).first(Lane::kEntries));
    host.serve(std::span(entries).subspan(Lane::kEntries));
    return true;
  }
  void settle() {
    for (int i = 0; turn(); ++i) CHECK(i < 100'000);
  }
  // A program connects; its end.
  UniqueFd connect() {
    auto pair = make_pair();
    guest.open(std::move(pair.second));
    guest.serve(std::array<pollfd, Lane::kEntries>{});
    settle();
    return std::move(pair.first);
  }
};

std::string read_all(const UniqueFd& fd) {
  std::string found;
  std::array<char, 4096> data;
  for (ssize_t got = 0; (got = ::read(fd.get(), data.data(), data.size())) > 0;) {
    found.append(data.data(), static_cast<std::size_t>(got));
  }
  return found;
}

bool has_ended(const UniqueFd& fd) {
  char byte;
  return ::read(fd.get(), &byte, 1) == 0;
}

void say(const UniqueFd& fd, const std::string& text) {
  CHECK(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

void data_go_both_ways() {
  Port port;
  const UniqueFd program = port.connect();
  say(program, "hello");
  say(port.server, "reply");
  port.settle();
  CHECK(read_all(port.server) == "hello");
  CHECK(read_all(program) == "reply");
  CHECK(!port.guest.free() && !port.host.free());
}

void an_end_arrives_behind_what_was_sent_and_frees_the_port() {
  Port port;
  for (int round = 0; round < 50; ++round) {
    UniqueFd program = port.connect();
    const bool by_program = round % 2 == 0;
    say(by_program ? program : port.server, "last words");
    (by_program ? program : port.server).reset();
    port.settle();
    CHECK(read_all(by_program ? port.server : program) == "last words");
    CHECK(has_ended(by_program ? port.server : program));
    CHECK(port.guest.free() && port.host.free());
  }
}

void both_ends_at_once_free_the_port() {
  Port port;
  UniqueFd program = port.connect();
  program.reset();
  port.server.reset();
  port.settle();
  CHECK(port.guest.free() && port.host.free());
}

void nothing_of_one_connection_reaches_the_next() {
  Port port;
  UniqueFd program = port.connect();
  // More than the way holds, and nobody reads it.
  const std::string much(1 << 16, 'x');
  for (int i = 0; i < 16; ++i) {
    while (::write(port.server.get(), much.data(), much.size()) > 0) {
    }
    port.settle();
  }
  program.reset();
  port.settle();
  CHECK(port.guest.free() && port.host.free());
  program = port.connect();
  say(port.server, "new");
  port.settle();
  CHECK(read_all(program) == "new");
}

void who_cannot_connect_is_hung_up_on() {
  Port port;
  port.refuses = true;
  const UniqueFd program = port.connect();
  CHECK(has_ended(program));
  CHECK(port.guest.free() && port.host.free());
}

void who_is_slow_holds_up_its_own_peer_only() {
  Port port;
  const UniqueFd program = port.connect();
  std::mt19937 random(1);
  std::string sent, found;
  for (int i = 0; i < 4000; ++i) {
    std::string piece(1 + random() % 5000, '\0');
    std::ranges::generate(piece, [&] { return static_cast<char>(random()); });
    const ssize_t put = ::write(program.get(), piece.data(), piece.size());
    if (put > 0) sent.append(piece, 0, static_cast<std::size_t>(put));
    port.turn();
    if (i % 7 == 0) found += read_all(port.server);
    // The other way is free meanwhile.
    say(port.server, "!");
    port.turn();
    CHECK(read_all(program).find_first_not_of('!') == std::string::npos);
  }
  for (int i = 0; i < 1000 && found.size() < sent.size(); ++i) {
    port.settle();
    found += read_all(port.server);
  }
  CHECK(sent.size() > 1'000'000 && found == sent);
}

// Bulk both ways at once, to readers who take turns: no direction waits for the other.
void bulk_arrives_as_it_was_sent() {
  Port port;
  const UniqueFd program = port.connect();
  std::mt19937 random(2);
  std::string text(3 << 20, '\0');
  std::ranges::generate(text, [&] { return static_cast<char>(random()); });
  std::string at_server, at_program;
  std::size_t by_program = 0, by_server = 0;
  const auto write_some = [&text](const UniqueFd& fd, std::size_t& done) {
    const ssize_t put = ::write(fd.get(), text.data() + done, text.size() - done);
    if (put > 0) done += static_cast<std::size_t>(put);
  };
  for (int i = 0; at_server.size() + at_program.size() < 2 * text.size(); ++i) {
    CHECK(i < 1'000'000);
    write_some(program, by_program);
    write_some(port.server, by_server);
    port.turn();
    if (i / 64 % 2 == 0) {
      at_server += read_all(port.server);
    } else {
      at_program += read_all(program);
    }
  }
  CHECK(at_server == text && at_program == text);
}

void bulk_does_not_cross_the_port() {
  const auto [near, far] = make_pair();
  std::vector<std::byte> memory(kPortWindow);
  const std::span all(memory);
  Lane lane(near.get(), {}, {all.first(kPortWindow / 2), all.last(kPortWindow / 2)});
  auto [program, socket] = make_pair();
  lane.open(std::move(socket));
  const std::string piece(kSlotBytes / 2, 'z');
  std::string crossed;
  std::size_t sent = 0;
  const UniqueFd& peer = far;  // a lambda of C++20 cannot name `far` itself with every compiler
  const auto turn = [&] {
    std::vector<pollfd> entries;
    lane.watch(entries);
    ::poll(entries.data(), entries.size(), 0);
    lane.serve(entries);
    crossed += read_all(peer);
  };
  for (int i = 0; i < 20; ++i) {
    const ssize_t put = ::write(program.get(), piece.data(), piece.size());
    if (put > 0) sent += static_cast<std::size_t>(put);
    turn();
  }
  // Of what nobody takes, no more is read than there are slots for.
  CHECK(sent >= kSlots * piece.size() && crossed.size() < 200);
  CHECK(lane.free() == false);
  CHECK(std::memcmp(memory.data(), piece.data(), piece.size()) == 0);
  const std::size_t before = crossed.size();
  const auto returned = make_frame(Kind::returned, std::array{0u});
  CHECK(::write(far.get(), returned.data(), returned.size()) > 0);
  turn();
  turn();
  CHECK(crossed.size() > before && crossed.size() < 200);
}

// What init does with a program's streams: joined at once on both ends, without `open`.
void a_pipe_is_carried_to_its_end() {
  Port port;
  auto [source, program] = make_pipe();
  port.guest.join(std::move(source), {});
  auto [reader, sink] = make_pipe();
  port.host.join({}, std::move(sink));
  say(program, "output");
  port.settle();
  CHECK(read_all(reader) == "output");
  program.reset();
  port.settle();
  CHECK(has_ended(reader));
}

void a_reader_that_has_gone_closes_the_programs_pipe() {
  Port port;
  auto [source, program] = make_pipe();
  port.guest.join(std::move(source), {});
  auto [reader, sink] = make_pipe();
  port.host.join({}, std::move(sink));
  reader.reset();
  port.settle();
  CHECK(::write(program.get(), "x", 1) < 0 && errno == EPIPE);
}

void finish_takes_what_is_there_and_waits_for_nobody() {
  Port port;
  auto [source, program] = make_pipe();
  port.guest.join(std::move(source), {});
  auto [reader, sink] = make_pipe();
  port.host.join({}, std::move(sink));
  const std::string much(60'000, 'y');
  say(program, much);
  port.guest.finish();
  port.guest.serve(std::array<pollfd, Lane::kEntries>{});
  std::string found;
  for (int i = 0; i < 100; ++i) {
    port.settle();
    found += read_all(reader);
  }
  // The writing end is still open: a process that was left behind.
  CHECK(found == much && has_ended(reader));
}

void refuses(Lane::Connect connect, Kind kind, std::span<const std::uint32_t> numbers) {
  const auto [near, far] = make_pair();
  Lane lane(near.get(), std::move(connect));
  const auto frame = make_frame(kind, numbers);
  CHECK(::write(far.get(), frame.data(), frame.size()) > 0);
  const std::array<pollfd, Lane::kEntries> entries{{{near.get(), POLLIN, POLLIN}, {}, {}}};
  CHECK_THROWS(lane.serve(entries), BadFrame);
}

void frames_out_of_place_are_refused() {
  const auto connect = [] { return UniqueFd(); };
  refuses(connect, Kind::close, {});
  refuses(connect, Kind::data, std::array{1u});
  refuses(connect, Kind::start, {});
  refuses({}, Kind::open, {});
}

// After `open`, with a slot lent: the reply of a hostile peer to it.
void refuses_of_slots(Kind kind, std::span<const std::uint32_t> numbers) {
  const auto [near, far] = make_pair();
  std::vector<std::byte> memory(kPortWindow);
  const std::span all(memory);
  Lane lane(near.get(), {}, {all.first(kPortWindow / 2), all.last(kPortWindow / 2)});
  lane.open(make_pair().first);
  const auto frame = make_frame(kind, numbers);
  CHECK(::write(far.get(), frame.data(), frame.size()) > 0);
  const std::array<pollfd, Lane::kEntries> entries{{{near.get(), POLLIN, POLLIN}, {}, {}}};
  CHECK_THROWS(lane.serve(entries), BadFrame);
}

void slots_that_cannot_be_are_refused() {
  refuses_of_slots(Kind::lent, std::array{kSlots, 1u});
  refuses_of_slots(Kind::lent, std::array{~0u, 1u});
  refuses_of_slots(Kind::lent, std::array{0u, 0u});
  refuses_of_slots(Kind::lent, std::array{0u, static_cast<std::uint32_t>(kSlotBytes) + 1});
  refuses_of_slots(Kind::returned, std::array{0u});
  refuses_of_slots(Kind::returned, std::array{kSlots});
  // Without shared memory there are none.
  refuses([] { return UniqueFd(); }, Kind::lent, std::array{0u, 1u});
  refuses([] { return UniqueFd(); }, Kind::returned, std::array{0u});
}

void who_opens_and_closes_and_never_reads_is_left_alone() {
  const auto [near, far] = make_pair();
  Lane lane(near.get(), [] { return UniqueFd(); });
  std::vector<std::byte> storm;
  for (const Kind kind : {Kind::open, Kind::close}) {
    const auto frame = make_frame(kind);
    storm.insert(storm.end(), frame.begin(), frame.end());
  }
  const auto turn = [&] {
    std::vector<pollfd> entries;
    lane.watch(entries);
    if (::poll(entries.data(), entries.size(), 0) == 0) return false;
    lane.serve(entries);
    return true;
  };
  // Its answers fill the way and then the lane, which reads no more.
  for (int i = 0; ::write(far.get(), storm.data(), storm.size()) > 0 || turn(); ++i) {
    CHECK(i < 10'000'000);
  }
  // It goes on when somebody takes the answers.
  while (!read_all(far).empty()) {
    while (turn()) {
    }
  }
  CHECK(lane.free());
}

}  // namespace
}  // namespace tessera::guest

int main() {
  using namespace tessera::guest;
  ::signal(SIGPIPE, SIG_IGN);
  for (const bool slots : {false, true}) {
    with_slots = slots;
    data_go_both_ways();
    an_end_arrives_behind_what_was_sent_and_frees_the_port();
    both_ends_at_once_free_the_port();
    nothing_of_one_connection_reaches_the_next();
    who_cannot_connect_is_hung_up_on();
    who_is_slow_holds_up_its_own_peer_only();
    a_pipe_is_carried_to_its_end();
    a_reader_that_has_gone_closes_the_programs_pipe();
    finish_takes_what_is_there_and_waits_for_nobody();
    bulk_arrives_as_it_was_sent();
  }
  bulk_does_not_cross_the_port();
  slots_that_cannot_be_are_refused();
  frames_out_of_place_are_refused();
  who_opens_and_closes_and_never_reads_is_left_alone();
}

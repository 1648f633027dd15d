// SPDX-License-Identifier: Apache-2.0
//
// What a hostile guest can put on a port, or a hostile host on a guest's: the first byte chooses a
// reader, the second the length of the pieces, the rest is what it reads.
//   0: the decoder   1: the host's end of a GPU port   2: the guest's   3: the words of a request
//   4, 5: as 1 and 2, with shared memory   6: the names that an image has for its users
// Only BadFrame may come of it.
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "guest/lane.h"
#include "guest/request.h"
#include "guest/user.h"

namespace tessera::guest {
namespace {

using Input = std::span<const std::byte>;

std::pair<UniqueFd, UniqueFd> make_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0) std::abort();
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

void throw_away(const UniqueFd& fd) {
  static char data[1 << 16];
  while (fd && ::read(fd.get(), data, sizeof data) > 0) {
  }
}

void fuzz_decoder(Input input, std::size_t piece) {
  FrameDecoder decoder;
  while (!input.empty()) {
    const auto room = decoder.room();
    const std::size_t part = std::min({piece, input.size(), room.size()});
    if (part == 0) std::abort();
    std::ranges::copy(input.first(part), room.begin());
    decoder.filled(part);
    input = input.subspan(part);
    while (const auto frame = decoder.next()) {
      check_frame(static_cast<std::uint8_t>(frame->kind), frame->payload.size());
    }
  }
}

void turn(Lane& lane) {
  std::vector<pollfd> entries;
  lane.watch(entries);
  ::poll(entries.data(), entries.size(), 0);
  lane.serve(entries);
}

void fuzz_lane(Input input, std::size_t piece, bool host, bool slots) {
  static std::array<std::byte, kPortWindow> memory;
  const auto all = slots ? std::span<std::byte>(memory) : std::span<std::byte>();
  auto [near, far] = make_pair();
  UniqueFd peer;
  const auto connect = [&peer] {
    auto pair = make_pair();
    peer = std::move(pair.second);
    return std::move(pair.first);
  };
  Lane lane(near.get(), host ? Lane::Connect(connect) : Lane::Connect(),
            {all.first(all.size() / 2), all.last(all.size() / 2)});
  if (!host) lane.open(connect());
  while (!input.empty()) {
    const std::size_t part = std::min(piece, input.size());
    if (::write(far.get(), input.data(), part) < 0) break;
    input = input.subspan(part);
    turn(lane);
    throw_away(far);
    throw_away(peer);
    // Enough for a slot.
    if (part % 5 == 2 && peer) (void)!::write(peer.get(), memory.data(), kSlotBytes);
    if (part % 5 == 3) peer.reset();
  }
  for (int i = 0; i < 4; ++i) turn(lane);
}

void fuzz_words(Input input) {
  const std::string text(reinterpret_cast<const char*>(input.data()), input.size());
  Request request;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    request.add(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

// USER[:GROUP], then an image's files.
void fuzz_names(Input input) {
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  const std::size_t first = std::min(text.find('\f'), text.size());
  const std::size_t second = std::min(text.find('\f', first), text.size());
  find_user(text.substr(0, first), text.substr(first, second - first), text.substr(second));
}

}  // namespace
}  // namespace tessera::guest

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera::guest;
  static const auto ignored = ::signal(SIGPIPE, SIG_IGN);
  (void)ignored;
  if (size < 2) return 0;
  const Input input = std::as_bytes(std::span(data + 2, size - 2));
  const std::size_t piece = 1 + data[1];
  try {
    switch (data[0] % 7) {
      case 0:
        fuzz_decoder(input, piece);
        break;
      case 3:
        fuzz_words(input);
        break;
      case 1:
      case 2:
        fuzz_lane(input, piece, data[0] % 7 == 1, false);
        break;
      case 6:
        fuzz_names(input);
        break;
      default:
        fuzz_lane(input, piece, data[0] % 7 == 4, true);
    }
  } catch (const BadFrame&) {
  }
  return 0;
}

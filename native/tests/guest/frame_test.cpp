// SPDX-License-Identifier: Apache-2.0
#include "guest/frame.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "check.h"
#include "guest/request.h"

namespace tessera::guest {
namespace {

void feed(FrameDecoder& decoder, std::span<const std::byte> bytes) {
  const auto room = decoder.room();
  CHECK(room.size() >= bytes.size());
  std::ranges::copy(bytes, room.begin());
  decoder.filled(bytes.size());
}

void frames_come_back_byte_by_byte() {
  const auto frame = make_frame(Kind::failed, std::array{2u}, "the folder /x");
  FrameDecoder decoder;
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < frame.size(); ++i) {
      CHECK(!decoder.next());
      feed(decoder, std::span(frame).subspan(i, 1));
    }
    const auto found = decoder.next();
    CHECK(found && found->kind == Kind::failed && found->number(0) == 2);
    CHECK(found->text(4) == "the folder /x");
  }
}

void the_longest_frame_fits() {
  FrameDecoder decoder;
  feed(decoder, frame_header(Kind::data, kMaxPayload));
  std::size_t left = kMaxPayload;
  while (left != 0) {
    CHECK(!decoder.next());
    const auto room = decoder.room();
    const std::size_t part = std::min(left, room.size());
    CHECK(part != 0);
    decoder.filled(part);
    left -= part;
  }
  CHECK(decoder.next()->payload.size() == kMaxPayload);
  CHECK(!decoder.next());
}

void nonsense_is_refused() {
  for (const auto& header :
       {frame_header(Kind{0}, 0), frame_header(Kind{16}, 0), frame_header(Kind::data, 0),
        frame_header(Kind::data, kMaxPayload + 1), frame_header(Kind::open, 1),
        frame_header(Kind::exit, 4), frame_header(Kind::hello, 3), frame_header(Kind::time, 8),
        frame_header(Kind::lent, 4), frame_header(Kind::returned, 8)}) {
    FrameDecoder decoder;
    feed(decoder, header);
    CHECK_THROWS(decoder.next(), BadFrame);
  }
  auto header = frame_header(Kind::close, 0);
  header[7] = std::byte{1};
  FrameDecoder decoder;
  feed(decoder, header);
  CHECK_THROWS(decoder.next(), BadFrame);
}

void words_make_a_request() {
  Request request;
  for (const char* word : {"argument=sh", "argument=-c=", "variable=A=b", "directory=/tmp",
                           "hostname=box", "user=me:8", "terminal=24x80"}) {
    request.add(word);
  }
  CHECK((request.arguments == std::vector<std::string>{"sh", "-c="}));
  CHECK((request.variables == std::vector<std::string>{"A=b"}));
  CHECK(request.directory == "/tmp" && request.hostname == "box");
  CHECK(request.user == "me:8");
  CHECK(request.terminal && request.terminal->rows == 24 && request.terminal->columns == 80);
  for (const char* word :
       {"", "color=red", "group=8", "terminal=24", "terminal=x", "terminal=99999999x1"}) {
    CHECK_THROWS(Request().add(word), BadFrame);
  }
}

}  // namespace
}  // namespace tessera::guest

int main() {
  using namespace tessera::guest;
  frames_come_back_byte_by_byte();
  the_longest_frame_fits();
  nonsense_is_refused();
  words_make_a_request();
}

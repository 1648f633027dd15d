// SPDX-License-Identifier: Apache-2.0
#include "guest/frame.h"

#include <cstring>

namespace tessera::guest {
namespace {

struct Header {
  std::uint32_t size;
  std::uint8_t kind;
  std::array<std::uint8_t, 3> reserved;
};
static_assert(sizeof(Header) == kHeader);

bool fits(Kind kind, std::size_t size) {
  constexpr std::size_t kNumber = sizeof(std::uint32_t);
  switch (kind) {
    case Kind::data:
    case Kind::word:
      return size >= 1;
    case Kind::open:
    case Kind::close:
    case Kind::start:
    case Kind::started:
    case Kind::end:
      return size == 0;
    case Kind::hello:
    case Kind::failed:
      return size >= kNumber;
    case Kind::signal:
    case Kind::returned:
      return size == kNumber;
    case Kind::size:
    case Kind::exit:
    case Kind::lent:
      return size == 2 * kNumber;
    case Kind::time:
      return size == 3 * kNumber;
  }
  return false;
}

}  // namespace

std::uint32_t Frame::number(std::size_t index) const {
  std::uint32_t value = 0;
  std::memcpy(&value, payload.data() + index * sizeof value, sizeof value);
  return value;
}

std::string Frame::text(std::size_t from) const {
  const auto rest = payload.subspan(from);
  return {reinterpret_cast<const char*>(rest.data()), rest.size()};
}

void check_frame(std::uint8_t kind, std::size_t size) {
  if (size > kMaxPayload) throw BadFrame("a frame that is too long");
  if (!fits(static_cast<Kind>(kind), size)) throw BadFrame("a frame of a wrong kind or length");
}

std::span<std::byte> FrameDecoder::room() {
  if (begin_ != 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  return std::span(buffer_).subspan(end_);
}

std::optional<Frame> FrameDecoder::next() {
  if (end_ - begin_ < kHeader) return std::nullopt;
  Header header;
  std::memcpy(&header, buffer_.data() + begin_, kHeader);
  check_frame(header.kind, header.size);
  if (header.reserved != std::array<std::uint8_t, 3>{}) throw BadFrame("reserved bytes are not 0");
  if (end_ - begin_ < kHeader + header.size) return std::nullopt;
  const auto payload = std::span(buffer_).subspan(begin_ + kHeader, header.size);
  begin_ += kHeader + header.size;
  return Frame{static_cast<Kind>(header.kind), payload};
}

std::array<std::byte, kHeader> frame_header(Kind kind, std::size_t payload) {
  const Header header{static_cast<std::uint32_t>(payload), static_cast<std::uint8_t>(kind), {}};
  std::array<std::byte, kHeader> bytes;
  std::memcpy(bytes.data(), &header, kHeader);
  return bytes;
}

std::vector<std::byte> make_frame(Kind kind, std::span<const std::uint32_t> numbers,
                                  const std::string& text) {
  const auto header = frame_header(kind, numbers.size_bytes() + text.size());
  std::vector<std::byte> frame(header.begin(), header.end());
  const auto add = [&](std::span<const std::byte> bytes) {
    frame.insert(frame.end(), bytes.begin(), bytes.end());
  };
  add(std::as_bytes(numbers));
  add(std::as_bytes(std::span(text)));
  return frame;
}

}  // namespace tessera::guest

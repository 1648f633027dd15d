// SPDX-License-Identifier: Apache-2.0
//
// The stream's decoder against whole, split and forged input; what one write gathers.
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "check.h"
#include "transport/stream_channel.h"
#include "transport/stream_decoder.h"
#include "transport/stream_output.h"

namespace tessera::test {
namespace {

using Item = StreamDecoder::Item;
using namespace std::chrono_literals;

void append(std::vector<std::byte>& wire, const FrameHeader& header, std::size_t payload) {
  const auto bytes = std::as_bytes(std::span(&header, 1));
  wire.insert(wire.end(), bytes.begin(), bytes.end());
  for (std::size_t i = 0; i < payload; ++i) wire.push_back(static_cast<std::byte>(i * 11));
  wire.resize(wire.size() + padded(payload) - payload);
}

FrameHeader message(std::uint64_t sequence, std::uint32_t fields_size) {
  FrameHeader header;
  header.opcode = 9;
  header.sequence = sequence;
  header.fields_size = fields_size;
  return header;
}

FrameHeader fragment(std::uint32_t whole, std::uint64_t at, std::uint32_t size) {
  FrameHeader header;
  header.kind = FrameKind::fragment;
  header.bulk_size = whole;
  header.bulk_at = at;
  header.fields_size = size;
  return header;
}

FrameHeader credit(std::uint64_t bytes) {
  FrameHeader header;
  header.kind = FrameKind::credit;
  header.bulk_at = bytes;
  return header;
}

FrameHeader with_bulk(FrameHeader header, std::uint32_t size) {
  header.bulk_in = BulkIn::apart;
  header.bulk_size = size;
  return header;
}

FrameHeader tagged(FrameHeader header, std::uint64_t tag) {
  header.sequence = tag;
  return header;
}

struct Reader {
  BlockPool blocks;
  std::atomic<std::uint64_t> held{0};
  StreamDecoder decoder{blocks, held};
  std::vector<std::size_t> bulk_sizes;
  std::size_t messages = 0;
  std::uint64_t credits = 0;
  std::size_t buffered = 0;  // bytes that did not go to their payload's memory at once

  void drain() {
    StreamDecoder::Message got;
    for (Item item; (item = decoder.next(got)) != Item::nothing;) {
      if (item == Item::credit) {
        credits += got.header.bulk_at;
        continue;
      }
      ++messages;
      for (std::size_t i = 0; i < got.fields.size(); ++i) {
        CHECK(got.fields[i] == static_cast<std::byte>(i * 11));
      }
      if (got.bulk == nullptr) continue;
      bulk_sizes.push_back(got.bulk->size);
      held -= got.bulk->size;
      blocks.give(got.bulk);
    }
  }

  // Feeds `wire` in pieces of at most `piece` bytes.
  void feed(const std::vector<std::byte>& wire, std::size_t piece) {
    for (std::size_t at = 0; at < wire.size();) {
      drain();
      std::array<iovec, 3> places;
      const std::size_t count = decoder.vectors(places);
      const std::size_t begin = at;
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t left = std::min(piece - (at - begin), wire.size() - at);
        const std::size_t size = std::min(places[i].iov_len, left);
        if (size != 0) std::memcpy(places[i].iov_base, wire.data() + at, size);
        at += size;
        if (i + 1 == count) buffered += size;
      }
      CHECK(at > begin);
      decoder.filled(at - begin);
    }
    drain();
  }
};

void test_split_anywhere() {
  std::vector<std::byte> wire;
  append(wire, message(1, 13), 13);
  append(wire, fragment(3001, 0, 3000), 3000);
  append(wire, message(2, 0), 0);  // a command between two fragments
  append(wire, credit(77), 0);
  append(wire, fragment(3001, 3000, 1), 1);
  append(wire, with_bulk(message(3, 40), 3001), 40);
  append(wire, message(4, kMaxFields), kMaxFields);
  for (const std::size_t piece : {1UL, 7UL, 31UL, 33UL, 3000UL, 100'000UL, 1'000'000UL}) {
    Reader reader;
    reader.feed(wire, piece);
    CHECK(reader.messages == 4 && reader.credits == 77);
    CHECK(reader.bulk_sizes == std::vector<std::size_t>{3001});
    CHECK(reader.held == 0);
  }
}

void refuse(std::initializer_list<FrameHeader> headers) {
  std::vector<std::byte> wire;
  for (const FrameHeader& header : headers) {
    const bool has_payload = header.fields_size <= kFragment;
    append(wire, header, has_payload ? header.fields_size : 0);
  }
  Reader reader;
  CHECK_THROWS(reader.feed(wire, wire.size()), ChannelClosed);
}

void test_forged() {
  FrameHeader strange = message(1, 0);
  strange.kind = static_cast<FrameKind>(0);
  refuse({strange});
  refuse({message(2, 0)});
  refuse({message(1, 0), message(1, 0)});
  refuse({message(1, kMaxFields + 1)});
  refuse({message(1, 0xffffffff)});
  refuse({with_bulk(message(1, 0), 5)});
  refuse({fragment(100, 0, 50), with_bulk(message(1, 0), 100)});
  refuse({fragment(100, 0, 100), with_bulk(message(1, 0), 99)});
  refuse({fragment(100, 0, 50), fragment(100, 0, 50)});
  refuse({fragment(100, 0, 50), fragment(100, 51, 49)});
  refuse({fragment(100, 50, 50)});
  refuse({fragment(100, 0, 101)});
  refuse({fragment(100, 0, 0)});
  refuse({fragment(kMaxBulk + 1, 0, 10)});
  refuse({fragment(kMaxBulk, 0, kFragment + 1)});
  refuse({fragment(100, ~std::uint64_t{0}, 50)});
  refuse({credit(0)});
  refuse({credit(kBulkWindow + 1)});
  refuse({fragment(100, 0, 50), tagged(fragment(100, 50, 50), 5)});
  refuse({tagged(credit(1), 5)});
  FrameHeader with_opcode = credit(1);
  with_opcode.opcode = 1;
  refuse({with_opcode});
}

// A peer that ignores the window is stopped before its bytes are kept.
void test_window_is_enforced() {
  Reader reader;
  reader.held = kBulkWindow - 10;
  std::vector<std::byte> wire;
  append(wire, fragment(11, 0, 11), 11);
  CHECK_THROWS(reader.feed(wire, wire.size()), ChannelClosed);
}

// A payload whose tag is known is received where it belongs, any other in the channel's memory.
void test_place() {
  std::vector<std::byte> wire;
  append(wire, tagged(fragment(3001, 0, 3000), 5), 3000);
  append(wire, fragment(3001, 3000, 1), 1);
  append(wire, with_bulk(message(1, 0), 3001), 0);
  append(wire, tagged(fragment(9, 0, 9), 6), 9);
  append(wire, with_bulk(message(2, 0), 9), 0);
  for (const std::size_t piece : {1UL, 33UL, 3040UL, 1'000'000UL}) {
    std::vector<std::byte> known(3001, std::byte{0xff});
    Reader reader;
    reader.decoder.set_place([&](std::uint64_t tag, std::size_t size) -> std::byte* {
      return tag == 5 && size == known.size() ? known.data() : nullptr;
    });
    reader.feed(wire, piece);
    CHECK(reader.bulk_sizes == (std::vector<std::size_t>{3001, 9}) && reader.held == 0);
    for (std::size_t i = 0; i < 3000; ++i) CHECK(known[i] == static_cast<std::byte>(i * 11));
    CHECK(known[3000] == std::byte{0});
  }
}

// Of a payload in many fragments, nearly all is received in place however much has come.
void test_few_bytes_are_copied() {
  constexpr std::size_t kFragments = 8;
  std::vector<std::byte> wire;
  for (std::size_t i = 0; i < kFragments; ++i) {
    append(wire, fragment(kFragments * kFragment, i * kFragment, kFragment), kFragment);
  }
  Reader reader;
  reader.feed(wire, wire.size());
  CHECK(reader.buffered < 256 * 1024);
}

void test_places_are_forgotten() {
  std::vector<std::byte> wire;
  append(wire, tagged(fragment(100, 0, 100), 5), 100);
  wire.resize(wire.size() - 60);
  std::vector<std::byte> known(100, std::byte{0xff});
  Reader reader;
  reader.decoder.set_place([&](std::uint64_t, std::size_t) { return known.data(); });
  reader.feed(wire, wire.size());
  CHECK(!reader.decoder.foreign().empty());
  reader.decoder.forget_places();
  CHECK(reader.decoder.foreign().empty());
  wire.assign(100, std::byte{1});
  CHECK_THROWS(reader.feed(wire, wire.size()), ChannelClosed);
  CHECK(known[43] == static_cast<std::byte>(43 * 11) && known[44] == std::byte{0xff});
  CHECK(known[99] == std::byte{0xff});
}

// A message that comes while a fragment is under way goes out before the next fragment.
void test_commands_pass_between_fragments() {
  StreamOutput output;
  const std::vector<std::byte> bulk(20, std::byte{5});
  output.add_fragment(fragment(40, 0, 20), bulk);
  output.wrote(40);
  CHECK(output.has_fragment());
  output.add(message(1, 0), {}, {});
  output.wrote(12);
  CHECK(!output.has_fragment() && output.gathered() == 4 + 32);
  output.add_fragment(fragment(40, 20, 20), bulk);
  std::array<iovec, 3> from;
  CHECK(output.vectors(from) == 3);
  CHECK(from[0].iov_len == 4 + 32 + 32 && from[1].iov_len == 20 && from[2].iov_len == 4);
  output.wrote(4 + 32 + 32 + 20 + 4);
  CHECK(output.empty() && output.has_room() && output.queued() == output.written());
}

struct Streams {
  std::unique_ptr<Channel> left;
  std::unique_ptr<Channel> right;
  Streams() {
    int ends[2];
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    left = std::make_unique<StreamChannel>(TransportKind::unix_stream, UniqueFd(ends[0]));
    right = std::make_unique<StreamChannel>(TransportKind::unix_stream, UniqueFd(ends[1]));
  }
};

// No copy on either side: sent from where it lies, received where it belongs.
void test_lent_to_a_place() {
  Streams pair;
  std::vector<std::byte> from(kPiece + 5), to(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 13);
  CHECK(!pair.left->lend(std::span(from).first(kInlineBulk)));
  pair.right->on_place([&](std::uint64_t tag, std::size_t size) -> std::byte* {
    return tag == 77 && size == to.size() ? to.data() : nullptr;
  });
  for (const std::uint64_t tag : {77, 78, 0}) {
    std::fill(to.begin(), to.end(), std::byte{0});
    std::thread sender([&] {
      Bulk bulk = pair.left->lend(from);
      CHECK(bulk.data() == from.data() && bulk.size() == from.size());
      bulk.set_tag(tag);
      pair.left->send(1, {}, std::move(bulk));
    });
    Incoming message;
    CHECK(pair.right->receive(message, {10s, false}) == Received::message);
    sender.join();
    const bool placed = message.bulk.data() == to.data();
    CHECK(placed == (tag == 77) && message.bulk.tag() == (placed ? tag : 0));
    CHECK(std::memcmp(message.bulk.data(), from.data(), from.size()) == 0);
  }
}

// Guarded memory, which a program opens in its handler of SIGSEGV, is no end of the session.
class Guarded {
 public:
  explicit Guarded(std::size_t size) : size_(size) {
    void* memory = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    data_ = static_cast<std::byte*>(memory);
    guarded_ = this;
    struct sigaction action {};
    action.sa_sigaction = [](int, siginfo_t*, void*) { guarded_->open(); };
    action.sa_flags = SA_SIGINFO;
    CHECK(::sigaction(SIGSEGV, &action, &before_) == 0);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() {
    ::sigaction(SIGSEGV, &before_, nullptr);
    ::munmap(data_, size_);
  }
  void open() const {
    if (::mprotect(data_, size_, PROT_READ | PROT_WRITE) != 0) ::abort();
  }
  void shut() const { CHECK(::mprotect(data_, size_, PROT_NONE) == 0); }
  std::span<std::byte> bytes() const { return {data_, size_}; }

 private:
  static inline Guarded* guarded_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t size_;
  struct sigaction before_ {};
};

void test_guarded_memory() {
  constexpr std::size_t kSize = 64 * 1024;
  const std::vector<std::byte> zeros(kSize);
  Streams pair;
  const Guarded memory(kSize);
  pair.left->send(1, {}, pair.left->lend(memory.bytes()));
  Incoming message;
  CHECK(pair.right->receive(message, {10s, false}) == Received::message);
  CHECK(std::memcmp(message.bulk.data(), zeros.data(), kSize) == 0);

  memory.shut();
  pair.right->on_place([&](std::uint64_t, std::size_t) { return memory.bytes().data(); });
  Bulk bulk = pair.left->lend(zeros);
  bulk.set_tag(1);
  pair.left->send(1, {}, std::move(bulk));
  CHECK(pair.right->receive(message, {10s, false}) == Received::message);
  CHECK(message.bulk.data() == memory.bytes().data() && message.bulk.tag() == 1);
}

// Far fewer writes than messages. No exact count: a paused thread may find the line quiet again.
void test_small_messages_are_gathered() {
  Streams pair;
  for (int i = 0; i < 1000; ++i) pair.left->send(1, {});
  pair.left->flush();
  CHECK(pair.left->counters().wakes < 500);
  Incoming message;
  for (int i = 0; i < 1000; ++i) {
    CHECK(pair.right->receive(message, {1s, false}) == Received::message);
  }
}

// One thread on the worker's side, no handler: it must find the credit behind the messages.
void test_credit_behind_messages() {
  Streams pair;
  Incoming message;
  for (int i = 0; i < 32; ++i) {
    pair.left->send(1, {}, pair.left->reserve(kPiece));
    CHECK(pair.right->receive(message, {1s, false}) == Received::message);
    for (int j = 0; j < 10; ++j) pair.right->send(7, {});
    if (i == 31) message.bulk.reset();
  }
  pair.right->flush();
  CHECK(pair.left->reserve(kPiece * 16).size() == kPiece * 16);
  for (int i = 0; i < 320; ++i) {
    CHECK(pair.left->receive(message, {1s, false}) == Received::message);
    CHECK(message.opcode == 7 && message.sequence == static_cast<std::uint64_t>(i + 1));
  }
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  test_split_anywhere();
  test_forged();
  test_window_is_enforced();
  test_place();
  test_few_bytes_are_copied();
  test_places_are_forgotten();
  test_lent_to_a_place();
  test_guarded_memory();
  test_commands_pass_between_fragments();
  test_small_messages_are_gathered();
  test_credit_behind_messages();
}

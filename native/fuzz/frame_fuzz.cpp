// SPDX-License-Identifier: Apache-2.0
//
// What a hostile peer can put on a carrier: the first byte chooses one, the rest is what it writes.
//   0: a stream's decoder, fed in pieces whose lengths come from the input
//   1: a stream channel, with its credits
//   2: a shared-memory channel, whose ring, indices and marks hold the input
// Only ChannelClosed may come of it.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "transport/shm_channel.h"
#include "transport/shm_region.h"
#include "transport/stream_channel.h"
#include "transport/stream_decoder.h"

namespace tessera {
namespace {

using Input = std::span<const std::byte>;

void look_at(Input bytes) {
  volatile unsigned sum = 0;
  for (const std::byte byte : bytes) sum = sum + std::to_integer<unsigned>(byte);
}

void drain(StreamDecoder& decoder, BlockPool& blocks, std::atomic<std::uint64_t>& held) {
  StreamDecoder::Message message;
  for (StreamDecoder::Item item; (item = decoder.next(message)) != StreamDecoder::Item::nothing;) {
    if (item != StreamDecoder::Item::message) continue;
    look_at(message.fields);
    if (message.bulk == nullptr) continue;
    look_at({message.bulk->data(), message.bulk->size});
    held -= message.bulk->size;
    blocks.give(message.bulk);
  }
}

constexpr std::size_t kForeign = 4096;  // bytes

void fuzz_decoder(Input input) {
  if (input.empty()) return;
  const std::size_t piece = 1 + std::to_integer<std::size_t>(input[0]) * 3;
  input = input.subspan(1);
  BlockPool blocks;
  std::atomic<std::uint64_t> held{0};
  StreamDecoder decoder(blocks, held);
  // Every payload claims it, also while an earlier one is still held.
  std::vector<std::byte> foreign(kForeign);
  decoder.set_place([&](std::uint64_t tag, std::size_t size) {
    return tag % 2 == 1 && size <= foreign.size() ? foreign.data() : nullptr;
  });
  while (!input.empty()) {
    drain(decoder, blocks, held);
    std::array<iovec, 3> places;
    const std::size_t count = decoder.vectors(places);
    std::size_t given = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t size = std::min({places[i].iov_len, piece - given, input.size()});
      if (size != 0) std::memcpy(places[i].iov_base, input.data(), size);
      input = input.subspan(size);
      given += size;
    }
    if (given == 0) std::abort();
    decoder.filled(given);
  }
  drain(decoder, blocks, held);
}

// Receives until the channel is closed or silent, and answers, so that sending sees the lies too.
void serve(Channel& channel) {
  Incoming message;
  while (channel.receive(message, {std::chrono::nanoseconds(0), false}) == Received::message) {
    look_at(message.fields);
    look_at({message.bulk.data(), message.bulk.size()});
    channel.send(1, message.fields.first(std::min<std::size_t>(message.fields.size(), 64)));
  }
}

struct Sockets {
  UniqueFd ours;
  UniqueFd peers;
  Sockets() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
    ours.reset(ends[0]);
    peers.reset(ends[1]);
  }
};

void fuzz_stream(Input input) {
  Sockets sockets;
  ::send(sockets.peers.get(), input.data(), input.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  StreamChannel channel(TransportKind::unix_stream, std::move(sockets.ours));
  serve(channel);
}

// The input: head of the worker's ring (8 bytes), tail of the client's ring (8), then records.
void fuzz_shared_memory(Input input) {
  Sockets sockets;
  UniqueFd memory = ShmRegion::create();
  const ShmRegion hostile(memory.get());
  RegionLayout& layout = hostile.layout();
  std::uint64_t index = 0;
  for (SharedIndex* shared : {&layout.to_worker.ring.head, &layout.to_client.ring.tail}) {
    const std::size_t size = std::min(input.size(), sizeof index);
    if (size != 0) std::memcpy(&index, input.data(), size);
    input = input.subspan(size);
    *shared = index;
  }
  const std::size_t size = std::min(input.size(), sizeof layout.ring_to_worker);
  if (size != 0) std::memcpy(layout.ring_to_worker, input.data(), size);
  ShmChannel channel(Side::worker, std::move(memory), std::move(sockets.ours));
  serve(channel);
}

}  // namespace
}  // namespace tessera

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const tessera::Input input{reinterpret_cast<const std::byte*>(data + 1), size - 1};
  try {
    switch (data[0] % 3) {
      case 0:
        tessera::fuzz_decoder(input);
        break;
      case 1:
        tessera::fuzz_stream(input);
        break;
      default:
        tessera::fuzz_shared_memory(input);
    }
  } catch (const tessera::ChannelClosed&) {
    return 0;
  }
  return 0;
}

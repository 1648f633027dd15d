// SPDX-License-Identifier: Apache-2.0
//
// Messages that no client of this protocol sends: each ends its session, names why, and hurts
// nothing else.
#include <functional>
#include <string_view>

#include "check.h"
#include "worker/worker_pair.h"

namespace tessera::test {
namespace {

constexpr wire::Id kContext = 1;
constexpr wire::Id kQueue = 2;
constexpr wire::Id kBuffer = 3;

void ends(std::string_view reason, const std::function<void(WorkerPair&)>& hostile) {
  WorkerPair pair;
  pair.open();
  pair.make_queue(kContext, kQueue);
  wire::CreateBuffer create;
  create.buffer = kBuffer;
  create.context = kContext;
  create.size = 64;
  pair.send(create);
  hostile(pair);
  const std::string ended = pair.end_reason();
  if (ended.find(reason) == ended.npos) {
    ::fprintf(stderr, "ended by '%s', not '%s'\n", ended.c_str(), std::string(reason).c_str());
    ::abort();
  }
}

void first_message_must_open() {
  WorkerPair pair;
  pair.make_queue(kContext, kQueue);
  CHECK(pair.end_reason().starts_with("no open_session before"));
}

void ids() {
  ends("a second open_session", [](WorkerPair& pair) { pair.send(wire::OpenSession()); });
  ends("unknown queue 77", [](WorkerPair& pair) {
    wire::FinishQueue message;
    message.queue = 77;
    pair.send(message);
  });
  ends("id 3 is a memory object, not a queue", [](WorkerPair& pair) {
    wire::FinishQueue message;
    message.queue = kBuffer;
    pair.send(message);
  });
  ends("id 3 is taken", [](WorkerPair& pair) {
    wire::CreateBuffer message;
    message.buffer = kBuffer;
    message.context = kContext;
    message.size = 1;
    pair.send(message);
  });
  ends("id 3 is taken", [](WorkerPair& pair) {
    wire::EnqueueMarker message;
    message.queue = kQueue;
    message.event = kBuffer;
    pair.send(message);
  });
  ends("has the id 0", [](WorkerPair& pair) {
    wire::CreateUserEvent message;
    message.context = kContext;
    pair.send(message);
  });
  ends("release of unknown object 0", [](WorkerPair& pair) { pair.send(wire::Release()); });
  ends("unknown event 99", [](WorkerPair& pair) {
    const std::array<wire::Id, 1> waits{99};
    wire::EnqueueMarker message;
    message.queue = kQueue;
    message.wait_list = waits;
    pair.send(message);
  });
  ends("device 9, which is not there", [](WorkerPair& pair) {
    wire::GetDeviceAndHostTimer message;
    message.device = 9;
    pair.send(message);
  });
}

void frames() {
  const std::array<std::byte, 7> seven{};
  ends("unknown message 999", [&](WorkerPair& pair) { pair.send_raw(999, seven); });
  ends("unknown message 256", [&](WorkerPair& pair) { pair.send_raw(256, seven); });
  ends("malformed finish_queue", [&](WorkerPair& pair) {
    pair.send_raw(static_cast<std::uint16_t>(wire::Opcode::finish_queue), seven);
  });
  ends("malformed finish_queue", [&](WorkerPair& pair) {
    wire::FinishQueue message;
    message.queue = kQueue;
    pair.send(message, seven);
  });
}

void long_messages() {
  const std::array<std::byte, 24> bytes{};
  const auto piece = [&](WorkerPair& pair, std::uint64_t size) {
    wire::LongMessagePiece message;
    message.number = 1;
    message.size = size;
    pair.send(message, bytes);
  };
  const auto end = [](WorkerPair& pair, auto opcode, std::uint64_t fields) {
    wire::LongMessage message;
    message.number = 1;
    message.opcode = static_cast<std::uint32_t>(opcode);
    message.fields_size = fields;
    pair.send(message);
  };
  ends("a piece that does not fit", [&](WorkerPair& pair) { piece(pair, 23); });
  ends("a piece that does not fit", [&](WorkerPair& pair) { piece(pair, 1ULL << 40); });
  ends("whose pieces are missing",
       [&](WorkerPair& pair) { end(pair, wire::Opcode::flush_queue, 0); });
  ends("whose pieces are missing", [&](WorkerPair& pair) {
    piece(pair, 48);
    end(pair, wire::Opcode::flush_queue, 8);
  });
  for (const auto opcode :
       {wire::Opcode::open_session, wire::Opcode::long_message_piece, wire::Opcode::long_message}) {
    ends("a long ", [&](WorkerPair& pair) {
      piece(pair, 24);
      end(pair, opcode, 24);
    });
  }
  ends("malformed flush_queue", [&](WorkerPair& pair) {
    piece(pair, 24);
    end(pair, wire::Opcode::flush_queue, 24);
  });
  // Bulk where the message has none.
  ends("malformed flush_queue", [&](WorkerPair& pair) {
    piece(pair, 24);
    end(pair, wire::Opcode::flush_queue, 8);
  });
}

void sizes() {
  ends("a read of more than", [](WorkerPair& pair) {
    wire::ReadBuffer message;
    message.queue = kQueue;
    message.buffer = kBuffer;
    message.size = kMaxBulk + 1;
    pair.send(message);
  });
  ends("another size than its bulk", [](WorkerPair& pair) {
    wire::WriteBufferRect message;
    message.queue = kQueue;
    message.buffer = kBuffer;
    message.region = {4, 4, 1};
    const std::array<std::byte, 15> bytes{};
    pair.send(message, bytes);
  });
  // Contents are whole or not there at all, and of memory of the object's own.
  for (const std::uint64_t size : {std::uint64_t{7}, std::uint64_t{9}, UINT64_MAX}) {
    ends("contents of another size", [&](WorkerPair& pair) {
      wire::CreateBuffer message;
      message.buffer = 50;
      message.context = kContext;
      message.size = size;
      const std::array<std::byte, 8> bytes{};
      pair.send(message, bytes);
    });
  }
  ends("contents of another size", [](WorkerPair& pair) {
    wire::CreateBuffer message;
    message.buffer = 50;
    message.context = kContext;
    message.size = 8;
    message.svm = 0x1000;
    const std::array<std::byte, 8> bytes{};
    pair.send(message, bytes);
  });
  for (const wire::Id buffer : {wire::Id{0}, kBuffer}) {
    ends("other pixels than it has", [&](WorkerPair& pair) {
      wire::CreateImage message;
      message.image = 50;
      message.context = kContext;
      message.channel_order = CL_RGBA;
      message.channel_type = CL_UNSIGNED_INT8;
      message.image_type = CL_MEM_OBJECT_IMAGE2D;
      message.extent = {4, 4, 0};
      message.buffer = buffer;
      const std::vector<std::byte> pixels(buffer == 0 ? 63 : 64);
      pair.send(message, pixels);
    });
  }
}

// What the standard has an error for is no reason to end, and reaches no driver.
void out_of_range_is_only_refused() {
  WorkerPair pair;
  pair.open();
  pair.make_queue(kContext, kQueue);
  wire::CreateBuffer create;
  create.buffer = kBuffer;
  create.context = kContext;
  create.size = 64;
  pair.send(create);
  const std::array<std::byte, 8> bytes{};
  for (const std::uint64_t offset : {std::uint64_t{57}, std::uint64_t{64}, UINT64_MAX - 3}) {
    wire::WriteBuffer write;
    write.queue = kQueue;
    write.buffer = kBuffer;
    write.offset = offset;
    pair.send(write, bytes);
    CHECK(pair.until<wire::DeferredError>().status == CL_INVALID_VALUE);
    wire::ReadBuffer read;
    read.queue = kQueue;
    read.buffer = kBuffer;
    read.offset = offset;
    read.size = 8;
    read.blocking = 1;
    pair.send(read);
    CHECK(pair.until<wire::ReadDone>().status == CL_INVALID_VALUE && pair.bulk().empty());
    wire::InitializeBuffer initialize;
    initialize.buffer = kBuffer;
    initialize.offset = offset;
    pair.send(initialize, bytes);
    CHECK(pair.until<wire::DeferredError>().status == CL_INVALID_VALUE);
  }
  wire::CopyBufferRect rect;
  rect.queue = kQueue;
  rect.src_buffer = rect.dst_buffer = kBuffer;
  rect.region = {1, 1ull << 32, 1};
  rect.src_row_pitch = rect.dst_row_pitch = 1ull << 32;
  pair.send(rect);
  CHECK(pair.until<wire::DeferredError>().status == CL_INVALID_VALUE);
  wire::CreateBuffer host;
  host.buffer = 50;
  host.context = kContext;
  host.size = 64;
  host.flags = CL_MEM_USE_HOST_PTR;
  pair.send(host);
  CHECK(pair.until<wire::DeferredError>().status == CL_INVALID_VALUE);
  wire::CreateBuffer svm;
  svm.buffer = 51;
  svm.context = kContext;
  svm.size = 64;
  svm.svm = 0x1000;
  pair.send(svm);
  CHECK(pair.until<wire::DeferredError>().status == CL_INVALID_HOST_PTR);
}

void forged_sizes_get_no_byte_more() {
  WorkerPair pair;
  pair.open();
  pair.make_queue(kContext, kQueue);
  wire::Id id = 10;
  for (const std::uint64_t size : {kLease + 1, std::uint64_t{1} << 63, UINT64_MAX}) {
    wire::CreateBuffer create;
    create.buffer = id++;
    create.context = kContext;
    create.size = size;
    create.confirm = 1;
    pair.send(create);
    CHECK(pair.until<wire::Reply>().status == CL_MEM_OBJECT_ALLOCATION_FAILURE);
    CHECK(pair.gpu().used == 0);
  }
}

// The client goes while a thread waits in the driver for something that cannot come any more.
void client_leaves_in_the_middle_of_a_wait() {
  WorkerPair pair;
  pair.open();
  pair.make_queue(kContext, kQueue);
  wire::CreateUserEvent create;
  create.event = 30;
  create.context = kContext;
  pair.send(create);
  const std::array<wire::Id, 1> waits{30};
  wire::EnqueueMarker marker;
  marker.queue = kQueue;
  marker.wait_list = waits;
  pair.send(marker);
  wire::FinishQueue finish;
  finish.queue = kQueue;
  pair.send(finish);
  CHECK(pair.quiet());
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  first_message_must_open();
  ids();
  frames();
  long_messages();
  sizes();
  out_of_range_is_only_refused();
  forged_sizes_get_no_byte_more();
  client_leaves_in_the_middle_of_a_wait();
  return 0;
}

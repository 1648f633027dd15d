// SPDX-License-Identifier: Apache-2.0
//
// A whole session, over the null driver, fed with whatever messages the fuzzer thinks of.
//
// The input is a list of messages: u8 opcode, u8 bulk (times 16 bytes), u16 size of the fields, the
// fields, the bulk. The session is opened before the first one. Threads are real: a wait that only
// a later message ends is taken over by another receiver, as in a worker.
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "opencl/worker/session.h"

namespace tessera {
namespace {

constexpr std::uint64_t kLease = 1 << 20;  // bytes
constexpr std::size_t kBulkUnit = 16;      // bytes
constexpr std::size_t kMaxMessages = 200;

void free_bulk(void* memory, std::uint64_t) noexcept {
  ::free(memory);
}

class FuzzChannel final : public Channel {
 public:
  explicit FuzzChannel(std::span<const std::uint8_t> input) : input_(input) {}

  TransportKind kind() const override { return TransportKind::shm; }
  std::size_t bulk_ahead() const override { return 8 * kPiece; }
  Bulk reserve(std::size_t bytes) override {
    if (bytes == 0 || bytes > kMaxBulk) ::abort();
    void* memory = ::malloc(bytes);
    return Bulk(static_cast<std::byte*>(memory), bytes, free_bulk, memory, 0);
  }
  std::uint64_t send(std::uint16_t opcode, std::span<const std::byte> fields, Bulk bulk) override {
    if (opcode == static_cast<std::uint16_t>(wire::Opcode::build_done)) building_.store(false);
    if (closed_.load()) throw ChannelClosed("closed");
    if (fields.size() > kMaxFields || bulk.size() > kMaxBulk) ::abort();
    // Every byte must be defined and there.
    std::uint8_t sum = 0;
    for (const std::byte byte : fields)
      sum = static_cast<std::uint8_t>(sum + static_cast<std::uint8_t>(byte));
    sink_.fetch_add(sum, std::memory_order_relaxed);
    return ++sent_;
  }
  void flush() override {}
  Received receive(Incoming& into, Wait) override {
    into.bulk.reset();
    if (closed_.load()) throw ChannelClosed("closed");
    into.sequence = ++received_;
    if (received_ == 1) return open(into);
    if (at_ + 4 > input_.size() || received_ > kMaxMessages) throw ChannelClosed("end of input");
    wait_for_build();
    const std::uint8_t* head = input_.data() + at_;
    at_ += 4;
    into.opcode = head[0];
    building_.store(into.opcode == static_cast<std::uint16_t>(wire::Opcode::build_program));
    const std::size_t size = std::min<std::size_t>(head[2] | head[3] << 8, input_.size() - at_);
    fields_.assign((size + 7) / 8, 0);
    std::memcpy(fields_.data(), input_.data() + at_, size);
    at_ += size;
    into.fields = std::as_bytes(std::span(fields_)).first(size);
    if (const std::size_t bytes = head[1] * kBulkUnit; bytes != 0) {
      into.bulk = reserve(bytes);
      const std::size_t given = std::min(bytes, input_.size() - at_);
      std::memset(into.bulk.data(), 0, bytes);
      std::memcpy(into.bulk.data(), input_.data() + at_, given);
      at_ += given;
    }
    return Received::message;
  }
  void interrupt() override {}
  void on_stall(std::function<void()>) override {}
  int liveness_fd() const override { return -1; }
  void close() noexcept override { closed_.store(true); }
  void abandon_after_fork() noexcept override {}
  ChannelCounters counters() const override { return {}; }

 private:
  // A moment, as a build that is refused ends with nothing. Without it no kernel is ever made: a
  // program has none while it is being built.
  void wait_for_build() const {
    for (int i = 0; building_.load() && i < 100; ++i) ::usleep(100);
  }
  Received open(Incoming& into) {
    wire::Encoder out;
    wire::OpenSession message;
    message.client_name = "fuzz";
    encode(out, message);
    fields_.assign((out.bytes().size() + 7) / 8, 0);
    std::memcpy(fields_.data(), out.bytes().data(), out.bytes().size());
    into.fields = std::as_bytes(std::span(fields_)).first(out.bytes().size());
    into.opcode = static_cast<std::uint16_t>(message.kOpcode);
    return Received::message;
  }

  std::span<const std::uint8_t> input_;
  std::size_t at_ = 0;
  std::uint64_t received_ = 0;
  std::vector<std::uint64_t> fields_;
  std::atomic<std::uint64_t> sent_{0};
  std::atomic<std::uint64_t> sink_{0};
  std::atomic<bool> building_{false};
  std::atomic<bool> closed_{false};
};

Quota make_quota() {
  char folder[] = "/tmp/tessera-fuzz-XXXXXX";
  if (::mkdtemp(folder) == nullptr) ::abort();
  const std::string path = std::string(folder) + "/quota";
  const std::uint64_t limit = kLease;
  Quota quota = Quota::create(path, "fuzz", &limit, 1);
  ::unlink(path.c_str());
  ::rmdir(folder);
  return quota;
}

worker::Device null_device() {
  worker::Device device{nullptr, nullptr};
  if (clGetPlatformIDs(1, &device.platform, nullptr) != CL_SUCCESS) ::abort();
  if (clGetDeviceIDs(device.platform, CL_DEVICE_TYPE_ALL, 1, &device.id, nullptr) != CL_SUCCESS) {
    ::abort();
  }
  return device;
}

}  // namespace
}  // namespace tessera

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  static Quota quota = make_quota();
  const std::size_t slot = quota.acquire_slot();
  FuzzChannel channel({data, size});
  {
    worker::Session::Setup setup;
    setup.channel = &channel;
    setup.quota = &quota;
    setup.slot = slot;
    setup.devices = {null_device()};
    setup.on_end = [](const char*) {};
    worker::Session session(std::move(setup));
    session.serve();
  }
  // A session that is gone holds nothing, and never held more than its lease.
  if (quota.page().gpus[0].used != 0 || quota.page().gpus[0].peak > kLease) ::abort();
  quota.free_slot(slot);
  return 0;
}

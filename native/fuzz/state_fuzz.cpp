// SPDX-License-Identifier: Apache-2.0
//
// A saved state, as a resume reads it, over the null driver.
//
// The first byte chooses: 0 takes the rest for the bytes of a state as they are, and what the
// reader makes of damage is fuzzed. Otherwise the rest is a list of frames (u8 type, u8 opcode, u8
// flags, u8 bulk times 16 bytes, u16 size of the fields, the fields, the bulk), which is written as
// a whole state behind a header that fits: checksums keep a fuzzer from ever getting there by
// itself, and a state with good checksums is what somebody can make who may write the file.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "opencl/worker/session.h"
#include "opencl/worker/state_file.h"
#include "opencl/worker/state_frames.h"

namespace tessera {
namespace {

constexpr std::uint64_t kLease = 1 << 20;  // bytes
constexpr std::size_t kBulkUnit = 16;      // bytes
constexpr std::size_t kMaxFrames = 200;

// Of a client that says nothing and hears everything.
class SilentChannel final : public Channel {
 public:
  TransportKind kind() const override { return TransportKind::shm; }
  std::size_t bulk_ahead() const override { return 8 * kPiece; }
  Bulk reserve(std::size_t bytes) override {
    void* memory = ::malloc(bytes);
    const auto free_it = [](void* owner, std::uint64_t) noexcept { ::free(owner); };
    return Bulk(static_cast<std::byte*>(memory), bytes, free_it, memory, 0);
  }
  std::uint64_t send(std::uint16_t, std::span<const std::byte>, Bulk) override { return ++sent_; }
  void flush() override {}
  Received receive(Incoming&, Wait) override { throw ChannelClosed("silent"); }
  void interrupt() override {}
  void on_stall(std::function<void()>) override {}
  int liveness_fd() const override { return -1; }
  void close() noexcept override {}
  void abandon_after_fork() noexcept override {}
  ChannelCounters counters() const override { return {}; }

 private:
  std::atomic<std::uint64_t> sent_{0};
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

void write_frames(int fd, std::span<const std::uint8_t> input, cl_device_id device) {
  worker::StateWriter out(fd);
  worker::StateHeader header;
  header.lease = "fuzz";
  header.devices = {worker::DeviceFacts::of(device)};
  wire::Encoder fields;
  encode(fields, header);
  out.write({.type = worker::FrameType::header, .fields = fields.bytes()});
  for (std::size_t at = 0; at + 6 <= input.size() && out.frames() < kMaxFrames;) {
    const std::uint8_t* head = input.data() + at;
    at += 6;
    worker::Frame frame;
    frame.type = static_cast<worker::FrameType>(head[0] % 8 + 1);
    frame.opcode = head[1];
    frame.flags = head[2];
    const auto rest = std::as_bytes(input);
    const std::size_t size = std::min<std::size_t>(head[4] | head[5] << 8, input.size() - at);
    frame.fields = rest.subspan(at, size);
    at += size;
    const std::size_t bulk = std::min<std::size_t>(head[3] * kBulkUnit, input.size() - at);
    frame.bulk = rest.subspan(at, bulk);
    at += bulk;
    out.write(frame);
  }
  out.finish();
}

}  // namespace
}  // namespace tessera

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  static Quota quota = make_quota();
  static const std::string path =
      "/dev/shm/tessera-state-fuzz-" + std::to_string(static_cast<long>(::getpid()));
  if (size == 0) return 0;
  const std::size_t slot = quota.acquire_slot();
  SilentChannel channel;
  {
    worker::Session::Setup setup;
    setup.channel = &channel;
    setup.quota = &quota;
    setup.slot = slot;
    setup.devices = {null_device()};
    setup.on_end = [](const char*) {};
    const cl_device_id device = setup.devices.front().id;
    worker::Session session(std::move(setup));
    session.suspend({path, "fuzz"});
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
    const std::span<const std::uint8_t> rest(data + 1, size - 1);
    if (data[0] != 0) {
      write_frames(fd.get(), rest, device);
    } else if (::write(fd.get(), rest.data(), rest.size()) < 0) {
      ::abort();
    }
    try {
      session.resume({});
    } catch (const worker::StateError&) {
      // It was refused, and holds nothing.
      if (quota.used(slot)[0] != 0) ::abort();
    }
    // Ends what waits for user events.
    session.serve();
  }
  ::unlink(path.c_str());
  if (quota.page().gpus[0].used != 0 || quota.page().gpus[0].peak > kLease) ::abort();
  quota.free_slot(slot);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "worker/worker_pair.h"

#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <cstring>

#include "check.h"

namespace tessera::test {
namespace {

Quota make_quota(std::size_t devices) {
  char folder[] = "/tmp/tessera-worker-XXXXXX";
  CHECK(::mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/quota";
  const std::vector<std::uint64_t> limits(devices, kLease);
  Quota quota = Quota::create(path, "test", limits.data(), limits.size());
  ::unlink(path.c_str());
  ::rmdir(folder);
  return quota;
}

std::vector<worker::Device> null_devices(std::size_t count) {
  cl_platform_id platform = nullptr;
  CHECK(clGetPlatformIDs(1, &platform, nullptr) == CL_SUCCESS);
  std::vector<cl_device_id> ids(count);
  cl_uint found = 0;
  CHECK(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, static_cast<cl_uint>(count), ids.data(),
                       &found) == CL_SUCCESS);
  CHECK(found >= count);
  std::vector<worker::Device> devices;
  for (const cl_device_id id : ids) devices.push_back({platform, id});
  return devices;
}

}  // namespace

WorkerPair::WorkerPair(TransportKind kind, std::size_t devices, Gates gates)
    : devices_(devices),
      pair_(make_pair(kind)),
      quota_(make_quota(devices)),
      slot_(quota_.acquire_slot()) {
  worker::Session::Setup setup;
  setup.channel = pair_.worker.get();
  setup.quota = &quota_;
  setup.slot = slot_;
  setup.devices = null_devices(devices);
  setup.gates = std::move(gates);
  setup.on_end = [this](const char* reason) {
    const std::lock_guard lock(mutex_);
    reason_ = reason;
  };
  session_ = std::make_unique<worker::Session>(std::move(setup));
  thread_ = std::thread([this] { session_->serve(); });
}

WorkerPair::~WorkerPair() {
  pair_.client->close();
  thread_.join();
  session_.reset();
}

std::uint64_t WorkerPair::send_raw(std::uint16_t opcode, std::span<const std::byte> fields,
                                   std::span<const std::byte> bulk) {
  Bulk carried;
  if (!bulk.empty()) {
    carried = pair_.client->reserve(bulk.size());
    std::memcpy(carried.data(), bulk.data(), bulk.size());
  }
  const std::uint64_t sequence = pair_.client->send(opcode, fields, std::move(carried));
  pair_.client->flush();
  return sequence;
}

Arrived WorkerPair::next() {
  Incoming incoming;
  must_receive(*pair_.client, incoming);
  Arrived arrived;
  arrived.opcode = static_cast<wire::Opcode>(incoming.opcode);
  arrived.fields.assign(incoming.fields.begin(), incoming.fields.end());
  const std::byte* bulk = incoming.bulk.data();
  arrived.bulk.assign(bulk, bulk + incoming.bulk.size());
  return arrived;
}

bool WorkerPair::quiet() {
  Incoming incoming;
  return pair_.client->receive(incoming, Wait{std::chrono::milliseconds(50), false}) ==
         Received::timeout;
}

void WorkerPair::open() {
  wire::OpenSession message;
  message.client_name = "test";
  const std::uint64_t sequence = send(message);
  const auto reply = until<wire::Reply>();
  CHECK(reply.of == sequence && reply.status == CL_SUCCESS);
  skipped();
}

void WorkerPair::make_queue(wire::Id context, wire::Id queue,
                            cl_command_queue_properties properties) {
  std::vector<std::uint32_t> numbers;
  for (std::uint32_t i = 0; i < devices_; ++i) numbers.push_back(i);
  wire::CreateContext create;
  create.context = context;
  create.devices = numbers;
  send(create);
  const std::array<std::uint64_t, 2> list{CL_QUEUE_PROPERTIES, properties};
  wire::CreateQueue message;
  message.queue = queue;
  message.context = context;
  message.properties = list;
  send(message);
}

GpuQuota WorkerPair::gpu() {
  QuotaPage& page = quota_.page();
  CHECK(::pthread_mutex_lock(&page.mutex) == 0);
  const GpuQuota copy = page.gpus[0];
  ::pthread_mutex_unlock(&page.mutex);
  return copy;
}

std::string WorkerPair::end_reason() {
  for (int i = 0; i < 1000; ++i) {
    {
      const std::lock_guard lock(mutex_);
      if (reason_ != "not ended") return reason_;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return "not ended";
}

}  // namespace tessera::test

// SPDX-License-Identifier: Apache-2.0
#include "client/client_pair.h"

#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "generated/messages_context.h"

namespace tessera::test {
namespace {

Quota make_quota() {
  char folder[] = "/tmp/tessera-client-XXXXXX";
  CHECK(::mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/quota";
  const std::uint64_t limit = kLeaseBytes;
  Quota quota = Quota::create(path, "test", &limit, 1);
  ::unlink(path.c_str());
  ::rmdir(folder);
  return quota;
}

worker::Device null_device() {
  worker::Device device{nullptr, nullptr};
  CHECK(clGetPlatformIDs(1, &device.platform, nullptr) == CL_SUCCESS);
  CHECK(clGetDeviceIDs(device.platform, CL_DEVICE_TYPE_ALL, 1, &device.id, nullptr) == CL_SUCCESS);
  return device;
}

}  // namespace

ClientPair::ClientPair(TransportKind kind) : quota_(make_quota()), slot_(quota_.acquire_slot()) {
  Pair pair = make_pair(kind);
  channel_ = std::move(pair.worker);
  worker::Session::Setup setup;
  setup.channel = channel_.get();
  setup.quota = &quota_;
  setup.slot = slot_;
  setup.devices = {null_device()};
  setup.on_end = [](const char*) {};
  worker_ = std::make_unique<worker::Session>(std::move(setup));
  serving_ = std::thread([this] { worker_->serve(); });
  client_ = std::make_unique<client::Session>(std::move(pair.client));
  client::Platform::publish(client_->open());
}

ClientPair::~ClientPair() {
  client_.reset();
  serving_.join();
  worker_.reset();
}

cl_context ClientPair::make_context() {
  auto context = client::make<client::Context>(*client_, client::Platform::known()->devices(),
                                               std::vector<cl_context_properties>(),
                                               client::Context::Notify());
  const std::uint32_t device = 0;
  wire::CreateContext message;
  message.context = context->id();
  message.devices = {&device, 1};
  client_->create(*context, message);
  return client::give_handle(std::move(context));
}

cl_device_id ClientPair::device() const {
  return client::Platform::known()->devices().front()->handle();
}

void ClientPair::kill_worker() {
  channel_->close();
}

}  // namespace tessera::test

// SPDX-License-Identifier: Apache-2.0
//
// A tenant on a GPU reads zeros where another tenant was killed with its secret in the memory.
//
// The null driver's GPU (null/device_memory.h) hands out pages with the bytes that their former
// owner left. That owner is first a process of its own, which fills all of the memory and is gone
// without a goodbye, and later one in this process. What a program would read that asks the driver
// itself is looked at each time: it is the secret, or the test has proved nothing.
//
// Runs three times: commands complete at once; on a device thread; and as late as they may, which
// shows a command that does not wait for the zeros.
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>

#include "check.h"
#include "opencl/null/device_memory.h"
#include "worker/worker_pair.h"

namespace tessera::test {
namespace {

constexpr wire::Id kContext = 1;
constexpr wire::Id kQueue = 2;
constexpr wire::Id kUnordered = 3;
constexpr std::string_view kSecret = "the other tenant's weights. ";
constexpr std::size_t kSize = 64 * 1024;  // bytes
constexpr std::size_t kSide = 128;        // pixels of four bytes

using Bytes = std::vector<std::byte>;

bool all_zero(const Bytes& bytes) {
  return std::ranges::all_of(bytes, [](std::byte each) { return each == std::byte{0}; });
}

bool holds_secret(const Bytes& bytes) {
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())
             .find(kSecret) != std::string_view::npos;
}

// A program that has the driver to itself.
class Owner {
 public:
  Owner() {
    CHECK(clGetPlatformIDs(1, &platform_, nullptr) == CL_SUCCESS);
    CHECK(clGetDeviceIDs(platform_, CL_DEVICE_TYPE_GPU, 1, &device_, nullptr) == CL_SUCCESS);
    context_ = clCreateContext(nullptr, 1, &device_, nullptr, nullptr, nullptr);
    queue_ = clCreateCommandQueueWithProperties(context_, device_, nullptr, nullptr);
    CHECK(queue_ != nullptr);
  }
  Owner(const Owner&) = delete;
  ~Owner() {
    clReleaseCommandQueue(queue_);
    clReleaseContext(context_);
  }

  // Writes the secret to all memory that is free. The memory is held by what this returns.
  std::vector<cl_mem> fill_free_memory() {
    Bytes secret(kSize);
    for (std::size_t i = 0; i < kSize; ++i) {
      secret[i] = static_cast<std::byte>(kSecret[i % kSecret.size()]);
    }
    std::vector<cl_mem> taken;
    while (const cl_mem buffer = clCreateBuffer(context_, 0, kSize, nullptr, nullptr)) {
      CHECK(clEnqueueWriteBuffer(queue_, buffer, CL_TRUE, 0, kSize, secret.data(), 0, nullptr,
                                 nullptr) == CL_SUCCESS);
      taken.push_back(buffer);
    }
    return taken;
  }

  Bytes fresh_buffer() {
    const cl_mem buffer = clCreateBuffer(context_, 0, kSize, nullptr, nullptr);
    Bytes bytes(kSize);
    CHECK(clEnqueueReadBuffer(queue_, buffer, CL_TRUE, 0, kSize, bytes.data(), 0, nullptr,
                              nullptr) == CL_SUCCESS);
    clReleaseMemObject(buffer);
    return bytes;
  }

  Bytes fresh_image() {
    const cl_image_format format{CL_RGBA, CL_UNORM_INT8};
    cl_image_desc desc{};
    desc.image_type = CL_MEM_OBJECT_IMAGE2D;
    desc.image_width = desc.image_height = kSide;
    const cl_mem image = clCreateImage(context_, 0, &format, &desc, nullptr, nullptr);
    Bytes bytes(kSide * kSide * 4);
    const std::size_t origin[3] = {0, 0, 0};
    const std::size_t region[3] = {kSide, kSide, 1};
    CHECK(clEnqueueReadImage(queue_, image, CL_TRUE, origin, region, 0, 0, bytes.data(), 0, nullptr,
                             nullptr) == CL_SUCCESS);
    clReleaseMemObject(image);
    return bytes;
  }

  Bytes fresh_svm() {
    void* const memory = clSVMAlloc(context_, CL_MEM_READ_WRITE, kSize, 0);
    Bytes bytes(kSize);
    CHECK(clEnqueueSVMMemcpy(queue_, CL_TRUE, bytes.data(), memory, kSize, 0, nullptr, nullptr) ==
          CL_SUCCESS);
    clSVMFree(context_, memory);
    return bytes;
  }

 private:
  cl_platform_id platform_ = nullptr;
  cl_device_id device_ = nullptr;
  cl_context context_ = nullptr;
  cl_command_queue queue_ = nullptr;
};

// Before this process has threads, and before it has used the driver.
void a_tenant_is_killed_with_its_secret_in_the_memory() {
  const pid_t tenant = ::fork();
  if (tenant == 0) {
    const std::size_t taken = Owner().fill_free_memory().size();
    ::_exit(taken == null::kDeviceMemory / kSize ? 0 : 1);
  }
  int status = 1;
  CHECK(::waitpid(tenant, &status, 0) == tenant && status == 0);
}

class Tenant {
 public:
  explicit Tenant(TransportKind kind = TransportKind::shm) : pair(kind) {
    pair.open();
    pair.make_queue(kContext, kQueue);
    const std::array<std::uint64_t, 2> list{CL_QUEUE_PROPERTIES,
                                            CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE};
    wire::CreateQueue unordered;
    unordered.queue = kUnordered;
    unordered.context = kContext;
    unordered.properties = list;
    pair.send(unordered);
  }

  wire::Id buffer(std::uint64_t size, const Bytes& contents = {}) {
    wire::CreateBuffer message;
    message.buffer = ++last_;
    message.context = kContext;
    message.size = size;
    pair.send(message, contents);
    return last_;
  }

  wire::Id sub_buffer(wire::Id of, std::uint64_t origin, std::uint64_t size) {
    wire::CreateSubBuffer message;
    message.sub_buffer = ++last_;
    message.buffer = of;
    message.origin = origin;
    message.size = size;
    pair.send(message);
    return last_;
  }

  Bytes read(wire::Id buffer, std::uint64_t size, wire::Id queue = kQueue) {
    wire::ReadBuffer message;
    message.queue = queue;
    message.buffer = buffer;
    message.size = size;
    return arrived(message);
  }

  wire::Id image(cl_mem_object_type type, wire::Id3 extent, std::uint64_t layers,
                 cl_image_format format, const Bytes& pixels = {}) {
    wire::CreateImage message;
    message.image = ++last_;
    message.context = kContext;
    message.channel_order = format.image_channel_order;
    message.channel_type = format.image_channel_data_type;
    message.image_type = type;
    message.extent = extent;
    message.array_size = layers;
    pair.send(message, pixels);
    return last_;
  }

  Bytes read_image(wire::Id image, wire::Id3 region) {
    wire::ReadImage message;
    message.queue = kQueue;
    message.image = image;
    message.region = region;
    return arrived(message);
  }

  std::uint64_t svm(std::uint64_t size) {
    wire::SvmAlloc message;
    message.context = kContext;
    message.flags = CL_MEM_READ_WRITE;
    message.size = size;
    pair.send(message);
    const auto reply = pair.until<wire::Reply>();
    CHECK(reply.status == CL_SUCCESS && reply.values.size() == 2 && reply.values[1] == 0);
    return reply.values[0];
  }

  Bytes read_svm(std::uint64_t address, std::uint64_t size) {
    wire::SvmRead message;
    message.queue = kQueue;
    message.address = address;
    message.size = size;
    return arrived(message);
  }

  WorkerPair pair;

 private:
  template <class Message>
  Bytes arrived(Message& message) {
    message.ticket = ++ticket_;
    message.blocking = 1;
    pair.send(message);
    const auto done = pair.until<wire::ReadDone>();
    CHECK(done.status == CL_SUCCESS && done.ticket == ticket_);
    return pair.bulk();
  }

  wire::Id last_ = 100;
  std::uint64_t ticket_ = 0;
};

// What the driver itself would hand out next is the secret: only then do zeros mean anything.
void next_is_secret() {
  Owner owner;
  CHECK(holds_secret(owner.fresh_buffer()));
  CHECK(holds_secret(owner.fresh_image()));
  CHECK(holds_secret(owner.fresh_svm()));
}

void leave_secret() {
  Owner owner;
  for (const cl_mem each : owner.fill_free_memory()) {
    CHECK(clReleaseMemObject(each) == CL_SUCCESS);
  }
  next_is_secret();
}

void the_memory_of_a_killed_tenant_is_zero() {
  a_tenant_is_killed_with_its_secret_in_the_memory();
  next_is_secret();
  Tenant tenant;
  CHECK(all_zero(tenant.read(tenant.buffer(kSize), kSize)));
}

void buffers_are_zero(TransportKind kind) {
  Tenant tenant(kind);
  for (const std::uint64_t size :
       {std::uint64_t{1}, std::uint64_t{4093}, std::uint64_t{4096 + 8}, std::uint64_t{kSize}}) {
    leave_secret();
    CHECK(all_zero(tenant.read(tenant.buffer(size), size)));
  }
}

void buffers_are_zero_where_another_queue_reads_them() {
  Tenant tenant;
  leave_secret();
  const wire::Id first = tenant.buffer(kSize);
  const wire::Id second = tenant.buffer(kSize);
  CHECK(all_zero(tenant.read(first, kSize, kUnordered)));
  CHECK(all_zero(tenant.read(second, kSize)));
}

void what_the_client_did_not_write_is_zero() {
  Tenant tenant;
  leave_secret();
  const wire::Id buffer = tenant.buffer(kSize);
  const Bytes own(100, std::byte{7});
  wire::InitializeBuffer initialize;
  initialize.buffer = buffer;
  initialize.offset = 50;
  tenant.pair.send(initialize, own);
  const Bytes read = tenant.read(buffer, kSize);
  Bytes expected(kSize);
  std::ranges::copy(own, expected.begin() + 50);
  CHECK(read == expected);
}

// The zeros would come after contents that the driver copied itself.
void contents_that_come_with_a_creation_stay() {
  Tenant tenant;
  for (const std::uint64_t size :
       {std::uint64_t{1}, std::uint64_t{4096}, std::uint64_t{64 * 1024}, std::uint64_t{kSize}}) {
    leave_secret();
    const Bytes own(size, std::byte{7});
    CHECK(tenant.read(tenant.buffer(size, own), size) == own);
  }
  leave_secret();
  const Bytes pixels(kSide * kSide * 4, std::byte{9});
  const wire::Id image = tenant.image(CL_MEM_OBJECT_IMAGE2D, {kSide, kSide, 0}, 0,
                                      {CL_RGBA, CL_UNSIGNED_INT8}, pixels);
  CHECK(tenant.read_image(image, {kSide, kSide, 1}) == pixels);
}

void a_part_of_a_buffer_is_zero() {
  Tenant tenant;
  leave_secret();
  const wire::Id whole = tenant.buffer(kSize);
  CHECK(all_zero(tenant.read(tenant.sub_buffer(whole, 4096, 8192), 8192)));
}

void copies_bring_zeros() {
  Tenant tenant;
  leave_secret();
  wire::CopyBuffer copy;
  copy.queue = kQueue;
  copy.src_buffer = tenant.buffer(kSize);
  copy.dst_buffer = tenant.buffer(kSize);
  copy.cb = kSize;
  tenant.pair.send(copy);
  CHECK(all_zero(tenant.read(copy.dst_buffer, kSize)));
}

void images_are_zero() {
  Tenant tenant;
  constexpr cl_image_format kBytes{CL_RGBA, CL_UNSIGNED_INT8};
  constexpr cl_image_format kFloats{CL_RGBA, CL_FLOAT};
  constexpr cl_image_format kOne{CL_R, CL_UNORM_INT8};
  const auto zero = [&](cl_mem_object_type type, wire::Id3 extent, std::uint64_t layers,
                        cl_image_format format, wire::Id3 region) {
    leave_secret();
    CHECK(all_zero(tenant.read_image(tenant.image(type, extent, layers, format), region)));
  };
  zero(CL_MEM_OBJECT_IMAGE1D, {2048, 0, 0}, 0, kBytes, {2048, 1, 1});
  zero(CL_MEM_OBJECT_IMAGE1D_ARRAY, {512, 0, 0}, 8, kBytes, {512, 8, 1});
  zero(CL_MEM_OBJECT_IMAGE2D, {kSide, kSide, 0}, 0, kFloats, {kSide, kSide, 1});
  zero(CL_MEM_OBJECT_IMAGE2D, {kSide + 1, kSide, 0}, 0, kOne, {kSide + 1, kSide, 1});
  zero(CL_MEM_OBJECT_IMAGE2D_ARRAY, {64, 32, 0}, 4, kBytes, {64, 32, 4});
  zero(CL_MEM_OBJECT_IMAGE3D, {32, 16, 8}, 0, kBytes, {32, 16, 8});
}

void shared_virtual_memory_is_zero() {
  Tenant tenant;
  for (const std::uint64_t size : {std::uint64_t{3}, std::uint64_t{kSize}}) {
    leave_secret();
    CHECK(all_zero(tenant.read_svm(tenant.svm(size), size)));
  }
}

// A marker without a list waits for its queue; the zeros must not make a list of it.
void a_marker_still_waits_for_its_queue() {
  Tenant tenant;
  wire::CreateUserEvent gate;
  gate.event = 30;
  gate.context = kContext;
  tenant.pair.send(gate);
  const std::array<wire::Id, 1> waits{30};
  wire::FillBuffer fill;
  fill.queue = kUnordered;
  fill.buffer = tenant.buffer(kSize);
  const std::array<std::byte, 4> pattern{};
  fill.pattern = pattern;
  fill.cb = kSize;
  fill.wait_list = waits;
  tenant.pair.send(fill);
  tenant.buffer(kSize);
  wire::EnqueueMarker marker;
  marker.queue = kUnordered;
  marker.event = 31;
  tenant.pair.send(marker);
  const std::array<wire::Id, 1> last{31};
  wire::WaitForEvents wait;
  wait.events = last;
  tenant.pair.send(wait);
  CHECK(tenant.pair.quiet());
  wire::SetUserEventStatus set;
  set.event = 30;
  tenant.pair.send(set);
  CHECK(tenant.pair.until<wire::Reply>().status == CL_SUCCESS);
}

// More than one command's wait-list holds in place.
void a_long_wait_list_takes_the_zeros_too() {
  Tenant tenant;
  std::vector<wire::Id> gates;
  for (wire::Id id = 30; id < 30 + 16; ++id) {
    wire::CreateUserEvent gate;
    gate.event = id;
    gate.context = kContext;
    tenant.pair.send(gate);
    wire::SetUserEventStatus set;
    set.event = id;
    tenant.pair.send(set);
    gates.push_back(id);
  }
  leave_secret();
  wire::ReadBuffer read;
  read.queue = kQueue;
  read.buffer = tenant.buffer(kSize);
  read.size = kSize;
  read.ticket = 1;
  read.blocking = 1;
  read.wait_list = gates;
  tenant.pair.send(read);
  CHECK(tenant.pair.until<wire::ReadDone>().status == CL_SUCCESS && all_zero(tenant.pair.bulk()));
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  char file[] = "/tmp/tessera-device-XXXXXX";
  CHECK(::mkstemp(file) >= 0);
  CHECK(::setenv("GPU_NULL_MEMORY", file, 1) == 0);
  the_memory_of_a_killed_tenant_is_zero();
  for (const auto kind : kAllKinds) buffers_are_zero(kind);
  buffers_are_zero_where_another_queue_reads_them();
  what_the_client_did_not_write_is_zero();
  contents_that_come_with_a_creation_stay();
  a_part_of_a_buffer_is_zero();
  copies_bring_zeros();
  images_are_zero();
  shared_virtual_memory_is_zero();
  a_marker_still_waits_for_its_queue();
  a_long_wait_list_takes_the_zeros_too();
  ::unlink(file);
  return 0;
}

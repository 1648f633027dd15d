// SPDX-License-Identifier: Apache-2.0
//
// Nobody waits for zeros: on a GPU whose memory has to be cleared, creating and using memory takes
// the messages and round trips that the conformance program holds for the device where nothing has
// to be.
#include <stdlib.h>
#include <unistd.h>

#include <vector>

#include "check.h"
#include "client/client_pair.h"

namespace tessera::test {
namespace {

namespace api = client::entry;

constexpr std::size_t kBytes = 4096;

struct Cost {
  std::uint64_t messages;
  std::uint64_t round_trips;
};

template <class Call>
Cost cost_of(ClientPair& pair, const Call& call) {
  const auto before = pair.session().counters();
  call();
  const auto after = pair.session().counters();
  return {after.messages - before.messages, after.round_trips - before.round_trips};
}

void memory_costs_what_it_always_costs() {
  ClientPair pair(TransportKind::shm);
  cl_device_type type = 0;
  CHECK(api::clGetDeviceInfo(pair.device(), CL_DEVICE_TYPE, sizeof type, &type, nullptr) ==
        CL_SUCCESS);
  CHECK(type == CL_DEVICE_TYPE_GPU);
  const cl_context context = pair.make_context();
  const cl_command_queue queue =
      api::clCreateCommandQueueWithProperties(context, pair.device(), nullptr, nullptr);
  std::vector<std::byte> bytes(kBytes, std::byte{7});
  cl_mem objects[4] = {};
  const Cost created = cost_of(pair, [&] {
    const cl_image_format format{CL_RGBA, CL_UNORM_INT8};
    cl_image_desc desc{};
    desc.image_type = CL_MEM_OBJECT_IMAGE2D;
    desc.image_width = desc.image_height = 32;
    objects[0] = api::clCreateBuffer(context, CL_MEM_READ_WRITE, kBytes, nullptr, nullptr);
    objects[1] = api::clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, kBytes, bytes.data(), nullptr);
    objects[2] = api::clCreateImage(context, CL_MEM_READ_WRITE, &format, &desc, nullptr, nullptr);
    const cl_buffer_region part{1024, 1024};
    objects[3] = api::clCreateSubBuffer(objects[0], CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION,
                                        &part, nullptr);
  });
  CHECK(created.messages == 4 && created.round_trips == 0);
  const Cost used = cost_of(pair, [&] {
    CHECK(api::clEnqueueWriteBuffer(queue, objects[3], CL_FALSE, 0, 512, bytes.data(), 0, nullptr,
                                    nullptr) == CL_SUCCESS);
    CHECK(api::clEnqueueReadBuffer(queue, objects[0], CL_TRUE, 0, kBytes, bytes.data(), 0, nullptr,
                                   nullptr) == CL_SUCCESS);
  });
  CHECK(used.messages == 2 && used.round_trips == 1);
  CHECK(bytes[1023] == std::byte{0} && bytes[1024] == std::byte{7} && bytes[1536] == std::byte{0});
  for (const cl_mem each : {objects[3], objects[2], objects[1], objects[0]}) {
    CHECK(api::clReleaseMemObject(each) == CL_SUCCESS);
  }
  CHECK(api::clReleaseCommandQueue(queue) == CL_SUCCESS);
  CHECK(api::clReleaseContext(context) == CL_SUCCESS);
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  char file[] = "/tmp/tessera-device-XXXXXX";
  CHECK(::mkstemp(file) >= 0);
  CHECK(::setenv("GPU_NULL_MEMORY", file, 1) == 0);
  memory_costs_what_it_always_costs();
  ::unlink(file);
  return 0;
}

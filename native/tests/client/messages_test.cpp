// SPDX-License-Identifier: Apache-2.0
//
// What belongs together travels together: initial contents with the creation of their object. Each
// message costs the worker more than its bytes do, so messages are counted.
#include <numeric>
#include <vector>

#include "check.h"
#include "client/client_pair.h"

namespace tessera::test {
namespace {

namespace api = client::entry;

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

struct Program {
  explicit Program(TransportKind kind) : pair(kind), context(pair.make_context()) {
    queue = api::clCreateCommandQueueWithProperties(context, pair.device(), nullptr, nullptr);
    CHECK(queue != nullptr);
  }
  ~Program() {
    CHECK(api::clReleaseCommandQueue(queue) == CL_SUCCESS);
    CHECK(api::clReleaseContext(context) == CL_SUCCESS);
  }
  ClientPair pair;
  cl_context context;
  cl_command_queue queue;
};

std::vector<std::byte> numbered(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  return bytes;
}

void has_contents(Program& program, cl_mem buffer, const std::vector<std::byte>& expected) {
  std::vector<std::byte> got(expected.size());
  CHECK(api::clEnqueueReadBuffer(program.queue, buffer, CL_TRUE, 0, got.size(), got.data(), 0,
                                 nullptr, nullptr) == CL_SUCCESS);
  CHECK(got == expected);
}

// In the frame, apart from it, copied by the driver and by a command.
void contents_travel_with_their_buffer(TransportKind kind) {
  Program program(kind);
  const std::size_t sizes[] = {1, 4, 4096, 4097, 65536, 65537, kPiece};
  for (const std::size_t size : sizes) {
    std::vector<std::byte> bytes = numbered(size);
    cl_mem buffer = nullptr;
    const Cost cost = cost_of(program.pair, [&] {
      buffer =
          api::clCreateBuffer(program.context, CL_MEM_COPY_HOST_PTR, size, bytes.data(), nullptr);
    });
    CHECK(cost.messages == 1 && cost.round_trips == 0);
    const std::vector<std::byte> expected = bytes;
    bytes.assign(size, std::byte{0});  // the program's own again
    has_contents(program, buffer, expected);
    CHECK(api::clReleaseMemObject(buffer) == CL_SUCCESS);
  }
}

void contents_longer_than_a_message_follow_in_pieces() {
  Program program(TransportKind::shm);
  std::vector<std::byte> bytes = numbered(2 * kPiece + 5);
  cl_mem buffer = nullptr;
  const Cost cost = cost_of(program.pair, [&] {
    buffer = api::clCreateBuffer(program.context, CL_MEM_USE_HOST_PTR, bytes.size(), bytes.data(),
                                 nullptr);
  });
  CHECK(cost.messages == 4 && cost.round_trips == 0);
  has_contents(program, buffer, bytes);
  CHECK(api::clReleaseMemObject(buffer) == CL_SUCCESS);
}

// The lease has no room: the answer is the only message, and the contents came with the question.
void a_creation_that_fails_costs_one_round_trip() {
  Program program(TransportKind::shm);
  std::vector<cl_mem> taken;
  constexpr std::size_t kPart = kLeaseBytes / 4;
  for (int i = 0; i < 4; ++i) {
    taken.push_back(
        api::clCreateBuffer(program.context, CL_MEM_READ_WRITE, kPart, nullptr, nullptr));
    CHECK(taken.back() != nullptr);
  }
  int value = 5;
  cl_int code = CL_SUCCESS;
  const Cost cost = cost_of(program.pair, [&] {
    CHECK(api::clCreateBuffer(program.context, CL_MEM_COPY_HOST_PTR, sizeof value, &value, &code) ==
          nullptr);
  });
  CHECK(code == CL_MEM_OBJECT_ALLOCATION_FAILURE);
  CHECK(cost.messages == 2 && cost.round_trips == 1);  // its release is the second
  for (const cl_mem each : taken) CHECK(api::clReleaseMemObject(each) == CL_SUCCESS);
}

void has_pixels(Program& program, cl_mem image, const std::size_t (&region)[3],
                const std::vector<std::byte>& expected) {
  const std::size_t origin[3] = {0, 0, 0};
  std::vector<std::byte> got(expected.size());
  CHECK(api::clEnqueueReadImage(program.queue, image, CL_TRUE, origin, region, 0, 0, got.data(), 0,
                                nullptr, nullptr) == CL_SUCCESS);
  CHECK(got == expected);
}

// Also from rows that are longer than the image's.
void pixels_travel_with_their_image(TransportKind kind) {
  Program program(kind);
  const cl_image_format format{CL_RGBA, CL_UNSIGNED_INT8};
  const std::size_t sides[] = {3, 64, 300};
  for (const std::size_t side : sides) {
    const std::size_t pitch = side * 4 + 8;
    std::vector<std::byte> padded = numbered(pitch * side);
    std::vector<std::byte> packed;
    for (std::size_t y = 0; y < side; ++y) {
      packed.insert(packed.end(), padded.begin() + static_cast<std::ptrdiff_t>(y * pitch),
                    padded.begin() + static_cast<std::ptrdiff_t>(y * pitch + side * 4));
    }
    cl_image_desc desc{};
    desc.image_type = CL_MEM_OBJECT_IMAGE2D;
    desc.image_width = desc.image_height = side;
    desc.image_row_pitch = pitch;
    cl_mem image = nullptr;
    const Cost cost = cost_of(program.pair, [&] {
      image = api::clCreateImage(program.context, CL_MEM_COPY_HOST_PTR, &format, &desc,
                                 padded.data(), nullptr);
    });
    CHECK(image != nullptr && cost.messages == 1 && cost.round_trips == 0);
    has_pixels(program, image, {side, side, 1}, packed);
    CHECK(api::clReleaseMemObject(image) == CL_SUCCESS);
  }
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  for (const auto kind : kAllKinds) {
    contents_travel_with_their_buffer(kind);
    pixels_travel_with_their_image(kind);
  }
  contents_longer_than_a_message_follow_in_pieces();
  a_creation_that_fails_costs_one_round_trip();
}
